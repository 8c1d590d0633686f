package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
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
	IDs    []byte       `json:"ids,omitempty"`
	Whole  []remnant    `json:"whole,omitempty"` // instead of IDs: messages that the store does not keep
}

// remnant is what the record of a message needs that is not in the store any more.
type remnant struct {
	ID         message.ID    `json:"id"`
	Queue      string        `json:"queue"`
	Sender     string        `json:"sender"`
	Recipients []string      `json:"recipients"`
	Created    time.Time     `json:"created"`
	Attempts   int           `json:"attempts"`
	Size       int           `json:"size"`
	Meta       *message.Meta `json:"meta,omitempty"`
}

// wholes are the remnants of messages.
func wholes(all map[message.ID]*message.Message) []remnant {
	out := make([]remnant, 0, len(all))
	for _, m := range all {
		r := remnant{
			ID: m.ID, Queue: m.Queue, Sender: m.Sender.String(), Created: m.Created, Attempts: m.Attempts, Size: m.Size, Meta: m.Meta,
		}
		for _, a := range m.Recipients {
			r.Recipients = append(r.Recipients, a.String())
		}
		out = append(out, r)
	}
	return out
}

func (r *remnant) message() *message.Message {
	m := &message.Message{
		ID: r.ID, Queue: r.Queue, Sender: mail.Restore(r.Sender), Created: r.Created, Attempts: r.Attempts, Size: r.Size, Meta: r.Meta,
	}
	for _, a := range r.Recipients {
		m.Recipients = append(m.Recipients, mail.Restore(a))
	}
	return m
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

// settleNotes writes the records that an earlier process has caused and not written.
func (o *Orders) settleNotes(ctx context.Context) error {
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
	there, err := o.there(ctx, read)
	if err != nil {
		return fmt.Errorf("look for the records of orders: %w", err)
	}
	passed := sequelsOf(read)
	for i := range read {
		n := &read[i]
		o.settle(n, passed, there)
	}
	if err := o.flush(); err != nil {
		return fmt.Errorf("write the records of orders: %w", err)
	}
	o.ledger.DropNotes()
	return nil
}

// recorded tells the record of a note: no two changes of one message have the same time.
type recorded struct {
	id message.ID
	at int64
	t  journal.Type
}

// there is how many records of notes were written for each message before the process ended that did it.
func (o *Orders) there(ctx context.Context, notes []note) (map[recorded]int, error) {
	out := map[recorded]int{}
	if o.recorded == nil || len(notes) == 0 {
		return out, nil
	}
	since, times := notes[0].At, map[int64]struct{}{}
	var types []journal.Type
	for i := range notes {
		n := &notes[i]
		times[n.At.UnixNano()] = struct{}{}
		if n.At.Before(since) {
			since = n.At
		}
		if !slices.Contains(types, n.Type) {
			types = append(types, n.Type)
		}
	}
	err := o.recorded(ctx, types, since, func(t journal.Type, id message.ID, at time.Time) {
		if _, ok := times[at.UnixNano()]; ok {
			out[recorded{id, at.UnixNano(), t}]++
		}
	})
	return out, err
}

// settle writes the records of a note for those messages that were changed.
func (o *Orders) settle(n *note, passed sequels, there map[recorded]int) {
	write := func(m *message.Message) {
		o.record(n, m, there[recorded{m.ID, n.At.UnixNano(), n.Type}])
	}
	for _, id := range unpack(n.IDs) {
		if e, ok := o.ledger.Lookup(id); ok && (n.happened(&e) || passed.over(n, id)) {
			write(o.load(id, &e))
		}
	}
	for i := range n.Whole {
		r := &n.Whole[i]
		if e, ok := o.ledger.Lookup(r.ID); !ok || n.happened(&e) {
			write(r.message())
		}
	}
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
