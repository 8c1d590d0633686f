package ready

import (
	"context"
	"runtime/debug"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// session is one goroutine that opens a connection, sends messages over it, and closes it.
type session struct {
	line     *line
	plan     *egress.Plan
	shutdown time.Duration // system_shutdown_timeout
	wake     chan struct{} // room for one: look at the line again
	ctx      context.Context
	cancel   context.CancelFunc
	conn     egress.Session // set once it is open; guarded by Queues.mu

	since int64 // waiting since; the line's
	over  bool  // waited for idle_timeout, or the node stops; the line's
	current
}

// open starts a session. Called with mu held.
func (l *line) open() {
	s := &session{line: l, plan: l.plan, shutdown: l.limits.shutdown, wake: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if !l.owner.enter(s) {
		s.cancel()
		return
	}
	l.sessions++
	l.opening++
	go s.run()
}

// run is the life of a session.
func (s *session) run() {
	defer s.cancel()
	defer s.line.owner.exit(s)
	c := s.connect()
	if c == nil {
		s.line.leave(false, nil)
		return
	}
	s.line.owner.opened(s, c)
	back := s.serve(c)
	s.guard("close", c.Close) // before another session may take its place under connection_limit
	s.line.leave(true, back)
}

// serve sends messages until there are none, or the connection may or can take no more. It returns a message that
// another session is to send.
func (s *session) serve(c egress.Session) *item {
	l := s.line
	for sent := 0; ; {
		it, lim, ok := l.take(s)
		if !ok {
			return nil
		}
		if !s.pace(it, lim) {
			continue
		}
		if err := l.owner.pressure.Sick(); err != nil {
			l.unhealthy(it, err)
			continue
		}
		res := s.deliver(c, it.m)
		if res.Unsent {
			return &it
		}
		if sent == 0 {
			l.sends()
		}
		lim.tally.attempts(res.Attempts)
		l.owner.settler.Settle(l.owner.settling, it.m, res.Attempts)
		if sent++; res.Done || sent >= lim.maxDeliveries {
			return nil
		}
	}
}

// take waits for a message. Not ok means that there was none for idle_timeout, or that the node stops.
func (l *line) take(s *session) (item, *limits, bool) {
	o := l.owner
	now := o.now()
	l.mu.Lock()
	for !o.stopping.Load() {
		if l.fifo.n > 0 {
			it, lim := l.fifo.pop(), l.limits
			l.lastTake, l.used = now, now
			waited := now-it.since >= int64(leastWait)
			if waited {
				l.explain(&it, now)
			}
			s.has(&it, now, waited)
			room := l.roomAgain()
			l.mu.Unlock()
			if room > 0 {
				o.room(l.key, room)
			}
			return it, lim, true
		}
		s.since, s.over, s.current = now, false, current{}
		l.idle = append(l.idle, s)
		if len(l.idle) == 1 {
			o.agenda.sooner(l, now+int64(l.limits.idle))
		}
		l.mu.Unlock()
		<-s.wake
		now = o.now()
		l.mu.Lock()
		if s.over {
			break
		}
	}
	l.mu.Unlock()
	return item{}, nil, false
}

// roomAgain is how many messages fit again, 0 when nobody wants to know or it is too early. Called with mu held.
func (l *line) roomAgain() int {
	if !l.starved || l.fifo.n > l.limits.maxReady/2 {
		return 0
	}
	l.starved = false
	return l.limits.maxReady - l.fifo.n
}

// maxUnsent is how many sessions in a row may be found dead by their message before that counts as a failure to
// connect.
const maxUnsent = 3

// leave ends a session's part in the line. back is a message that it could not send: another session will.
func (l *line) leave(connected bool, back *item) {
	now := l.owner.now()
	l.mu.Lock()
	l.sessions--
	if connected {
		l.connected--
	}
	l.used = now
	dead := false
	if back != nil && !l.owner.stopping.Load() {
		l.fifo.unpop(*back)
		l.unsent++
		dead = l.unsent > maxUnsent
	}
	if !dead && l.fifo.n > 0 {
		l.demand(now)
	}
	l.mu.Unlock()
	if dead {
		l.failed(deadOnArrival, now)
	}
}

var deadOnArrival = &egress.Failure{
	Outcome: message.Transient,
	Reply:   smtp.NewReply(451, "4.4.1", "KumoMTA internal: the peer closes each connection before a message is sent"),
}

// sends notes that a session was alive when it got its first message: those that were found dead are no longer in a row.
func (l *line) sends() {
	l.mu.Lock()
	l.unsent = 0
	l.mu.Unlock()
}

// deliver has the carrier's session send m. A carrier that panics or says nothing costs the session, not the message.
func (s *session) deliver(c egress.Session, m *message.Message) (res egress.Result) {
	panicked := s.guard("deliver", func() { res = c.Deliver(s.ctx, m) })
	switch {
	case panicked:
		res = egress.Result{Attempts: s.broken("the delivery failed for an internal reason"), Done: true}
	case !res.Unsent && len(res.Attempts) == 0:
		res.Attempts = s.broken("the delivery ended without an outcome")
	}
	return res
}

// broken is a try again for all recipients.
func (s *session) broken(why string) []message.Attempt {
	return []message.Attempt{{
		Outcome:  message.Transient,
		Response: smtp.NewReply(451, "4.4.1", "KumoMTA internal: "+why),
		Reason:   message.LoggedTransientFailure,
		Route:    route(s.plan),
	}}
}

// guard runs f, which is the carrier's, and keeps its panic from the node.
func (s *session) guard(doing string, f func()) (panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			panicked = true
			s.line.owner.log.Error("a delivery session panicked", "ready_queue", s.line.key, "doing", doing,
				"panic", p, "stack", string(debug.Stack()))
		}
	}()
	f()
	return false
}
