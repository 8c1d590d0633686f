package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"kumo/pkg/message"
)

// pageSize is how many messages are changed by one record: few enough to be held in memory for their records, and
// that a delivery which comes to its end waits but a moment.
const pageSize = 5000

// tightPage is the same where a bounce ends its messages at once: their notes are larger, and room may be short.
const tightPage = 500

// matched calls f with the messages that the order is about, a page at a time.
func (r *run) matched(ctx context.Context, f func([]message.ID) error) error {
	return r.order.Match(ctx, func(ids []message.ID) error {
		size := pageSize
		if r.ledger.Ends() {
			size = tightPage
		}
		for part := range slices.Chunk(ids, size) {
			r.counts.Matched += len(part)
			if err := f(part); err != nil {
				return err
			}
			r.tell()
		}
		return ctx.Err()
	})
}

// requeue makes what waits due, and has the ready queues where it goes try again. Messages that are in somebody's
// hands are being tried.
func (r *run) requeue(ctx context.Context) error {
	now := r.now()
	err := r.matched(ctx, func(ids []message.ID) error {
		r.touch(ids)
		done, taken, err := r.step(ctx, r.order, now, ids)
		r.did(done)
		r.counts.Busy += len(taken)
		return err
	})
	r.align()
	if r.queues != nil {
		r.queues.hurry(r.touched, r.floor)
	}
	clear(r.touched)
	return err
}

// change holds or bounces.
func (r *run) change(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	if err := r.pages(ctx); err != nil {
		return err
	}
	if r.counts.Done == 0 && r.counts.Busy == 0 && !r.order.stands() {
		r.over(r.order.ID) // nothing lasts of it
	}
	return nil
}

// pages takes the order's step with everything that it is about, what waits in ready queues included.
func (r *run) pages(ctx context.Context) error {
	return r.matched(ctx, func(ids []message.ID) error {
		now := r.now()
		r.touch(ids)
		done, taken, err := r.step(ctx, r.order, now, ids)
		r.did(done)
		if err != nil || len(taken) == 0 {
			return err
		}
		late, busy, err := r.chase(ctx, now, taken)
		r.did(late)
		r.counts.Busy += len(busy)
		return err
	})
}

// step does to the messages what the order says, and logs it. taken are those that are in somebody's hands.
func (o *Orders) step(ctx context.Context, order *Order, now time.Time, ids []message.ID) (done, taken []message.ID, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.locked(ctx, order, now, ids)
}

// locked is step with mu held.
func (o *Orders) locked(ctx context.Context, order *Order, now time.Time, ids []message.ID) (done, taken []message.ID, err error) {
	switch order.Kind {
	case Bounce, Hold, Suspend:
		if o.standing[order.ID] == nil {
			return nil, nil, nil // it was undone, or has expired
		}
	}
	switch order.Kind {
	case Bounce, Purge:
		return o.dispose(ctx, order, now, ids)
	case Hold, Suspend:
		return o.ledger.Change(ctx, order.ID, ChangeHold, time.Time{}, ids)
	case Rebind:
		return o.rebindAll(ctx, order, now, ids)
	}
	return o.ledger.Change(ctx, order.ID, ChangeDue, now, ids)
}

// chase goes after messages that are in somebody's hands: those that wait in ready queues, or for the first plan of
// their queue, are taken back and treated like the others; for the rest the order claims what comes back. done are
// messages that were changed after all, busy those that were not.
func (r *run) chase(ctx context.Context, now time.Time, taken []message.ID) (done, busy []message.ID, err error) {
	if r.queues == nil {
		return nil, taken, nil
	}
	want := make(map[message.ID]struct{}, len(taken))
	for _, id := range taken {
		want[id] = struct{}{}
	}
	fits := func(id message.ID) bool {
		_, ok := want[id]
		return ok
	}
	recalled := append(r.floor.Recall(fits), r.queues.recall(fits)...)
	for _, m := range recalled {
		r.queues.tellRecalled(r.order, m, now)
		r.ledger.Give(m.ID)
		r.claimed(m.ID) // earlier orders first
	}
	r.claims.add(r.order, taken)
	done, busy, err = r.step(ctx, r.order, now, taken)
	r.claims.keep(r.order.ID, taken, busy)
	for _, m := range recalled {
		r.queues.recalled(m)
	}
	return done, busy, err
}

// purge empties the trash of an order, or ends what it is about.
func (r *run) purge(ctx context.Context) error {
	if r.order.Of != "" {
		return r.empty(ctx)
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	if err := r.pages(ctx); err != nil {
		return err
	}
	if r.recorder != nil { // else the next process ends what it has logged
		r.gone(r.order.ID)
	}
	return nil
}

// empty ends what another order has bounced. Its records are in the log, unless they still are notes: then the next
// process does it.
func (r *run) empty(ctx context.Context) error {
	of := r.find(r.order.Of)
	if of == nil || of.Kind != Bounce {
		return refuse("order " + r.order.Of + " has no trash: it is no bounce, or was undone, or its trash is empty")
	}
	later := false
	if r.recorder == nil {
		notes, err := r.ledger.Notes()
		if err != nil {
			return err
		}
		later = len(notes) > 0
	}
	if later {
		if err := r.ledger.Begin(ctx, r.order); err != nil {
			return err
		}
	}
	err := r.ledger.OfOrder(ctx, of.ID, func(ids []message.ID) error {
		r.counts.Matched += len(ids)
		if later {
			r.did(ids)
			return nil
		}
		done, _, err := r.ledger.Change(ctx, r.order.ID, ChangeEnd, time.Time{}, ids)
		r.did(done)
		r.tell()
		return err
	})
	if err == nil && !later && !of.stands() {
		r.over(of.ID)
	}
	return err
}

func refuse(msg string) error { return &RefusedError{msg} }

// errFound ends a search.
var errFound = errors.New("found")

// lasts reports whether messages obey the order, or may do so when they come back.
func (o *Orders) lasts(ctx context.Context, order string) (bool, error) {
	if o.claims.waits(order) {
		return true, nil
	}
	err := o.ledger.OfOrder(ctx, order, func([]message.ID) error { return errFound })
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}
