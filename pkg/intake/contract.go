package intake

import (
	"context"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
)

// Hooks are the questions that intake asks of policy.
type Hooks interface {
	// MessageReceived runs smtp_server_message_received (or its sibling for the submission's protocol). It may change
	// the message, and set values of conn, which messages that come later on the same connection then see.
	// Errors: *smtp.Error rejects; any other error is a local fault.
	MessageReceived(ctx context.Context, protocol string, m *message.Message, conn *message.Meta) error
}

// Store makes messages durable: all or none (spool.Spool).
type Store interface {
	// Accept with a non-empty order is idempotent: the same order stores once.
	Accept(ctx context.Context, order string, ms ...*message.Message) error
	// Defer takes messages over that are to be stored when their first attempt fails, or at shutdown. It cannot fail,
	// and marks them Deferred.
	Defer(ms ...*message.Message)
	// Withdraw ends a message that was stored or deferred and that nobody has been told of.
	Withdraw(id message.ID) error
}

// Next takes over accepted messages (queue.Queues).
type Next interface {
	// Ready checks that the queue of this name can be configured; an error refuses the message before it is stored.
	Ready(ctx context.Context, queue string) error
	// Insert takes ownership of m.
	Insert(ctx context.Context, m *message.Message, why message.Reason)
}

// Recorder takes facts for the log.
type Recorder interface {
	Record(r *journal.Record)
}

// Parts are what an Intake is made of; all but Metrics are needed.
type Parts struct {
	Hooks    Hooks
	Store    Store
	Next     Next
	Recorder Recorder
	IDs      *message.IDSource
	Now      func() time.Time
	Metrics  *Metrics // nil: nothing is counted
	// Lean says that memory is scarce: messages are read from the store again when they are sent. nil: never.
	Lean func() bool
}
