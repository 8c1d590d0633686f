package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// note says which records an order is about to cause. It is in the ledger before the messages are changed, and is
// dropped when the records are written: whoever starts next after a crash, or after a verb without a journal, writes
// what is missing. So no change goes without its record, and a crash repeats a page of them at most.
type note struct {
	Order  string       `json:"order"`
	Of     string       `json:"of,omitempty"`
	Type   journal.Type `json:"type"`
	Reason string       `json:"reason"`
	At     time.Time    `json:"at"`
	From   string       `json:"from,omitempty"` // of AdminRebind: the queues
	To     string       `json:"to,omitempty"`
	IDs    []byte       `json:"ids"`
}

func (n *note) encode() []byte {
	b, _ := json.Marshal(n) // of strings, a time and bytes
	return b
}

// pack puts ids one behind the other.
func pack(ids []message.ID) []byte {
	b := make([]byte, 0, len(ids)*len(message.ID{}))
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	return b
}

func unpack(b []byte) []message.ID {
	ids := make([]message.ID, len(b)/len(message.ID{}))
	for i := range ids {
		copy(ids[i][:], b[i*len(ids[i]):])
	}
	return ids
}

// reply is what the records of the note say.
func (n *note) reply() smtp.Reply {
	reason := oneLine(n.Reason)
	switch n.Type {
	case journal.AdminRebind:
		return smtp.NewReply(250, "", "Rebound from "+n.From+" to "+n.To+": "+reason)
	case journal.AdminUndo:
		text := "Order " + n.Order + " undoes the bounce of order " + n.Of
		if reason != "" {
			text += ": " + reason
		}
		return smtp.NewReply(250, "", text)
	}
	text := "Bounced by an operator, order " + n.Order
	if reason != "" {
		text += ": " + reason
	}
	return smtp.NewReply(551, "5.7.1", text)
}

// dispose bounces messages into the trash, or ends them if the order is a purge. It is called with mu held. The
// messages are read first: the store may have to end them at once.
func (o *Orders) dispose(ctx context.Context, order *Order, now time.Time, ids []message.ID) (done, taken []message.ID, err error) {
	var before map[message.ID]*message.Message
	n := note{Order: order.ID, Type: journal.AdminBounce, Reason: order.Reason, At: now, IDs: pack(ids)}
	if !order.Silent {
		if err := o.ledger.AddNotes(ctx, n.encode()); err != nil {
			return nil, nil, err
		}
		if o.recorder != nil {
			before = o.read(ids)
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
		o.record(n, m)
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

// record logs one record for each recipient of m.
func (o *Orders) record(n *note, m *message.Message) {
	r := journal.Record{Type: n.Type, Time: n.At, Msg: m, Attempts: m.Attempts, Response: n.reply()}
	if len(m.Recipients) == 0 {
		o.recorder.Record(&r)
	}
	for i := range m.Recipients {
		r.Recipients = m.Recipients[i : i+1 : i+1]
		o.recorder.Record(&r)
	}
}

// settleNotes writes the records that an earlier process has caused and not written.
func (o *Orders) settleNotes(context.Context) error {
	notes, err := o.ledger.Notes()
	if err != nil || len(notes) == 0 {
		return err
	}
	read := make([]note, 0, len(notes))
	for _, b := range notes {
		var n note
		if err := json.Unmarshal(b, &n); err != nil {
			o.log.Error("a note about records of an order cannot be read and is dropped", "error", err)
			continue
		}
		read = append(read, n)
	}
	passed := sequelsOf(read)
	for i := range read {
		n := &read[i]
		for _, id := range unpack(n.IDs) {
			if e, ok := o.ledger.Lookup(id); ok && (n.happened(&e) || passed.over(n, id)) {
				o.record(n, o.load(id, &e))
			}
		}
	}
	if err := o.flush(); err != nil {
		return fmt.Errorf("write the records of orders: %w", err)
	}
	o.ledger.DropNotes()
	return nil
}

// happened reports whether the change was made that the note speaks of.
func (n *note) happened(e *Entry) bool {
	switch n.Type {
	case journal.AdminBounce:
		return e.Place == Trashed && e.Order == n.Order
	case journal.AdminUndo:
		return e.Place != Trashed || e.Order != n.Of
	case journal.AdminRebind:
		return e.Queue == n.To
	}
	return false
}

// sequels are the messages of which notes say that a change was followed by another one, which only what was changed
// can be: a bounce that was undone, a queue that was left again. Each list is in order.
type sequels map[string][]message.ID

func sequelsOf(notes []note) sequels {
	s := make(sequels)
	for i := range notes {
		switch n := &notes[i]; n.Type {
		case journal.AdminUndo:
			s["undo "+n.Of] = append(s["undo "+n.Of], unpack(n.IDs)...)
		case journal.AdminRebind:
			s["left "+n.From] = append(s["left "+n.From], unpack(n.IDs)...)
		}
	}
	for _, ids := range s {
		slices.SortFunc(ids, compareIDs)
	}
	return s
}

// over reports whether what the note says of a message happened and was followed by something else.
func (s sequels) over(n *note, id message.ID) bool {
	key := "undo " + n.Order
	if n.Type == journal.AdminRebind {
		key = "left " + n.To
	}
	_, found := slices.BinarySearchFunc(s[key], id, compareIDs)
	return found && n.Type != journal.AdminUndo
}

func compareIDs(a, b message.ID) int { return bytes.Compare(a[:], b[:]) }

// oneLine keeps texts of operators from breaking the lines of replies.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
