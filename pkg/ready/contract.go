package ready

import (
	"context"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
)

// Settler takes back every message that was offered, with what became of it (queue.Queues). attempts name every
// recipient of m exactly once.
type Settler interface {
	Settle(ctx context.Context, m *message.Message, attempts []message.Attempt)
}

// Carriers finds the carrier of a plan's protocol (node wires delivery in).
type Carriers interface {
	Carrier(plan *egress.Plan) egress.Carrier
}

// Clock is where ready queues take their time from. The times of Now should carry a monotonic reading, as time.Now's
// do.
type Clock interface {
	Now() time.Time
	// NewTimer is time.NewTimer: its channel, and a function that stops it.
	NewTimer(d time.Duration) (<-chan time.Time, func() bool)
}
