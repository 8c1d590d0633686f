package spool

import (
	"context"
	"time"

	"kumo/pkg/message"
)

// State is where a live message stands.
type State uint8

// The states. Only OnHold and Trashed outlive the process.
const (
	Scheduled State = iota // waits for its due time
	Taken                  // in somebody's hands: accepted or taken, and not given back, rescheduled or updated since
	OnHold                 // by an order: neither tried nor expired
	Trashed                // bounced by an order that can still be undone
)

// Change is what an order does to messages.
type Change uint8

// The changes.
const (
	ChangeDue     Change = iota + 1 // Scheduled: due at the time given
	ChangeHold                      // Scheduled to OnHold
	ChangeRelease                   // OnHold to Scheduled, with the due time that it had
	ChangeTrash                     // Scheduled or OnHold to Trashed
	ChangeRestore                   // Trashed to Scheduled, with the due time that it had; OnHold again if it was
	ChangeEnd                       // ended by an operator, whatever it was but Taken
)

// Applied is what Apply did.
type Applied struct {
	Done  []message.ID // changed, durably
	Taken []message.ID // left alone: they are in somebody's hands
	// The others had ended, or were not in a state that the change starts from.
}

// Apply carries out one step of an order: it changes the state of the messages that allow it, by one record that is
// durable when Apply returns. At most 10,000 ids. Errors are those of Accept; then nothing was changed.
func (s *Spool) Apply(ctx context.Context, order string, c Change, due time.Time, ids []message.ID) (Applied, error) {
	panic("skeleton")
}

// Take brings a message that is Scheduled back, without its body, and makes it Taken. due is what the caller believes
// its due time to be: an entry that an order has overtaken is told apart by it. Errors: ErrGone for a message that
// has ended, is held or trashed, is Taken, or is due at another time; ErrDamaged; those of the disk.
func (s *Spool) Take(id message.ID, due time.Time) (*message.Message, error) { panic("skeleton") }

// Give makes a Taken message Scheduled again, as the log has it.
func (s *Spool) Give(id message.ID) { panic("skeleton") }

// Lookup is what the table knows of a live message, OnHold and Trashed ones included.
func (s *Spool) Lookup(id message.ID) (Entry, bool) { panic("skeleton") }

// OfOrder calls page with the ids of the messages that are OnHold or Trashed by an order, at most 10,000 at a time.
func (s *Spool) OfOrder(ctx context.Context, order string, page func([]message.ID) error) error {
	panic("skeleton")
}

// BeginOrder makes an order part of the log, durably, before it is carried out, so that what lasts of it (a
// suspension, a hold, a trash) is known again after a restart even without orders.db. Calling it again is harmless.
func (s *Spool) BeginOrder(ctx context.Context, o Order) error { panic("skeleton") }

// EndOrder lets the log forget an order of which nothing lasts: it expired, was undone, or never had lasting effects.
func (s *Spool) EndOrder(id string) { panic("skeleton") }

// Standing lists the orders that were begun and not ended, oldest first: with their kind, time, author and payload.
func (s *Spool) Standing() []Order { panic("skeleton") }

// AddNotes keeps bytes for the next daemon, durably: records of a verb that had no journal. Forgotten by DropNotes.
func (s *Spool) AddNotes(ctx context.Context, notes ...[]byte) error { panic("skeleton") }

// Notes returns what AddNotes kept, in its order.
func (s *Spool) Notes() ([][]byte, error) { panic("skeleton") }

// DropNotes forgets the notes that Notes has returned.
func (s *Spool) DropNotes() { panic("skeleton") }
