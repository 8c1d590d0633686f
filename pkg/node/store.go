package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/queue"
	"kumo/pkg/smtp"
	"kumo/pkg/spool"
)

// store is the spool as intake and queue see it: with their words for endings, and with an answer for peers where
// only the spool's own errors say why.
type store struct{ *spool.Spool }

// Accept says 452 when the disk has no room. What the other errors mean for a peer is intake's to say.
func (s store) Accept(ctx context.Context, order string, ms ...*message.Message) error {
	defer doomed()
	err := s.Spool.Accept(ctx, order, ms...)
	if errors.Is(err, spool.ErrFull) {
		return &smtp.Error{Reply: smtp.NewReply(452, "4.3.1", "insufficient system storage, try again later"), Detail: err.Error(), Cause: err}
	}
	return err
}

// Withdraw ends a message that was not taken in after all.
func (s store) Withdraw(id message.ID) error { return s.Spool.End(id, spool.EndDiscarded) }

// End maps the kind of the last record to the spool's ending.
func (s store) End(id message.ID, why journal.Type) error {
	ending := spool.EndBounced
	switch why {
	case journal.Delivery:
		ending = spool.EndDelivered
	case journal.Expiration:
		ending = spool.EndExpired
	}
	return s.Spool.End(id, ending)
}

// Reschedule keeps what kept the message from being tried.
func (s store) Reschedule(id message.ID, due time.Time, attempts int, response string) error {
	return s.Spool.RescheduleWith(id, due, attempts, response)
}

// Take says fs.ErrNotExist for a message that does not wait, or is due at another time.
func (s store) Take(id message.ID, stamp queue.Stamp) (*message.Message, error) {
	m, err := s.TakeIf(id, uint32(stamp))
	if errors.Is(err, spool.ErrGone) {
		return nil, fs.ErrNotExist
	}
	return m, err
}

// Lookup is what the spool knows of a message.
func (s store) Lookup(id message.ID) (queue.Entry, bool) {
	e, ok := s.Spool.Lookup(id)
	return entryOf(&e), ok
}

// entryOf is a message in the queues' words.
func entryOf(e *spool.Entry) queue.Entry {
	place := queue.Waiting
	switch e.State {
	case spool.Taken:
		place = queue.Taken
	case spool.OnHold:
		place = queue.Held
	case spool.Trashed:
		place = queue.Trashed
	}
	return queue.Entry{
		ID: e.ID, Queue: e.Queue, Created: e.Created, Due: e.Due, Attempts: e.Attempts, Place: place, Order: e.Order,
	}
}

// damagedOrder is what holds messages that cannot be read; it stands in the column held_by of those who list them.
const damagedOrder = "damaged"

// Shelve puts a message on hold that cannot be read.
func (s store) Shelve(id message.ID) error {
	_, err := s.Apply(context.Background(), damagedOrder, spool.ChangeHold, time.Time{}, []message.ID{id})
	return err
}

// next is the queues as intake sees them.
type next struct{ *queue.Queues }

func (n next) Insert(ctx context.Context, m *message.Message, why message.Reason) {
	defer doomed()
	n.Queues.Insert(ctx, m, why)
}

// doomed ends the process when the function that defers it panics. Sessions survive panics of their own, and must not
// survive those of the spool and the queues: what these have half done cannot be carried on with, but can be recovered.
func doomed() {
	if p := recover(); p != nil {
		text := fmt.Sprintf("%v\n\n%s", p, debug.Stack())
		go func() { panic(text) }() // where nobody recovers it
		select {}
	}
}
