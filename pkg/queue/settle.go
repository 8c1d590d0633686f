package queue

import (
	"context"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// Settle takes back a message with what became of it: the one way out. attempts name every recipient once; a
// recipient that none of them names is tried again.
//
// Each recipient gets a record of its own for Delivery, Bounce and TransientFailure. Recipients that were delivered or
// bounced leave the envelope. When none is left the message ends; otherwise it is scheduled again, with one more
// attempt counted if anything was tried.
func (s *Queues) Settle(ctx context.Context, m *message.Message, attempts []message.Attempt) {
	now := s.clock.Now()
	q := s.queue(m.Queue, s.since(now))
	v := verdict{now: now}
	account(m, attempts, now)
	for i := range attempts {
		s.attempted(ctx, q, m, &attempts[i], &v)
	}
	left := remaining(m.Recipients, attempts)
	if len(left) == 0 {
		s.end(q, m, v.ending())
		return
	}
	changed := len(left) != len(m.Recipients)
	m.Recipients = left
	switch {
	case v.damaged:
		s.damaged(q, m)
		return
	case v.tried || !v.delayed:
		if v.tried {
			v.remember(m)
		} else {
			v.retry = s.nextTry(ctx, q, m, now)
		}
		s.retry(ctx, q, m, now, v.retry.For)
		return
	}
	m.LastResponse = v.response.String()
	s.reschedule(ctx, q, m, now, v.delay, changed)
}

// delayed counts what the metrics tell about reasons.
func (q *Scheduled) delayed(why message.Reason) {
	switch why {
	case message.MessageRateThrottle:
		q.rateDelays.Add(1)
	case message.ReadyQueueWasFull, message.MaxReadyWasReducedByConfig:
		q.fullDelays.Add(1)
	}
}

// verdict is what the attempts at a message amount to.
type verdict struct {
	now       time.Time
	delivered bool
	tried     bool // a transient failure
	delayed   bool
	delay     time.Duration
	damaged   bool             // the stored message cannot be read
	response  smtp.Reply       // of the last transient failure, else of the last delay
	last      *message.Attempt // the last transient failure
	retry     message.Span     // until the next try after a transient failure
}

// remember adds the attempt to what the message knows of its past.
func (v *verdict) remember(m *message.Message) {
	m.LastResponse = v.response.String()
	t := message.Try{At: v.now.Round(0), Response: m.LastResponse, Source: v.last.Route.Source, Peer: v.last.Route.PeerName}
	if a := v.last.Route.PeerAddr; a.IsValid() {
		t.Peer += " [" + a.Unmap().String() + "]"
	}
	m.Tried(t)
}

// ending is the type of record that a message ends with whose last recipients left in different ways: it was
// delivered if any of them was.
func (v *verdict) ending() journal.Type {
	if v.delivered {
		return journal.Delivery
	}
	return journal.Bounce
}

// attempted logs one attempt and adds it to the verdict.
func (s *Queues) attempted(ctx context.Context, q *Scheduled, m *message.Message, a *message.Attempt, v *verdict) {
	charge(m, a.Spent)
	kind := journal.Bounce
	switch a.Outcome {
	case message.Delivered:
		kind, v.delivered = journal.Delivery, true
	case message.Transient:
		if !v.tried {
			v.retry = s.nextTry(ctx, q, m, v.now)
		}
		v.tried, v.response, v.last = true, a.Response, a
		v.damaged = v.damaged || a.Reason == message.Damaged
		wait := v.retry
		switch {
		case v.damaged:
			wait = message.Span{} // until somebody releases it
		case a.Wait != nil:
			wait.Cause, wait.At = a.Wait.Cause, a.Wait.At
		}
		s.recordsWait(journal.TransientFailure, m, a.Recipients, v.now, a.Response, &a.Route, wait)
		return
	case message.Retried:
		kind = journal.TransientFailure
	case message.Delayed:
		v.delayed = true
		if !v.tried {
			v.response = a.Response
		}
		v.delay = max(v.delay, pause(a))
		q.delayed(a.Reason)
		s.recordWait(journal.Delayed, m, a.Recipients, v.now, a.Response, &a.Route, waitOf(a, pause(a)))
		return
	}
	s.records(kind, m, a.Recipients, v.now, a.Response, &a.Route)
}

// pause is the delay of a Delayed attempt. One that asks for none is given a second, so that a fault cannot make a
// message spin; but a message whose recipients did not fit into one transaction goes on at once.
func pause(a *message.Attempt) time.Duration {
	if a.Delay <= 0 && a.Reason != message.TooManyRecipients {
		return time.Second
	}
	return max(a.Delay, 0)
}

// remaining are the recipients that were neither delivered nor bounced. It returns all itself when none was.
func remaining(all []mail.Address, attempts []message.Attempt) []mail.Address {
	var gone map[mail.Address]struct{}
	ended := 0
	for i := range attempts {
		a := &attempts[i]
		if a.Outcome != message.Delivered && a.Outcome != message.Permanent {
			continue
		}
		if a.Recipients == nil || (len(all) == 1 && len(a.Recipients) == 1) {
			return nil
		}
		ended += len(a.Recipients)
	}
	if ended == 0 {
		return all
	}
	gone = make(map[mail.Address]struct{}, ended)
	for i := range attempts {
		if a := &attempts[i]; a.Outcome == message.Delivered || a.Outcome == message.Permanent {
			for _, r := range a.Recipients {
				gone[r] = struct{}{}
			}
		}
	}
	var left []mail.Address
	for _, r := range all {
		if _, ok := gone[r]; !ok {
			left = append(left, r)
		}
	}
	if len(left) == len(all) {
		return all
	}
	return left
}

// records logs one record for each of rcpts, all of m's when nil.
func (s *Queues) records(t journal.Type, m *message.Message, rcpts []mail.Address, now time.Time, reply smtp.Reply, route *message.Route) {
	s.recordsWait(t, m, rcpts, now, reply, route, message.Span{})
}

// recordsWait is records of what is followed by a wait.
func (s *Queues) recordsWait(t journal.Type, m *message.Message, rcpts []mail.Address, now time.Time, reply smtp.Reply, route *message.Route, wait message.Span) {
	if rcpts == nil {
		rcpts = m.Recipients
	}
	for i := range rcpts {
		s.recordWait(t, m, rcpts[i:i+1:i+1], now, reply, route, wait)
	}
}

// record logs one record about m for rcpts, all of m's when nil. num_attempts is how many attempts had been made
// before the one that it is about, as in KumoMTA: a message delivered at the first attempt says 0.
func (s *Queues) record(t journal.Type, m *message.Message, rcpts []mail.Address, now time.Time, reply smtp.Reply, route *message.Route) {
	s.recordWait(t, m, rcpts, now, reply, route, message.Span{})
}

// recordWait is record of what is followed by a wait. The first record of several that are about one moment tells what
// was spent.
func (s *Queues) recordWait(t journal.Type, m *message.Message, rcpts []mail.Address, now time.Time, reply smtp.Reply, route *message.Route, wait message.Span) {
	r := s.spare.Get().(*journal.Record)
	*r = journal.Record{Type: t, Time: now, Msg: m, Recipients: rcpts, Attempts: m.Attempts, Response: reply, Spent: m.Spent, Wait: wait}
	m.Spent = nil
	if route != nil {
		r.Route = *route
	}
	s.recorder.Record(r)
	*r = journal.Record{}
	s.spare.Put(r)
}

// end takes m out of the store. Its records were written before, because a crash between the two may repeat a
// message but must not lose what became of it.
func (s *Queues) end(q *Scheduled, m *message.Message, why journal.Type) {
	q.live.Add(-1)
	if err := s.store.End(m.ID, why); err != nil {
		s.log.Error("cannot take an ended message out of the spool; it will be sent again after a restart",
			"id", m.ID.String(), "ended", string(why), "error", err)
	}
	if s.orders != nil && s.orders.claims.n.Load() > 0 { // after the end: who claims it now learns that it has ended
		s.orders.claims.take(m.ID)
	}
}
