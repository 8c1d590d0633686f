package queue

import (
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/smtp"
)

// leastWait is the shortest wait in a scheduled queue, beyond the due time, that is explained.
const leastWait = 5 * time.Millisecond

// origins say where the settings of a queue stand that make messages wait.
type origins struct{ retry, retryCap, rate string }

func originsOf(t option.Trace) origins {
	var o origins
	for i := range t {
		at := t[i].Origin.At
		switch t[i].Name {
		case "retry_interval":
			o.retry = at
		case "max_retry_interval":
			o.retryCap = at
		case "max_message_rate":
			o.rate = at
		}
	}
	return o
}

// retrySpan is the wait of a message for its next try: by retry_interval, or by its cap where that made it shorter.
func (c *settings) retrySpan(attempts int, wait time.Duration) message.Span {
	if top := c.MaxRetryInterval.Std(); top > 0 && (attempts > 0 || c.RetryInterval.Std() > top) && c.interval(attempts) >= top {
		return message.Span{Cause: message.WaitRetryCap, At: c.from.retryCap, For: wait}
	}
	return message.Span{Cause: message.WaitRetry, At: c.from.retry, For: wait}
}

// delaySpan is the wait of a message that was put off for a reason.
func delaySpan(why message.Reason, at string, wait time.Duration) message.Span {
	s := message.Span{Cause: message.WaitRetry, At: at, For: wait}
	switch why {
	case message.ScheduledForLater:
		s.Cause = message.WaitScheduled
	case message.MessageRateThrottle:
		s.Cause = message.WaitQueueRate
	case message.ConnectionRateThrottle:
		s.Cause = message.WaitConnectionRate
	case message.ReadyQueueWasFull, message.MaxReadyWasReducedByConfig:
		s.Cause = message.WaitMaxReady
	case message.MessageGetQueueNameFailed:
		s.Cause = message.WaitConfig
	case message.ReadyQueueWasSuspended:
		s.Cause = message.WaitSuspended
	}
	return s
}

// waitOf is the wait that an attempt asks for.
func waitOf(a *message.Attempt, wait time.Duration) message.Span {
	if a.Wait == nil {
		return delaySpan(a.Reason, "", wait)
	}
	return message.Span{Cause: a.Wait.Cause, At: a.Wait.At, For: wait}
}

// arrived begins the account of a message that came in. Intake may have begun it.
func arrived(m *message.Message, now time.Time) {
	if m.Hop.IsZero() {
		m.Hop = now
	}
}

// account closes the account of m up to now, when a record is about to be made: what is known of no cause was kumo's
// own doing.
func account(m *message.Message, attempts []message.Attempt, now time.Time) {
	if m.Hop.IsZero() {
		m.Hop = now
		return
	}
	rest := now.Sub(m.Hop)
	m.Hop = now
	if rest < leastWait {
		return
	}
	rest -= message.SumSpans(m.Spent)
	for i := range attempts {
		rest -= message.SumSpans(attempts[i].Spent)
	}
	if rest >= message.LeastSpan {
		m.Spent = message.AddSpan(m.Spent, message.Span{Cause: message.SpentKumo, For: rest})
	}
}

// charge adds what an attempt took to the account of m.
func charge(m *message.Message, spans []message.Span) {
	if m.Spent == nil {
		m.Spent = spans
		return
	}
	for _, s := range spans {
		m.Spent = message.AddSpan(m.Spent, s)
	}
}

// asking charges m for the time that policy took to configure its queue, if m waited for that since then.
func (c *settings) asking(m *message.Message, since int64) {
	if end := c.asked + int64(c.took); c.took >= message.LeastSpan && end > since {
		charge(m, []message.Span{policySpan(time.Duration(end - max(since, c.asked)))})
	}
}

func policySpan(d time.Duration) message.Span {
	return message.Span{Cause: message.SpentPolicy, At: "get_queue_config", For: d}
}

// stall notes why the due messages of the queue have to wait from now on. The worker's.
func (q *Scheduled) stall(now int64, cause message.Cause, at string) {
	q.stalled, q.stalledBy = now, message.Span{Cause: cause, At: at}
}

// unstall notes that a worker has come back, and what had stalled the queue. The worker's.
func (q *Scheduled) unstall(now int64) {
	if q.stalledBy.Cause == "" {
		return
	}
	s := q.stalledBy
	s.For = time.Duration(now - q.stalled)
	q.stalledBy = message.Span{}
	q.block(q.stalled, now, s)
}

// block remembers what kept due messages from being promoted. The worker's.
func (q *Scheduled) block(from, to int64, spans ...message.Span) {
	if time.Duration(to-from) < leastWait {
		return
	}
	if q.blocks == nil {
		q.blocks = &message.Blocks{}
	}
	q.blocks.Add(from, to, spans...)
}

// late begins the account of a message that is due: what kept it since. The worker's.
func (q *Scheduled) late(m *message.Message, due, now int64) {
	m.Hop = q.owner.base.Add(time.Duration(due))
	if time.Duration(now-due) >= leastWait {
		m.Spent, _ = q.blocks.Explain(nil, due, now)
	}
}

// planned is the time after a plan that was asked for at the time given: later, and noted, if the plan took long. The
// worker's.
func (q *Scheduled) planned(now int64) int64 {
	if len(q.planning) == 0 {
		return now
	}
	after := q.owner.since(q.owner.clock.Now())
	q.block(now, after, q.planning...)
	q.planning = nil
	return after
}

// asks is the request for a plan, which notes what the plan takes in spent.
func (c *settings) asks(spent *[]message.Span) egress.Request {
	r := c.request
	r.Spent = spent
	return r
}

// leastTold is the shortest wait in a ready queue that is logged when an order takes a message back from there.
const leastTold = time.Second

// tellRecalled logs what a message has waited for that an order takes back from a ready queue: nothing else would
// remember it.
func (s *Queues) tellRecalled(order *Order, m *message.Message, now time.Time) {
	if order.Silent || m.Hop.IsZero() || now.Sub(m.Hop) < leastTold {
		return
	}
	account(m, nil, now)
	wait := message.Span{}
	if order.Kind == Hold || order.Kind == Suspend {
		wait = message.Span{Cause: message.WaitHeld, At: order.ID, For: leastTold}
	}
	reply := smtp.NewReply(451, "4.4.4", "KumoMTA internal: taken back from its ready queue by order "+order.ID)
	s.recordWait(journal.Delayed, m, nil, now, reply, nil, wait)
}

// Late is what keeps the due messages of the queue of that name, up to now, as far as it is known; nil when nothing
// is, or while a worker has them in hand.
func (s *Queues) Late(name string, due time.Time) []message.Span {
	q := s.find(name)
	if q == nil {
		return nil
	}
	now := s.since(s.clock.Now())
	q.mu.Lock()
	defer q.mu.Unlock()
	from := max(s.since(due), 0)
	if q.busy || from >= now {
		return nil
	}
	until := now
	var spans []message.Span
	if by := q.stalledBy; by.Cause != "" {
		until = max(q.stalled, from)
		by.For = time.Duration(now - until)
		spans = append(spans, by)
	}
	spans, _ = q.blocks.Explain(spans, from, until)
	return spans
}
