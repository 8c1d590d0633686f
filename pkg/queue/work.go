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

// work promotes arrivals and due messages of one queue: one batch of each.
func (s *Queues) work(ctx context.Context, q *Scheduled) {
	now := s.clock.Now()
	var room [batch]entry
	arrivals, due, ok := q.begin(s.since(now), room[:0])
	if !ok {
		return
	}
	c, err := q.config(ctx, s.since(now))
	if err != nil {
		s.unconfigured(ctx, q, arrivals, now, err)
		q.holdUntil(s.since(now) + int64(noConfig))
		q.finish(due, s.since(now))
		return
	}
	for i, m := range arrivals {
		if ctx.Err() != nil {
			q.dropArrivals(arrivals[i:])
			break
		}
		s.promote(ctx, q, c, m, s.clock.Now())
	}
	done := s.promoteDue(ctx, q, c, due)
	q.finish(due[done:], s.since(s.clock.Now()))
}

// begin gives a worker the queue with what it has to do. Not ok means that another worker has it, or that nothing is
// to be done.
func (q *Scheduled) begin(now int64, room []entry) (arrivals []*message.Message, due []entry, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy || q.dead {
		return nil, nil, false
	}
	arrivals, q.arrivals = q.arrivals, nil
	q.owner.holding.Add(-int64(len(arrivals)))
	if q.hold <= now {
		q.hold = 0
		for len(q.heap) > 0 && q.heap[0].due <= now && len(room) < batch {
			room = append(room, q.heap.pop())
		}
	}
	q.inHand = len(room) + len(arrivals)
	q.busy = q.inHand > 0
	if !q.busy {
		q.rearm()
	}
	return arrivals, room, q.busy
}

// holdUntil keeps workers from the due messages of the queue.
func (q *Scheduled) holdUntil(t int64) {
	q.mu.Lock()
	q.hold = t
	q.mu.Unlock()
}

// finish gives the queue back: what is left could not be promoted and stays due.
func (q *Scheduled) finish(left []entry, now int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range left {
		q.heap.push(e)
	}
	switch {
	case len(left) > 0:
		q.backlog.Store(true)
	case q.hold == 0:
		q.backlog.Store(false)
		q.blocked = ""
	}
	q.busy, q.inHand, q.served = false, 0, now
	q.rearm()
}

// dropArrivals forgets messages that nobody will promote any more: they are in the store.
func (q *Scheduled) dropArrivals(ms []*message.Message) {
	for _, m := range ms {
		q.mu.Lock()
		q.heap.push(q.owner.entry(m, 0))
		q.mu.Unlock()
	}
}

// unconfigured sends arrivals of a queue back for which policy has no configuration.
func (s *Queues) unconfigured(ctx context.Context, q *Scheduled, arrivals []*message.Message, now time.Time, err error) {
	s.log.Error("messages wait for their queue's configuration", "queue", q.name, "error", err)
	for _, m := range arrivals {
		s.delay(ctx, q, m, now, noConfig, message.MessageGetQueueNameFailed, failedConfig)
	}
}

// promoteDue moves due messages to their ready queues until one has to wait, and returns how many are dealt with. A
// message is loaded only when there is room for it: that is what bounds memory.
func (s *Queues) promoteDue(ctx context.Context, q *Scheduled, c *settings, due []entry) int {
	for i, e := range due {
		now := s.since(s.clock.Now())
		if p := q.suspension(now); p != nil {
			if m := s.load(q, e, now); m != nil {
				s.suspended(ctx, m, p)
			}
			continue
		}
		plan, err := s.planner.Plan(ctx, c.request)
		if ctx.Err() != nil {
			return i
		}
		q.warm.Store(err == nil)
		if err != nil {
			if m := s.load(q, e, now); m != nil {
				s.noPlan(ctx, q, c, m, err)
			}
			continue
		}
		if !s.promoteOne(ctx, q, c, e, plan, now) {
			return i
		}
	}
	return len(due)
}

// promoteOne moves a due message to the ready queue of plan. False means that it has to wait.
func (s *Queues) promoteOne(ctx context.Context, q *Scheduled, c *settings, e entry, plan *egress.Plan, now int64) bool {
	if s.feed.Full(plan.Key) {
		s.room.wait(q, plan.Key, now)
		return false
	}
	if wait := q.throttled(ctx, c, now, false); wait > 0 {
		q.holdUntil(now + int64(wait))
		return false
	}
	if m := s.load(q, e, now); m != nil && !s.feed.Offer(plan, m) {
		s.room.wait(q, plan.Key, now)
		return false
	}
	return true
}

// load brings a due message back. nil means that it needs no more care now.
func (s *Queues) load(q *Scheduled, e entry, now int64) *message.Message {
	m, err := s.store.Load(e.id)
	switch {
	case err == nil:
		m.Queue = q.name
		m.Attempts = int(e.attempts)
		m.Created = s.created(e, m.Created)
		return m
	case errors.Is(err, fs.ErrNotExist):
		q.live.Add(-1)
		s.log.Debug("message has ended meanwhile", "id", e.id.String(), "queue", q.name)
		return nil
	}
	e.due = now + int64(retryLoad)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.heap.push(e) // the worker rearms
	if q.griped == 0 || time.Duration(now-q.griped) >= retryLoad {
		q.griped = now
		s.log.Error("cannot load a message that is due; others of its queue may not be spoken of",
			"id", e.id.String(), "queue", q.name, "error", err)
	}
	return nil
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
