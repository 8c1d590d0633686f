package queue

import (
	"context"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/option"
)

// Store keeps messages while they wait (an adapter over spool.Spool, made by node).
type Store interface {
	// Update records all that changed about m: recipients, metadata, due, attempts.
	Update(m *message.Message) error
	// Reschedule records a new due time and count of attempts.
	Reschedule(id message.ID, due time.Time, attempts int) error
	// End records that the message has ended. why is Delivery, Bounce or Expiration.
	End(id message.ID, why journal.Type) error
	// Load brings a message back, without its body. An error that is fs.ErrNotExist says that the message has ended
	// meanwhile: then it is forgotten. After any other error it is tried again.
	Load(id message.ID) (*message.Message, error)
}

// Configs answers get_queue_config.
type Configs interface {
	QueueConfig(ctx context.Context, name message.QueueName) (option.Resolved[Config], error)
}

// Planner decides where a message goes. Errors are *egress.Failure.
type Planner interface {
	Plan(ctx context.Context, req egress.Request) (*egress.Plan, error)
}

// Feed takes messages that are due (ready.Queues).
type Feed interface {
	// Offer hands m to the ready queue of the plan; false when it is full.
	Offer(plan *egress.Plan, m *message.Message) bool
	// Full reports whether the ready queue of that name has no room (the planner then tries other sources).
	Full(key string) bool
}

// Recorder takes facts for the log.
type Recorder interface {
	Record(r *journal.Record)
}

// Clock is where queues take their time from. The times of Now should carry a monotonic reading, as time.Now's do:
// then steps of the wall clock neither hurry nor hold up what is scheduled.
type Clock interface {
	Now() time.Time
	// NewTimer is time.NewTimer: its channel, and a function that stops it.
	NewTimer(d time.Duration) (<-chan time.Time, func() bool)
}
