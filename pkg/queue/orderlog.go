package queue

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
)

// dispose bounces messages into the trash, or ends them if the order is a purge. It is called with mu held. The
// messages are read first: the store may have to end them at once.
func (o *Orders) dispose(ctx context.Context, order *Order, now time.Time, ids []message.ID) (done, taken []message.ID, err error) {
	var before map[message.ID]*message.Message
	n := note{Order: order.ID, Type: journal.AdminBounce, Reason: order.Reason, At: now}
	if !order.Silent {
		ends := o.ledger.Ends()
		if o.recorder != nil || ends {
			before = o.read(ids)
		}
		if ends {
			n.Whole = wholes(before)
		} else {
			n.IDs = pack(ids)
		}
		if err := o.ledger.AddNotes(ctx, n.encode()); err != nil {
			return nil, nil, err
		}
	}
	done, taken, err = o.ledger.Change(ctx, order.ID, ChangeTrash, time.Time{}, ids)
	if err != nil {
		return nil, nil, err
	}
	if !order.Silent {
		o.write(&n, done, before)
	}
	if order.Kind == Purge && (o.recorder != nil || order.Silent) && len(done) > 0 {
		if _, _, err := o.ledger.Change(ctx, order.ID, ChangeEnd, time.Time{}, done); err != nil {
			return done, taken, err
		}
		for _, id := range done {
			o.claims.take(id)
		}
	}
	return done, taken, nil
}

// read reads those of the messages that wait or are held.
func (o *Orders) read(ids []message.ID) map[message.ID]*message.Message {
	out := make(map[message.ID]*message.Message, len(ids))
	for _, id := range ids {
		if e, ok := o.ledger.Lookup(id); ok && (e.Place == Waiting || e.Place == Held) {
			out[id] = o.load(id, &e)
		}
	}
	return out
}

// load reads a message; of one that cannot be read it returns what is known without reading.
func (o *Orders) load(id message.ID, e *Entry) *message.Message {
	m, err := o.ledger.Load(id)
	if err == nil {
		return m
	}
	if !errors.Is(err, fs.ErrNotExist) {
		o.log.Warn("the record of a message says little, because the message cannot be read", "id", id.String(), "error", err)
	}
	return &message.Message{ID: id, Queue: e.Queue, Created: e.Created, Due: e.Due, Attempts: e.Attempts}
}

// write logs the note's record for each recipient of each message, and drops the notes once that is in the files.
// before are the messages as they were read before they were changed; what changed in between is read again. Without
// a recorder the notes stay. Called with mu held.
func (o *Orders) write(n *note, ids []message.ID, before map[message.ID]*message.Message) {
	if o.recorder == nil {
		return
	}
	for _, id := range ids {
		m := before[id]
		e, ok := o.ledger.Lookup(id)
		if ok && (m == nil || !m.Due.Equal(e.Due) || m.Attempts != e.Attempts) {
			m = o.load(id, &e)
		}
		if m == nil {
			m = &message.Message{ID: id}
		}
		o.record(n, m, 0)
	}
	o.written()
}

// written drops the notes whose records are in the files of the log.
func (o *Orders) written() {
	if err := o.flush(); err != nil {
		o.log.Error("cannot write the records of an order; the next start will do it", "error", err)
		return
	}
	if _, err := o.ledger.Notes(); err == nil {
		o.ledger.DropNotes()
	}
}

// record logs one record for each recipient of m, but for so many that are in the log already.
func (o *Orders) record(n *note, m *message.Message, there int) {
	r := journal.Record{Type: n.Type, Time: n.At, Msg: m, Attempts: m.Attempts, Response: n.reply()}
	if len(m.Recipients) == 0 && there == 0 {
		o.recorder.Record(&r)
	}
	for i := there; i < len(m.Recipients); i++ {
		r.Recipients = m.Recipients[i : i+1 : i+1]
		o.recorder.Record(&r)
	}
}
