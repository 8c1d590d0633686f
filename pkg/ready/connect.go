package ready

import (
	"errors"
	"strings"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

const (
	firstPause = time.Second
	maxPause   = 10 * time.Second
	// patience is how long a message waits for a site that does not answer, before a failed connection is its own.
	patience = 2 * time.Second
)

// pauseAfter is how long no session is opened after so many failed rounds in a row: 1, 2, 4, 8, 10, 10… seconds.
func pauseAfter(setbacks int) time.Duration {
	if setbacks > 4 {
		return maxPause
	}
	return min(firstPause<<max(setbacks-1, 0), maxPause)
}

// connect opens the connection; nil when there is none to be had.
func (s *session) connect() egress.Session {
	l := s.line
	if !s.admit() {
		return nil
	}
	began := l.owner.now()
	c, err := s.dial()
	if err == nil {
		l.answered(began, openingOf(c))
		return c
	}
	l.ceased()
	if !l.owner.stopping.Load() {
		l.failed(err, began)
	}
	return nil
}

// dial has the carrier open a session. err is not nil when there is none.
func (s *session) dial() (c egress.Session, failure *egress.Failure) {
	var err error
	panicked := s.guard("open", func() { c, err = s.line.owner.carriers.Carrier(s.plan).Open(s.line.owner.opening, s.plan) })
	switch {
	case panicked:
		return nil, &egress.Failure{
			Outcome: message.Transient,
			Reply:   smtp.NewReply(451, "4.4.1", "KumoMTA internal: no connection, for an internal reason"),
		}
	case err == nil && c != nil:
		return c, nil
	}
	if f, ok := errors.AsType[*egress.Failure](err); ok {
		return nil, f
	}
	text := "no connection"
	if err != nil {
		text += ": " + err.Error()
	}
	return nil, &egress.Failure{Outcome: message.Transient, Reply: smtp.NewReply(451, "4.4.1", text), Cause: err}
}

// answered notes a connection whose opening began then, and opens further ones that the backlog is worth.
func (l *line) answered(began int64, spans []message.Span) {
	now := l.owner.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened(began, now, spans)
	l.limits.tally.connected()
	l.opening--
	l.connected++
	l.proven = true
	l.failures, l.setbacks, l.notBefore = 0, 0, 0
	l.lastTake = now
	// As many more as there are now; each of them does the same.
	for n := l.sessions; n > 0 && l.wanted() > l.sessions; n-- {
		l.open()
	}
}

// ceased notes that a session got no connection.
func (l *line) ceased() {
	l.mu.Lock()
	l.opening--
	l.mu.Unlock()
}

// failed decides what a failure to open a session, which began then, means for the messages that wait.
func (l *line) failed(f *egress.Failure, began int64) {
	now := l.owner.now()
	l.mu.Lock()
	l.opened(began, now, f.Spent)
	var victims []item
	outcome, reply, reason := f.Outcome, f.Reply, f.Reason
	l.owner.log.Debug("no connection", "ready_queue", l.key, "failures", l.failures+1, "error", f)
	if forAll(f) {
		victims = l.fifo.all()
	} else {
		outcome, reply = message.Transient, explained(f)
		if l.setback(began, now) {
			victims = l.victims(began, now)
		}
		if l.failures > l.limits.maxFailures {
			victims = append(victims, l.fifo.all()...)
			reply = smtp.NewReply(451, "4.4.1", "No answer from any hosts listed in MX")
			reason = message.TooManyConnectionFailures
		}
	}
	l.unsent = 0
	if l.fifo.n > 0 {
		l.owner.agenda.sooner(l, l.pausedUntil())
	}
	l.mu.Unlock()
	l.settle(victims, message.Attempt{Outcome: outcome, Response: reply, Reason: reason})
}

// maxCause bounds what a record tells of why each host failed, in bytes.
const maxCause = 500

// explained is the reply of a failure with what its hosts said, so that logs and queue listings show it.
func explained(f *egress.Failure) smtp.Reply {
	r := f.Reply
	if f.Cause == nil {
		return r
	}
	why := strings.Join(strings.Fields(f.Cause.Error()), " ")
	if len(why) > maxCause {
		why = strings.ToValidUTF8(why[:maxCause], "") + "…"
	}
	if !strings.Contains(r.Text, why) {
		r.Text += ": " + why
	}
	return r
}

// forAll reports failures that are not a matter of hosts that do not answer: they hold for every message at once.
func forAll(f *egress.Failure) bool {
	switch f.Reason {
	case message.FailedDueToNullMx, message.MxResolvedToZeroHosts, message.MxWasProhibited, message.MxWasSkipped:
		return true
	}
	return f.Outcome == message.Permanent
}

// setback counts a failed connection plan. Several that ran side by side are one setback: only the first is true.
// Called with mu held.
func (l *line) setback(began, now int64) bool {
	l.failures++
	l.proven = false
	if began < l.lastFail {
		return false
	}
	l.setbacks++
	l.lastFail = now
	l.notBefore = now + int64(pauseAfter(l.setbacks))
	l.block(now, l.notBefore, message.Span{Cause: message.WaitPause, For: time.Duration(l.notBefore - now)})
	return true
}

// victims are the messages that a setback is a failed attempt for: the one that the session was opened for, and from
// the second setback on (or when it took long) all that had waited for it with patience. Messages of a site that
// other sessions are connected to have none: there it is only one connection more that is refused. Called with mu
// held.
func (l *line) victims(began, now int64) []item {
	if l.connected > 0 || l.fifo.n == 0 {
		return nil
	}
	out := []item{l.fifo.pop()}
	if l.setbacks < 2 && now-began < int64(patience) {
		return out
	}
	for l.fifo.n > 0 && now-l.fifo.first().since >= int64(patience) {
		out = append(out, l.fifo.pop())
	}
	return out
}

// settle gives messages back that no session has tried, each with the same attempt.
func (l *line) settle(items []item, a message.Attempt) {
	if len(items) == 0 {
		return
	}
	l.mu.Lock()
	tally := l.limits.tally
	room := l.roomAgain()
	a.Route = route(l.plan)
	now := l.owner.now()
	for i := range items {
		l.explain(&items[i], now)
	}
	l.mu.Unlock()
	for _, it := range items {
		attempts := []message.Attempt{a}
		tally.attempts(attempts)
		l.owner.settler.Settle(l.owner.settling, it.m, attempts)
	}
	if room > 0 {
		l.owner.room(l.key, room)
	}
}

// route is where a try went that did not get as far as a peer.
func route(plan *egress.Plan) message.Route {
	r := message.Route{Site: plan.Key, Pool: plan.Pool, Protocol: protocolName(plan.Key)}
	if plan.Source != nil {
		r.Source = plan.Source.Name
	}
	if plan.Path != nil {
		r.Provider = plan.Path.ProviderName
	}
	return r
}

// protocol is the last part of a ready queue's name without its parameter: "smtp_client", "maildir", "lua".
func protocol(key string) string {
	p := key[strings.LastIndexByte(key, '@')+1:]
	p, _, _ = strings.Cut(p, ":")
	return p
}

// protocolName is what log records call a protocol.
func protocolName(key string) string {
	switch protocol(key) {
	case "smtp_client":
		return "ESMTP"
	case "maildir":
		return "Maildir"
	case "lua":
		return "Lua"
	}
	return ""
}
