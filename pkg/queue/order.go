package queue

import (
	"context"
	"time"

	"kumo/pkg/message"
)

// Kind is what an order does.
type Kind string

// The kinds of orders.
const (
	Requeue Kind = "requeue" // due now
	Bounce  Kind = "bounce"  // into the trash
	Suspend Kind = "suspend" // queues promote nothing, or messages are held, until Expires
	Resume  Kind = "resume"  // the end of suspensions
	Rebind  Kind = "rebind"  // other metadata, and so another scheduled queue
	Hold    Kind = "hold"    // neither tried nor expired
	Release Kind = "release" // the end of holds
	Purge   Kind = "purge"   // out of the spool for good
	Undo    Kind = "undo"    // a bounce, hold or suspension taken back
)

// Order is what an operator wants done to messages that wait.
type Order struct {
	ID      string
	Kind    Kind
	Author  string
	Created time.Time
	Reason  string
	Payload []byte // as it was given, for the ledger

	Scope      Scope
	QueuesOnly bool         // Scope says it all: the order can stand as a rule for mail that is yet to come
	Named      bool         // Match speaks of something, if only of everything
	IDs        []message.ID // what Match wants if it is a matter of ids
	// Match calls page with the ids of the messages that the order is about, those in the trash left out. An error of
	// page ends it and is returned.
	Match func(ctx context.Context, page func([]message.ID) error) error

	Expires time.Time         // when suspensions, holds and standing bounces end; zero for never, or for not standing
	Set     map[string]string // of a rebind: metadata, "" removes a name
	Flush   bool              // of a rebind: due now even if the queue stays the same
	Event   bool              // of a rebind: policy changes the message, not Set
	Silent  bool              // no records
	Of      string            // the order that an undo, resume, release or purge is about
}

// stands reports whether the order is a rule for mail that is yet to come.
func (o *Order) stands() bool {
	return o.QueuesOnly && (o.Kind == Suspend || o.Kind == Bounce && !o.Expires.IsZero())
}

// Counts say what an order came to, or how far it is.
type Counts struct {
	Matched int // messages that Match wanted
	Done    int // messages that were changed
	Busy    int // messages that a delivery has in hand: dealt with if they come back
	Sample  []message.ID
	Missing []message.ID // some of the ids that nobody knows
	Unknown int          // how many there are
}

// Bounds of what Counts name.
const (
	maxSample  = 10
	maxMissing = 100
)

func (c *Counts) sample(ids []message.ID) {
	n := min(maxSample-len(c.Sample), len(ids))
	c.Sample = append(c.Sample, ids[:n]...)
}

// RefusedError is an order that cannot be carried out, however often it is tried.
type RefusedError struct{ Msg string }

func (e *RefusedError) Error() string { return e.Msg }

// Change is what an order does to messages in the ledger.
type Change uint8

// The changes.
const (
	ChangeDue     Change = iota // Waiting: due at the time given
	ChangeHold                  // Waiting to Held
	ChangeRelease               // Held to Waiting, with the due time that it had
	ChangeTrash                 // Waiting or Held to Trashed
	ChangeRestore               // Trashed to what it was
	ChangeEnd                   // ended, whatever it was but Taken
)

// Ledger is the store as orders see it (an adapter over spool.Spool, made by node). What it returns without an error
// is durable, but for Update, Over and DropNotes, which are written soon.
type Ledger interface {
	// Begin makes an order known to the next start, until Over.
	Begin(ctx context.Context, o *Order) error
	Over(order string)
	// Standing are the orders that were begun and are not over, oldest first. Their Match is not set.
	Standing() []*Order
	// Change changes the ids that allow it, 10,000 at most; taken are those that are in somebody's hands. With an error
	// nothing was changed.
	Change(ctx context.Context, order string, c Change, due time.Time, ids []message.ID) (done, taken []message.ID, err error)
	// Ends reports that a ChangeTrash ends its messages at once, for want of room or because nobody wants a trash.
	Ends() bool
	// OfOrder calls page with the ids of the messages that are Held or Trashed by an order.
	OfOrder(ctx context.Context, order string, page func([]message.ID) error) error
	Lookup(id message.ID) (Entry, bool)
	// Load reads a message, wherever it is, without its body.
	Load(id message.ID) (*message.Message, error)
	Take(id message.ID, stamp Stamp) (*message.Message, error)
	Give(id message.ID)
	Update(m *message.Message) error
	// Flush makes durable what was updated.
	Flush() error
	// AddNotes keeps bytes for whoever calls Notes, after a restart at the latest; DropNotes forgets what Notes returned.
	AddNotes(ctx context.Context, notes ...[]byte) error
	Notes() ([][]byte, error)
	DropNotes()
}
