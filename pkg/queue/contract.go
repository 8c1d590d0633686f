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
	// Reschedule records a new due time and count of attempts, and what kept it from being tried.
	Reschedule(id message.ID, due time.Time, attempts int, response string) error
	// End records that the message has ended. why is Delivery, Bounce or Expiration.
	End(id message.ID, why journal.Type) error
	// Take brings a message back that is scheduled for the time with this stamp, without its body; it is then Taken. An
	// error that is fs.ErrNotExist says that this is not so, one that is message.ErrDamaged that it cannot be read.
	// After any other error it is tried again.
	Take(id message.ID, stamp Stamp) (*message.Message, error)
	// Give makes a message that is Taken wait again, as the store has it.
	Give(id message.ID)
	// Lookup is what the store knows of a message without reading it; false when it has ended.
	Lookup(id message.ID) (Entry, bool)
	// Shelve puts a message that waits, and that cannot be read, where it is left alone until an operator releases it.
	Shelve(id message.ID) error
}

// Stamp tells the due time of a message that somebody believes in from the one that it has: the low half of its
// nanoseconds since 1970, 0 for the zero time.
type Stamp uint32

// StampOf is the stamp of a due time.
func StampOf(due time.Time) Stamp {
	if due.IsZero() {
		return 0
	}
	return Stamp(due.UnixNano())
}

// Place is where the store says that a message is.
type Place uint8

// The places.
const (
	Waiting Place = iota // scheduled
	Taken                // in somebody's hands
	Held                 // by an order: neither tried nor expired
	Trashed              // bounced by an order that can be undone
)

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
