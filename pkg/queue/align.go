package queue

import (
	"time"

	"kumo/pkg/message"
)

// align brings the heaps of the queues that the order has touched in line with the store, in one pass: entries whose
// message has ended, is held or trashed, or has another queue go; those that are due at another time move.
func (r *run) align() {
	if r.queues == nil {
		return
	}
	for name := range r.touched {
		if q := r.queues.find(name); q != nil {
			q.align(r.few)
		}
	}
}

// align looks at the entries of the messages in only, or at all of them if it is nil.
func (q *Scheduled) align(only map[message.ID]struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wanted := func(id message.ID) bool {
		_, ok := only[id]
		return ok || only == nil
	}
	kept := q.heap[:0]
	for _, e := range q.heap {
		if wanted(e.id) {
			var ok bool
			if e, ok = q.current(e); !ok {
				q.live.Add(-1)
				continue
			}
		}
		kept = append(kept, e)
	}
	q.heap = kept
	if c := cap(q.heap); c >= 1024 && len(q.heap) <= c/4 {
		q.heap = append(make(entryHeap, 0, len(q.heap)), q.heap...)
	}
	q.heap.init()
	q.alignHand(wanted)
	q.rearm()
}

// alignHand takes what is not the worker's any more out of its hand. Due times need no care: what is in hand is looked
// up again when it is taken. Called with mu held.
func (q *Scheduled) alignHand(wanted func(message.ID) bool) {
	if q.hand == nil {
		return
	}
	for i := range q.hand.n {
		if e := q.hand.entries[i]; !q.hand.gone[i] && wanted(e.id) {
			if _, ok := q.current(e); !ok {
				q.hand.gone[i] = true
				q.live.Add(-1)
			}
		}
	}
}

// reenter makes entries of messages that wait and have none: they were held or trashed, or come from another queue.
func (s *Queues) reenter(ids []message.ID) {
	for _, id := range ids {
		e, ok := s.store.Lookup(id)
		if !ok || e.Place != Waiting {
			continue
		}
		for {
			now := s.since(s.clock.Now())
			q := s.queue(e.Queue, now)
			q.mu.Lock()
			if !q.dead {
				q.live.Add(1)
				n := s.stored(&e, now)
				n.due = max(n.due, now) // its account begins now: until now an order was the cause
				q.add(n)
				q.mu.Unlock()
				break
			}
			q.mu.Unlock()
		}
	}
}

// add schedules e unless the store says otherwise. Called with mu held.
func (q *Scheduled) add(e entry) {
	if e, ok := q.current(e); ok {
		q.heap.push(e)
		q.rearm()
	} else {
		q.live.Add(-1)
	}
}

// recalled makes an entry of a message that was taken back from where it waited to be sent.
func (s *Queues) recalled(m *message.Message) {
	now := s.since(s.clock.Now())
	due := now
	if !m.Due.IsZero() {
		due = max(s.since(m.Due), now)
	}
	s.push(s.queue(m.Queue, now), s.entry(m, due))
}

// recall takes back messages that wait for the first plan of their queues.
func (s *Queues) recall(want func(message.ID) bool) []*message.Message {
	var out []*message.Message
	s.each(func(q *Scheduled) {
		q.mu.Lock()
		defer q.mu.Unlock()
		if len(q.arrivals) == 0 {
			return
		}
		left := make([]*message.Message, 0, len(q.arrivals))
		for _, m := range q.arrivals {
			if want(m.ID) {
				out = append(out, m)
			} else {
				left = append(left, m)
			}
		}
		s.holding.Add(int64(len(left) - len(q.arrivals)))
		q.arrivals = left
		q.rearm()
	})
	return out
}

// reserve makes room for n more entries in the queue of that name.
func (s *Queues) reserve(name string, n int) {
	q := s.queue(name, s.since(s.clock.Now()))
	q.mu.Lock()
	defer q.mu.Unlock()
	if need := len(q.heap) + n; need > cap(q.heap) {
		q.heap = append(make(entryHeap, 0, need), q.heap...)
	}
}

// covered is how many messages the queues of a scope have.
func (s *Queues) covered(sc *Scope) int {
	n := 0
	s.each(func(q *Scheduled) {
		if sc.covers(q.name, q.parts) {
			n += int(q.live.Load())
		}
	})
	return n
}

// hurry has these queues, and the ready queues that they last used, try again what waits.
func (s *Queues) hurry(names map[string]struct{}, floor Floor) {
	keys := map[string]struct{}{}
	for name := range names {
		q := s.find(name)
		if q == nil {
			continue
		}
		q.mu.Lock()
		if q.blocked == "" && q.hold > 0 && time.Duration(q.openAt.Load()-s.since(s.clock.Now())) <= 0 {
			q.hold = 0
		}
		for _, k := range q.ways {
			keys[k] = struct{}{}
		}
		q.rearm()
		q.mu.Unlock()
	}
	for k := range keys {
		floor.Hurry(k)
	}
}

// maxWays is how many ready queues a queue remembers to have used.
const maxWays = 16

// use remembers that messages of q go to the ready queue of that name.
func (q *Scheduled) use(key string) {
	if p := q.way.Load(); p != nil && *p == key {
		return
	}
	last := key // a copy: the argument itself would be put on the heap by every call
	q.way.Store(&last)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !has(q.ways, key) {
		if len(q.ways) == maxWays {
			q.ways = q.ways[1:]
		}
		q.ways = append(q.ways, key)
	}
}
