package queue

import (
	"context"
	"slices"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
)

// suspend makes a rule for queues, those that are yet to come included.
func (r *run) suspend(ctx context.Context) error {
	if err := r.ledger.Begin(ctx, r.order); err != nil {
		return err
	}
	r.stand(r.order)
	return r.concerned(ctx, r.order)
}

// concerned counts the messages of the queues that a suspension speaks of.
func (r *run) concerned(ctx context.Context, order *Order) error {
	if r.queues != nil {
		n := r.queues.covered(&order.Scope)
		r.counts.Matched += n
		r.counts.Done += n
		return nil
	}
	if order.Match == nil {
		return nil
	}
	return order.Match(ctx, func(ids []message.ID) error {
		r.counts.Matched += len(ids)
		r.did(ids)
		return nil
	})
}

// resume ends the suspension that it names, or all suspensions of queues that it is about, and those that lie within;
// and it releases the messages that it is about from suspensions that hold them.
func (r *run) resume(ctx context.Context) error {
	if id := r.order.Of; id != "" {
		of := r.find(id)
		if of == nil || of.Kind != Suspend {
			return refuse("order " + id + " is no suspension, or is over")
		}
		return r.end(ctx, of)
	}
	if r.order.QueuesOnly {
		err := r.each(func(s *Order) bool {
			return s.Kind == Suspend && s.QueuesOnly && (s.Scope.Within(&r.order.Scope) || r.order.Scope.Within(&s.Scope))
		}, func(s *Order) error { return r.end(ctx, s) })
		if err != nil {
			return err
		}
	}
	some := false
	_ = r.each(func(s *Order) bool { return s.Kind == Suspend && !s.QueuesOnly }, func(*Order) error { some = true; return nil })
	if !some {
		return nil
	}
	return r.releaseMatched(ctx, func(order string) bool {
		s := r.find(order)
		return s != nil && s.Kind == Suspend
	})
}

// release ends the hold that it names, or releases the messages that it is about whoever holds them.
func (r *run) release(ctx context.Context) error {
	if id := r.order.Of; id != "" {
		of := r.find(id)
		if of == nil || of.Kind != Hold {
			return refuse("order " + id + " is no hold, or is over")
		}
		return r.end(ctx, of)
	}
	return r.releaseMatched(ctx, func(string) bool { return true })
}

// releaseMatched releases messages that the order is about, from those orders that by picks.
func (r *run) releaseMatched(ctx context.Context, by func(order string) bool) error {
	holders := map[string]bool{}
	err := r.order.Match(ctx, func(ids []message.ID) error {
		held := slices.DeleteFunc(slices.Clone(ids), func(id message.ID) bool {
			e, ok := r.ledger.Lookup(id)
			if ok && e.Place == Held && by(e.Order) {
				holders[e.Order] = true
				return false
			}
			return true
		})
		r.counts.Matched += len(held)
		return r.back(ctx, ChangeRelease, held)
	})
	if err != nil {
		return err
	}
	return r.forget(ctx, func(s *Order) bool { return holders[s.ID] })
}

// forget ends holds that no message obeys any more.
func (o *Orders) forget(ctx context.Context, which func(*Order) bool) error {
	return o.each(func(s *Order) bool { return which(s) && !s.stands() }, func(s *Order) error {
		lasts, err := o.lasts(ctx, s.ID)
		if err == nil && !lasts {
			o.over(s.ID)
		}
		return err
	})
}

// undo takes an order back.
func (r *run) undo(ctx context.Context) error {
	of := r.find(r.order.Of)
	if of == nil {
		return refuse("order " + r.order.Of + " cannot be undone: nothing of it stands any more, or there is no such order")
	}
	if by := r.purges(of.ID); by != nil {
		return refuse("order " + of.ID + " cannot be undone: order " + by.ID + " purges what it has bounced")
	}
	if of.Kind == Purge {
		return refuse("order " + of.ID + " cannot be undone: what it has purged is gone for good")
	}
	return r.end(ctx, of)
}

// purges is the order that has begun to empty the trash of another, nil if none has.
func (o *Orders) purges(id string) (by *Order) {
	_ = o.each(func(s *Order) bool { return s.Kind == Purge && s.Of == id }, func(s *Order) error { by = s; return nil })
	return by
}

// end takes an order back: it no longer is a rule, claims nothing, and its messages wait again. If that fails it stands
// again, and what is left of it can be taken back later.
func (r *run) end(ctx context.Context, of *Order) (err error) {
	r.mu.Lock()
	delete(r.standing, of.ID)
	r.mu.Unlock()
	defer func() {
		if err != nil {
			r.stand(of)
		}
	}()
	r.claims.cancel(of.ID)
	if of.stands() {
		r.setRules()
		if of.Kind == Suspend {
			if err := r.concerned(ctx, of); err != nil {
				return err
			}
		}
	}
	c := ChangeRelease
	if of.Kind == Bounce {
		c = ChangeRestore
		if err := r.reserve(ctx, of.ID); err != nil {
			return err
		}
	}
	err = r.ledger.OfOrder(ctx, of.ID, func(ids []message.ID) error {
		r.counts.Matched += len(ids)
		return r.back(ctx, c, ids)
	})
	if err == nil {
		r.over(of.ID)
	}
	return err
}

// reserve makes room for the entries that are about to come back, so that heaps need not grow in steps.
func (r *run) reserve(ctx context.Context, order string) error {
	if r.queues == nil {
		return nil
	}
	coming := map[string]int{}
	err := r.ledger.OfOrder(ctx, order, func(ids []message.ID) error {
		for _, id := range ids {
			if e, ok := r.ledger.Lookup(id); ok {
				coming[e.Queue]++
			}
		}
		return nil
	})
	for name, n := range coming {
		r.queues.reserve(name, n)
	}
	return err
}

// back makes messages wait again that were held or trashed. What comes back from the trash is logged before it can be
// tried.
func (r *run) back(ctx context.Context, c Change, ids []message.ID) error {
	for part := range slices.Chunk(ids, pageSize) {
		if err := r.backPage(ctx, c, part); err != nil {
			return err
		}
		r.tell()
	}
	return ctx.Err()
}

func (r *run) backPage(ctx context.Context, c Change, ids []message.ID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	logged := c == ChangeRestore && !r.order.Silent
	n := note{Order: r.order.ID, Of: r.order.Of, Type: journal.AdminUndo, Reason: r.order.Reason, At: r.now(), IDs: pack(ids)}
	if logged {
		if err := r.ledger.AddNotes(ctx, n.encode()); err != nil {
			return err
		}
	}
	done, _, err := r.ledger.Change(ctx, r.order.ID, c, time.Time{}, ids)
	if err != nil {
		return err
	}
	if logged {
		r.write(&n, done, nil)
	}
	r.did(done)
	if r.queues != nil {
		r.queues.reenter(done)
	}
	return nil
}
