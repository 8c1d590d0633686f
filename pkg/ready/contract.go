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

// Pressure is what ready queues want to know of the node (node).
type Pressure interface {
	// Low reports that memory is low: bodies that can be read again leave it.
	Low() bool
	// Keep stores those of ms that were acknowledged and not stored yet (deferred_spool), so that their bodies can be
	// read again. With an error it did nothing.
	Keep(ms []*message.Message) error
	// Sick is nil, or why nothing may be delivered now: what has ended could not be written down.
	Sick() error
}

// Clock is where ready queues take their time from. The times of Now should carry a monotonic reading, as time.Now's
// do.
type Clock interface {
	Now() time.Time
	// NewTimer is time.NewTimer: its channel, and a function that stops it.
	NewTimer(d time.Duration) (<-chan time.Time, func() bool)
}
