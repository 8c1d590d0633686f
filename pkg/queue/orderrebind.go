package queue

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
)

// rebind gives messages other metadata, and so another scheduled queue.
func (r *run) rebind(ctx context.Context) error {
	if r.order.Event && r.rebinder == nil {
		return refuse("no policy is at hand that could be asked (rebind_message)")
	}
	if err := r.pages(ctx); err != nil {
		return err
	}
	return r.ledger.Flush()
}

// rebound is a message that was given other metadata.
type rebound struct {
	m     *message.Message
	from  string // the queue that it was in
	saved bool   // it waits again, and may be in other hands by now
}

// rebindAll rebinds those of the messages that wait. Messages that are held must be released first. Called with mu held.
func (o *Orders) rebindAll(ctx context.Context, order *Order, now time.Time, ids []message.ID) (done, taken []message.ID, err error) {
	var all []rebound
	defer func() {
		for _, b := range all {
			if !b.saved {
				o.ledger.Give(b.m.ID)
			}
		}
	}()
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		m, busy, err := o.takeFor(id)
		switch {
		case busy:
			taken = append(taken, id)
		case err != nil:
			o.log.Warn("a message was not rebound because it cannot be read", "id", id.String(), "error", err)
		case m != nil:
			all = append(all, rebound{m: m, from: m.Queue})
			if err := o.renew(ctx, order, now, &all[len(all)-1]); err != nil {
				return nil, nil, err
			}
		}
	}
	done, err = o.saveRebound(ctx, order, now, all)
	return done, taken, err
}

// takeFor takes a message that waits; busy says that somebody else has it, nil that it does not wait.
func (o *Orders) takeFor(id message.ID) (m *message.Message, busy bool, err error) {
	e, ok := o.ledger.Lookup(id)
	if !ok || e.Place == Held || e.Place == Trashed {
		return nil, false, nil
	}
	if e.Place == Waiting {
		m, err = o.ledger.Take(id, StampOf(e.Due))
		if !errors.Is(err, fs.ErrNotExist) {
			return m, false, err
		}
	}
	e, ok = o.ledger.Lookup(id)
	return nil, ok && e.Place == Taken, nil
}

// renew changes the message.
func (o *Orders) renew(ctx context.Context, order *Order, now time.Time, b *rebound) error {
	m := b.m
	if order.Event {
		if err := o.rebinder(ctx, m, order.Set); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return refuse("rebind_message of message " + m.ID.String() + ": " + err.Error())
		}
	} else {
		for _, name := range slices.Sorted(maps.Keys(order.Set)) {
			if v := order.Set[name]; v != "" {
				m.Meta.Set(name, v)
			} else {
				m.Meta.Set(name, nil)
			}
		}
	}
	m.Queue = m.QueueName()
	if m.Queue == message.NullQueue {
		return refuse("a rebind to the queue " + message.NullQueue + " would drop mail without a trace; kumo queue purge does that with one")
	}
	if m.Queue != b.from || order.Flush {
		m.Due = now
	}
	return nil
}

// saveRebound stores what was changed, logs who has another queue, and puts it there.
func (o *Orders) saveRebound(ctx context.Context, order *Order, now time.Time, all []rebound) ([]message.ID, error) {
	type way struct{ from, to string }
	moved := map[way][]message.ID{}
	for _, b := range all {
		if b.m.Queue != b.from {
			moved[way{b.from, b.m.Queue}] = append(moved[way{b.from, b.m.Queue}], b.m.ID)
		}
	}
	notes := map[way]*note{}
	if !order.Silent {
		var texts [][]byte
		for w, ids := range moved {
			n := &note{
				Order: order.ID, Type: journal.AdminRebind, Reason: order.Reason, At: now, From: w.from, To: w.to, IDs: pack(ids),
			}
			notes[w] = n
			texts = append(texts, n.encode())
		}
		if err := o.ledger.AddNotes(ctx, texts...); err != nil {
			return nil, err
		}
	}
	var done, elsewhere []message.ID
	for i := range all {
		b := &all[i]
		n := notes[way{b.from, b.m.Queue}]
		if n != nil && o.recorder != nil {
			o.record(n, b.m, 0)
		}
		if err := o.ledger.Update(b.m); err != nil {
			return done, err
		}
		b.saved = true
		done = append(done, b.m.ID)
		if b.m.Queue != b.from {
			elsewhere = append(elsewhere, b.m.ID)
		}
	}
	if len(notes) > 0 && o.recorder != nil {
		o.written()
	}
	if o.queues != nil {
		o.queues.reenter(elsewhere)
	}
	return done, nil
}
