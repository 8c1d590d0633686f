package queue

import (
	"context"
	"errors"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// Arrivals that came while their queue was cold wait in memory for the first plan, so that they need not be read
// back. Beyond these numbers they wait as entries.
const (
	maxArrivals    = 256  // of one queue
	maxAllArrivals = 4096 // of all queues
)

// overflow is the longest that a message waits which found its ready queue full.
const overflow = time.Minute

// Insert takes ownership of m, which is in the store, and tries at once to move it to its ready queue unless it is
// due later. It does so in the caller's goroutine when the queue has had a plan before; else a worker does, because
// the caller should not wait for DNS.
func (s *Queues) Insert(ctx context.Context, m *message.Message, why message.Reason) {
	now := s.clock.Now()
	mono := s.since(now)
	q := s.queue(m.Queue, mono)
	q.live.Add(1)
	arrived(m, now)
	if q.bounced(mono) != nil { // a worker does it, many at a time
		s.putBack(q, m, mono)
		return
	}
	c, err := q.config(ctx, mono)
	if err != nil {
		s.log.Error("message waits for its queue's configuration", "queue", q.name, "error", err)
		s.delay(ctx, q, m, now, noConfig, message.MessageGetQueueNameFailed, failedConfig, "")
		return
	}
	c.asking(m, mono)
	switch {
	case !m.Due.IsZero() && m.Due.After(now):
		s.later(ctx, q, m, now, why)
	case !q.warm.Load():
		q.arrive(m, now)
	default:
		s.promote(ctx, q, c, m, now)
	}
}

// later schedules a message that is not due yet.
func (s *Queues) later(ctx context.Context, q *Scheduled, m *message.Message, now time.Time, why message.Reason) {
	wait := m.Due.Sub(now)
	reply := smtp.NewReply(451, "4.4.4", "KumoMTA internal: first attempt in "+pretty(wait)+" ("+
		string(why)+","+string(message.ScheduledForLater)+")")
	s.delay(ctx, q, m, now, wait, message.ScheduledForLater, reply, "")
}

// arrive leaves m to a worker.
func (q *Scheduled) arrive(m *message.Message, now time.Time) {
	q.mu.Lock()
	if q.dead || len(q.arrivals) >= maxArrivals || q.owner.holding.Load() >= maxAllArrivals {
		q.mu.Unlock()
		q.owner.putBack(q, m, q.owner.since(now))
		return
	}
	q.arrivals = append(q.arrivals, m)
	q.owner.holding.Add(1)
	q.rearm()
	q.mu.Unlock()
}

// entry is what stays in memory of m, due at that time.
func (s *Queues) entry(m *message.Message, due int64) entry {
	return entry{id: m.ID, due: due, created: s.since(m.Created), attempts: int32(m.Attempts), stamp: StampOf(m.Due)}
}

// putBack makes m, which nobody has changed since it was accepted or taken, wait again.
func (s *Queues) putBack(q *Scheduled, m *message.Message, due int64) {
	s.store.Give(m.ID)
	s.wait(q, s.entry(m, due))
}

// promote moves m, which is in memory and due, to its ready queue, or says in the log why not.
func (s *Queues) promote(ctx context.Context, q *Scheduled, c *settings, m *message.Message, now time.Time) {
	mono := s.since(now)
	if p := q.suspension(mono); p != nil {
		s.suspended(ctx, m, p)
		return
	}
	if err := s.sick(); err != nil {
		s.unhealthy(q, c, m, now, err)
		return
	}
	plan, err := s.planner.Plan(ctx, c.asks(&m.Spent))
	if err != nil {
		q.warm.Store(false)
		if ctx.Err() != nil { // the caller has gone, which says nothing about the message
			s.putBack(q, m, mono)
			return
		}
		s.noPlan(ctx, q, c, m, err)
		return
	}
	q.warm.Store(true)
	if wait := q.throttled(ctx, c, mono, true); wait > 0 {
		s.delay(ctx, q, m, now, wait, message.MessageRateThrottle, throttledReply(q.name, wait), c.from.rate)
		return
	}
	q.use(plan.Key)
	if !s.feed.Offer(plan, m) {
		wait := time.Duration(s.random() * float64(overflow))
		s.delay(ctx, q, m, now, wait, message.ReadyQueueWasFull, fullReply(plan.Key, wait), plan.Origins.MaxReady)
	}
}

// noPlan ends or reschedules a message for which there is no plan.
func (s *Queues) noPlan(ctx context.Context, q *Scheduled, c *settings, m *message.Message, err error) {
	f := failure(q, err)
	s.Settle(ctx, m, []message.Attempt{{
		Outcome:  f.Outcome,
		Response: f.Reply,
		Reason:   f.Reason,
		Delay:    noConfig,
		Route:    message.Route{Pool: c.EgressPool},
	}})
}

// failure is what err says, or for an error that says nothing a reason to try again.
func failure(q *Scheduled, err error) *egress.Failure {
	if f, ok := errors.AsType[*egress.Failure](err); ok {
		return f
	}
	return &egress.Failure{
		Outcome: message.Transient,
		Reason:  message.FailedToInsertIntoReadyQueue,
		Reply:   smtp.NewReply(451, "4.4.4", "failed to resolve queue "+q.name+": "+err.Error()),
		Cause:   err,
	}
}
