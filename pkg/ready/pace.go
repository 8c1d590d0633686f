package ready

import (
	"time"

	"kumo/pkg/message"
	"kumo/pkg/smtp"
	"kumo/pkg/throttle"
)

// blindWait is how long a session waits when a shared throttle cannot say: the rate is rather too low than too high.
const blindWait = time.Second

// ask takes one token. It returns how long to wait before asking again, 0 when the token was had.
func (s *session) ask(t *throttle.Throttle) time.Duration {
	r, err := t.Take(s.ctx, 1)
	if err != nil {
		s.line.owner.log.Warn("throttle cannot be asked", "throttle", t.Name, "error", err)
		return blindWait
	}
	return r.RetryAfter
}

// pause waits. False means that the node stops.
func (s *session) pause(d time.Duration) bool {
	c, stop := s.line.owner.clock.NewTimer(d)
	defer stop()
	select {
	case <-c:
		return true
	case <-s.line.owner.opening.Done():
		return false
	}
}

// admit waits for max_connection_rate. False means that no connection is to be opened: the node stops, or the wait
// would be longer than idle_timeout. If nobody else is connected, or about to be, the messages then go back to their
// schedules until the rate allows a connection.
func (s *session) admit() bool {
	l := s.line
	l.mu.Lock()
	lim := l.limits
	l.mu.Unlock()
	if lim.connections == nil {
		return true
	}
	wait := s.ask(lim.connections)
	if wait <= 0 {
		return true
	}
	l.hold(message.Span{Cause: message.WaitConnectionRate, At: lim.origins.MaxConnectionRate})
	defer l.unhold()
	for ; wait > 0; wait = s.ask(lim.connections) {
		if wait > lim.idle {
			l.holdOff(wait)
			return false
		}
		if !s.pause(wait) {
			l.ceased()
			return false
		}
	}
	return true
}

// holdOff keeps connections from being opened for a while, and ends the opening of one.
func (l *line) holdOff(wait time.Duration) {
	now := l.owner.now()
	l.mu.Lock()
	l.rateUntil = max(l.rateUntil, now+int64(wait))
	var items []item
	if l.opening--; l.connected == 0 && l.opening == 0 {
		items = l.fifo.all()
	}
	l.mu.Unlock()
	l.tooFast(items, wait)
}

// tooFast sends messages back that have to wait for a connection longer than idle_timeout.
func (l *line) tooFast(items []item, wait time.Duration) {
	l.settle(items, message.Attempt{
		Outcome:  message.Delayed,
		Reason:   message.ConnectionRateThrottle,
		Delay:    wait,
		Wait:     &message.Span{Cause: message.WaitConnectionRate, At: l.origins().MaxConnectionRate},
		Response: smtp.NewReply(451, "4.4.4", "KumoMTA internal: "+l.key+" throttled connection rate, delay="+pretty(wait)),
	})
}

// pace waits for max_message_rate before it is sent. False means that it is not to be sent now: the wait would be
// longer than idle_timeout, and all messages went back to their schedules, or the node stops.
func (s *session) pace(it item, lim *limits) bool {
	if lim.messages == nil {
		return true
	}
	wait := s.ask(lim.messages)
	if wait <= 0 {
		return true
	}
	began := s.line.owner.now()
	wait, ok := s.turn(lim)
	if now := s.line.owner.now(); time.Duration(now-began) >= leastWait {
		it.m.Spent = message.AddSpan(it.m.Spent, lim.rated(time.Duration(now-began)))
	}
	if wait > 0 {
		s.line.sendBack(it, lim, wait)
	}
	return ok
}

// turn waits for max_message_rate: one session at a time waits for the next token, the others wait for it. Not ok
// means that the node stops, or that the wait for the next token, which it then returns, is too long.
func (s *session) turn(lim *limits) (wait time.Duration, ok bool) {
	l := s.line
	select {
	case l.gate <- struct{}{}:
	case <-l.owner.opening.Done():
		return 0, false
	}
	defer func() { <-l.gate }()
	l.hold(lim.rated(0))
	defer l.unhold()
	for wait = s.ask(lim.messages); wait > 0; wait = s.ask(lim.messages) {
		if wait > lim.idle {
			return wait, false
		}
		if !s.pause(wait) {
			return 0, false
		}
	}
	return 0, true
}

// rated is time that went to max_message_rate.
func (lim *limits) rated(d time.Duration) message.Span {
	return message.Span{Cause: message.WaitMessageRate, At: lim.origins.MaxMessageRate, For: d}
}

// sendBack gives it and all that wait behind it back, each until its turn would come at max_message_rate.
func (l *line) sendBack(it item, lim *limits, wait time.Duration) {
	it.told = l.owner.now()
	l.mu.Lock()
	items := append([]item{it}, l.fifo.all()...)
	l.mu.Unlock()
	spec := lim.messages.Spec
	step := spec.Period / time.Duration(spec.Limit)
	for i := range items {
		delay := wait + time.Duration(i)*step
		l.settle(items[i:i+1], message.Attempt{
			Outcome:  message.Delayed,
			Reason:   message.MessageRateThrottle,
			Delay:    delay,
			Wait:     &message.Span{Cause: message.WaitMessageRate, At: lim.origins.MaxMessageRate},
			Response: smtp.NewReply(451, "4.4.4", "KumoMTA internal: "+l.key+" throttled message rate, delay="+pretty(delay)),
		})
	}
}

// tooMany sends messages back for which a smaller max_ready has no room any more.
func (l *line) tooMany(items []item) {
	for i := range items {
		delay := time.Duration(l.owner.random() * float64(time.Minute))
		l.settle(items[i:i+1], message.Attempt{
			Outcome:  message.Delayed,
			Reason:   message.MaxReadyWasReducedByConfig,
			Delay:    delay,
			Wait:     &message.Span{Cause: message.WaitMaxReady, At: l.origins().MaxReady},
			Response: smtp.NewReply(451, "4.4.4", "KumoMTA internal: max_ready of "+l.key+" was reduced, delay="+pretty(delay)),
		})
	}
}

// forbidden sends messages back that a connection_limit of zero keeps from being sent.
func (l *line) forbidden(items []item, wait time.Duration) {
	l.settle(items, message.Attempt{
		Outcome:  message.Delayed,
		Reason:   message.ReadyQueueWasSuspended,
		Delay:    wait,
		Wait:     &message.Span{Cause: message.WaitConnectionLimit, At: l.origins().ConnectionLimit},
		Response: smtp.NewReply(451, "4.4.4", "KumoMTA internal: connection_limit of "+l.key+" is 0"),
	})
}

// pretty is d as people read it: "1m30s", "250ms".
func pretty(d time.Duration) string {
	if d >= time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}
