package queue

import (
	"cmp"
	"context"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// Suspension says why a queue promotes nothing, and until when.
type Suspension struct {
	Order  string    `json:"order,omitempty"` // that suspended it, if an order did
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`

	until int64
}

// Suspend keeps the queue of that name from promoting messages until then: each that comes due is logged as a
// TransientFailure and waits for its next retry. The queue need not exist yet. A later call replaces an earlier one.
func (s *Queues) Suspend(name, reason string, until time.Time) {
	now := s.since(s.clock.Now())
	p := &Suspension{Reason: reason, Until: until, until: s.since(until)}
	for {
		q := s.queue(name, now)
		q.mu.Lock()
		if !q.dead {
			q.pause.Store(p)
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
	}
}

// Resume ends a suspension. It reports whether there was one. What had to wait keeps its due times.
func (s *Queues) Resume(name string) bool {
	now := s.since(s.clock.Now())
	q := s.find(name)
	if q == nil {
		return false
	}
	p := q.pause.Swap(nil)
	return p != nil && p.until > now
}

// suspension is the suspension in force, nil when there is none.
func (q *Scheduled) suspension(now int64) *Suspension {
	p := q.pause.Load()
	if p != nil && p.until <= now {
		q.pause.CompareAndSwap(p, nil)
		p = nil
	}
	if by := q.ruledOut(now); by != nil && (p == nil || by.until > p.until) {
		return by
	}
	return p
}

// suspended turns a message away from a suspended queue.
func (s *Queues) suspended(ctx context.Context, m *message.Message, p *Suspension) {
	s.Settle(ctx, m, []message.Attempt{{
		Outcome:  message.Transient,
		Response: smtp.NewReply(451, "4.4.4", "KumoMTA internal: scheduled queue is suspended: "+p.Reason),
		Reason:   message.LoggedTransientFailure,
		Wait:     &message.Span{Cause: message.WaitSuspended, At: cmp.Or(p.Order, p.Reason)},
	}})
}
