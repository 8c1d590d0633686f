package queue

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
)

// batch is how many due entries of one queue a worker takes at a time: other queues get their turn in between.
const batch = 64

// retryLoad is when a message is tried again that could not be loaded.
const retryLoad = time.Minute

// lookAgain is when an entry is looked at again whose message an order has in hand.
const lookAgain = time.Second

// hand are the entries that a worker has taken off the heap of its queue.
type hand struct {
	entries [batch]entry
	gone    [batch]bool // no business of the worker any more; guarded by the queue's mu
	n       int
}

// work promotes arrivals and due messages of one queue: one batch of each.
func (s *Queues) work(ctx context.Context, q *Scheduled) {
	now := s.clock.Now()
	h := s.hands.Get().(*hand)
	defer s.hands.Put(h)
	arrivals, ok := q.begin(s.since(now), h)
	if !ok {
		return
	}
	if h.n > 0 {
		q.unstall(s.since(now))
	}
	if order := q.bounced(s.since(now)); order != nil {
		q.dropArrivals(arrivals)
		s.bounceHand(ctx, q, order, h)
		q.finish(s.since(s.clock.Now()))
		return
	}
	asked := s.since(now)
	c, err := q.config(ctx, asked)
	if err != nil {
		s.unconfigured(ctx, q, arrivals, now, err)
		q.stall(s.since(now), message.WaitConfig, "")
		q.holdUntil(s.since(now) + int64(noConfig))
		q.finish(s.since(now))
		return
	}
	if c.took >= leastWait {
		q.block(c.asked, c.asked+int64(c.took), policySpan(c.took))
	}
	for i, m := range arrivals {
		if ctx.Err() != nil {
			q.dropArrivals(arrivals[i:])
			break
		}
		if c.asked == asked { // else the message was charged when it came
			c.asking(m, asked)
		}
		s.promote(ctx, q, c, m, s.clock.Now())
	}
	s.promoteDue(ctx, q, c, h)
	q.finish(s.since(s.clock.Now()))
}

// begin gives a worker the queue with what it has to do. Not ok means that another worker has it, or that nothing is
// to be done.
func (q *Scheduled) begin(now int64, h *hand) (arrivals []*message.Message, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy || q.dead {
		return nil, false
	}
	arrivals, q.arrivals = q.arrivals, nil
	q.owner.holding.Add(-int64(len(arrivals)))
	h.n, h.gone = 0, [batch]bool{}
	if q.hold <= now {
		q.hold = 0
		for len(q.heap) > 0 && q.heap[0].due <= now && h.n < batch {
			h.entries[h.n] = q.heap.pop()
			h.n++
		}
	}
	q.inHand = h.n + len(arrivals)
	q.busy = q.inHand > 0
	if !q.busy {
		q.rearm()
		return nil, false
	}
	q.hand = h
	return arrivals, true
}

// holdUntil keeps workers from the due messages of the queue.
func (q *Scheduled) holdUntil(t int64) {
	q.mu.Lock()
	q.hold = t
	q.mu.Unlock()
}

// finish gives the queue back: what is left in hand could not be promoted and stays due.
func (q *Scheduled) finish(now int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := 0
	for i := range q.hand.n {
		if !q.hand.gone[i] {
			q.heap.push(q.hand.entries[i])
			left++
		}
	}
	switch {
	case left > 0:
		q.backlog.Store(true)
	case q.hold == 0:
		q.backlog.Store(false)
		q.blocked = ""
	}
	q.busy, q.inHand, q.hand, q.served = false, 0, nil, now
	q.rearm()
}

// dropArrivals forgets messages that nobody will promote any more: they are in the store.
func (q *Scheduled) dropArrivals(ms []*message.Message) {
	for _, m := range ms {
		q.owner.putBack(q, m, 0)
	}
}

// unconfigured sends arrivals of a queue back for which policy has no configuration.
func (s *Queues) unconfigured(ctx context.Context, q *Scheduled, arrivals []*message.Message, now time.Time, err error) {
	s.log.Error("messages wait for their queue's configuration", "queue", q.name, "error", err)
	for _, m := range arrivals {
		s.delay(ctx, q, m, now, noConfig, message.MessageGetQueueNameFailed, failedConfig, "")
	}
}

// promoteDue moves due messages to their ready queues until one has to wait. A message is loaded only when there is
// room for it: that is what bounds memory.
func (s *Queues) promoteDue(ctx context.Context, q *Scheduled, c *settings, h *hand) {
	for i := range h.n {
		now := s.since(s.clock.Now())
		if p := q.suspension(now); p != nil {
			if m := s.load(q, h, i, now); m != nil {
				s.suspended(ctx, m, p)
			}
			continue
		}
		if err := s.sick(); err != nil {
			if m := s.load(q, h, i, now); m != nil {
				s.unhealthy(q, c, m, s.clock.Now(), err)
			}
			continue
		}
		plan, err := s.planner.Plan(ctx, c.asks(&q.planning))
		now = q.planned(now)
		if ctx.Err() != nil {
			return
		}
		q.warm.Store(err == nil)
		if err != nil {
			if m := s.load(q, h, i, now); m != nil {
				s.noPlan(ctx, q, c, m, err)
			}
			continue
		}
		if !s.promoteOne(ctx, q, c, h, i, plan, now) {
			return
		}
	}
}

// promoteOne moves a due message to the ready queue of plan. False means that it has to wait.
func (s *Queues) promoteOne(ctx context.Context, q *Scheduled, c *settings, h *hand, i int, plan *egress.Plan, now int64) bool {
	if s.feed.Full(plan.Key) {
		q.stall(now, message.WaitMaxReady, plan.Origins.MaxReady)
		s.room.wait(q, plan.Key, now)
		return false
	}
	if wait := q.throttled(ctx, c, now, false); wait > 0 {
		q.stall(now, message.WaitQueueRate, c.from.rate)
		q.holdUntil(now + int64(wait))
		return false
	}
	q.use(plan.Key)
	if m := s.load(q, h, i, now); m != nil && !s.feed.Offer(plan, m) {
		q.stall(now, message.WaitMaxReady, plan.Origins.MaxReady)
		s.putBack(q, m, h.entries[i].due)
		s.room.wait(q, plan.Key, now)
		return false
	}
	return true
}

// load takes a due message. nil means that it needs no more care now.
func (s *Queues) load(q *Scheduled, h *hand, i int, now int64) *message.Message {
	e := h.entries[i]
	m, err := s.store.Take(e.id, e.stamp)
	q.mu.Lock()
	gone := h.gone[i]
	h.gone[i] = true
	switch {
	case gone || err == nil || errors.Is(err, message.ErrDamaged):
	case errors.Is(err, fs.ErrNotExist):
		q.overtaken(e, now)
	default:
		e.due = now + int64(retryLoad)
		q.heap.push(e) // the worker rearms
		q.gripe(e, now, err)
	}
	q.mu.Unlock()
	switch {
	case gone && err == nil: // an order took it out of the hand, and has made a new entry of it since
		s.store.Give(e.id)
		s.orders.claimed(e.id)
		return nil
	case gone:
		return nil
	case errors.Is(err, message.ErrDamaged):
		s.unreadable(q, e, err)
		return nil
	case err != nil:
		return nil
	}
	m.Queue = q.name
	m.Attempts = int(e.attempts)
	m.Created = s.created(e, m.Created)
	q.late(m, e.due, now)
	return m
}

// overtaken decides about an entry that the store does not know any more as it is: its message has ended, or an order
// has changed it. Called with mu held.
func (q *Scheduled) overtaken(e entry, now int64) {
	at, ok := q.owner.store.Lookup(e.id)
	if ok && at.Place == Taken && at.Queue == q.name {
		e.due = now + int64(lookAgain)
		q.heap.push(e)
		return
	}
	if e, ok = q.current(e); ok {
		q.heap.push(e)
		return
	}
	q.live.Add(-1)
	q.owner.log.Debug("message has ended or obeys an order meanwhile", "id", e.id.String(), "queue", q.name)
}

// gripe tells of a message that cannot be loaded, once in a while. Called with mu held.
func (q *Scheduled) gripe(e entry, now int64, err error) {
	if q.griped == 0 || time.Duration(now-q.griped) >= retryLoad {
		q.griped = now
		q.owner.log.Error("cannot load a message that is due; others of its queue may not be spoken of",
			"id", e.id.String(), "queue", q.name, "error", err)
	}
}

// created gives the reception time its monotonic reading back, which the spool cannot keep, so that a later step of
// the wall clock does not age the message. Where the clock was stepped before the message came the two scales differ;
// then the wall time counts.
func (s *Queues) created(e entry, wall time.Time) time.Time {
	off := wall.Sub(s.base)
	if d := off - time.Duration(e.created); d > time.Second || d < -time.Second {
		return wall
	}
	return s.base.Add(off)
}
