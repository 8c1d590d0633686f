package queue

import (
	"context"
	"errors"
	"io/fs"

	"kumo/pkg/message"
)

// ruleset are the standing orders that are about queues. It is replaced, never changed.
type ruleset struct{ rules []rule }

// rule is a suspension or a bounce that goes on for mail that is yet to come.
type rule struct {
	order *Order
	until int64 // on the monotonic scale; never for no end
}

// inForce are the rules that are about one queue.
type inForce struct {
	set     *ruleset
	suspend []*Suspension
	bounce  []rule
}

// setRules makes the standing orders the rules of the queues.
func (o *Orders) setRules() {
	o.mu.Lock()
	defer o.mu.Unlock()
	set := &ruleset{}
	for _, s := range o.standing {
		if !s.stands() {
			continue
		}
		r := rule{order: s, until: never}
		if !s.Expires.IsZero() {
			r.until = o.mono(s.Expires)
		}
		set.rules = append(set.rules, r)
	}
	if len(set.rules) == 0 {
		set = nil
	}
	o.rules.Store(set)
}

// ruled are the rules about q; nil when there are none.
func (q *Scheduled) ruled() *inForce {
	o := q.owner.orders
	if o == nil {
		return nil
	}
	set := o.rules.Load()
	if set == nil {
		return nil
	}
	f := q.force.Load()
	if f != nil && f.set == set {
		return f
	}
	f = &inForce{set: set}
	for _, r := range set.rules {
		if !r.order.Scope.covers(q.name, q.parts) {
			continue
		}
		if r.order.Kind == Bounce {
			f.bounce = append(f.bounce, r)
		} else {
			f.suspend = append(f.suspend, &Suspension{Order: r.order.ID, Reason: r.order.Reason, Until: r.order.Expires, until: r.until})
		}
	}
	q.force.Store(f)
	return f
}

// bounced is the order that bounces the mail of q, nil when there is none.
func (q *Scheduled) bounced(now int64) *Order {
	if f := q.ruled(); f != nil {
		for _, r := range f.bounce {
			if r.until > now {
				return r.order
			}
		}
	}
	return nil
}

// ruledOut is the suspension by order that ends last, nil when there is none.
func (q *Scheduled) ruledOut(now int64) *Suspension {
	var last *Suspension
	if f := q.ruled(); f != nil {
		for _, p := range f.suspend {
			if p.until > now && (last == nil || p.until > last.until) {
				last = p
			}
		}
	}
	return last
}

// bounceHand bounces what a worker has in hand. What cannot be bounced now stays due, for a second.
func (s *Queues) bounceHand(ctx context.Context, q *Scheduled, order *Order, h *hand) {
	ids := make([]message.ID, 0, batch)
	q.mu.Lock()
	for i := range h.n {
		if !h.gone[i] {
			ids = append(ids, h.entries[i].id)
		}
	}
	q.mu.Unlock()
	if _, _, err := s.orders.step(ctx, order, s.orders.now(), ids); err != nil {
		if !errors.Is(err, context.Canceled) && !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("mail of a queue that is being bounced stays for now", "queue", q.name, "order", order.ID, "error", err)
		}
		q.holdUntil(s.since(s.clock.Now()) + int64(lookAgain))
	}
	q.mu.Lock()
	q.alignHand(func(message.ID) bool { return true })
	for i := range h.n { // what is in other hands is looked at again
		if e := &h.entries[i]; !h.gone[i] {
			e.due = max(e.due, s.since(s.clock.Now())+int64(lookAgain))
		}
	}
	q.mu.Unlock()
}
