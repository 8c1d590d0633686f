package ready

import (
	"sync"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
	"kumo/pkg/throttle"
)

// line is one ready queue: messages for one site from one source by one protocol, and the sessions that send them.
type line struct {
	owner *Queues
	key   string
	gate  chan struct{} // held by the session that waits for max_message_rate

	mu     sync.Mutex
	plan   *egress.Plan // the latest
	limits *limits      // replaced, never changed
	fifo   fifo

	sessions  int        // goroutines of sessions, those that are still opening included
	opening   int        // of these, without a connection yet
	connected int        // of these, with one
	idle      []*session // waiting for a message; the one that waited longest first

	proven    bool  // the site answered the last time somebody tried
	failures  int   // connection plans exhausted since the last success
	setbacks  int   // the same, those counted once that ran side by side
	lastFail  int64 // when the last setback was
	notBefore int64 // no session is opened before: the site did not answer
	rateUntil int64 // no session is opened before: max_connection_rate
	unsent    int   // sessions in a row that were dead when they got their message
	holding   holding
	blocks    *message.Blocks // what kept messages from being sent of late; nil: nothing

	lastTake int64 // when a session last took a message
	used     int64
	watched  bool // the agenda will look at this line within stallTime
	starved  bool // somebody was told that there is no room
	dead     bool // reaped: look the name up again

	at  int64 // agenda's
	pos int   // agenda's: place plus one, 0 when absent
}

// limits are the parts of a path that rule a line.
type limits struct {
	path          *egress.Path
	origins       *egress.Origins
	maxReady      int
	sessions      int
	maxDeliveries int
	maxFailures   int
	idle          time.Duration
	shutdown      time.Duration
	connections   *throttle.Throttle // max_connection_rate
	messages      *throttle.Throttle // max_message_rate
	tally         tally
}

const (
	// perSession is how many messages may wait for each session that there is before another one is opened.
	perSession = 4
	// stallTime is how long nobody may take a message while some wait before another session is opened all the same.
	stallTime = 500 * time.Millisecond
	// reapAfter is how long a line without messages and sessions is kept, with its counters.
	reapAfter = 5 * time.Minute
)

func newLine(s *Queues, plan *egress.Plan, now int64) *line {
	l := &line{owner: s, key: plan.Key, used: now, gate: make(chan struct{}, 1), limits: &limits{origins: &egress.Origins{}}}
	l.adopt(plan)
	return l
}

// adopt takes over a newer plan. Called with mu held, or before anybody else knows l.
func (l *line) adopt(plan *egress.Plan) {
	l.plan = plan
	if plan.Path == l.limits.path {
		return
	}
	p, old := plan.Path, l.limits
	l.limits = &limits{
		path:          p,
		origins:       &plan.Origins,
		maxReady:      max(p.MaxReady, 1),
		sessions:      int(min(p.ConnectionLimit.Limit, 1<<20)),
		maxDeliveries: max(p.MaxDeliveriesPerConnection, 1),
		maxFailures:   p.ConsecutiveConnectionFailuresBeforeDelay,
		idle:          p.IdleTimeout.Std(),
		shutdown:      p.ShutdownTimeout(),
		connections:   l.owner.throttle("kumomta.max_connection_rate.", l.key, p.MaxConnectionRate, old.connections),
		messages:      l.owner.throttle("kumomta.max_message_rate.", l.key, p.MaxMessageRate, old.messages),
		tally:         l.owner.sums.tally(plan, old.tally.own),
	}
}

// throttle binds a rate to its state; old is kept when the rate is the same.
func (s *Queues) throttle(prefix, key string, spec *throttle.Spec, old *throttle.Throttle) *throttle.Throttle {
	switch {
	case spec == nil || spec.IsZero():
		return nil
	case old != nil && old.Spec == *spec:
		return old
	}
	return s.throttles.Throttle(prefix+key, *spec)
}

// offer queues it. alive false means that the line was reaped meanwhile. excess are messages for which a smaller
// max_ready has no room any more.
func (l *line) offer(plan *egress.Plan, it item) (took bool, excess []item, alive bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return false, nil, false
	}
	l.used = it.since
	if l.owner.stopping.Load() {
		return true, nil, true
	}
	if plan != l.plan {
		l.adopt(plan)
		for l.fifo.n > l.limits.maxReady {
			excess = append(excess, l.fifo.popLast())
		}
	}
	if l.fifo.n >= l.limits.maxReady {
		l.starved = true
		l.limits.tally.full()
		return false, excess, true
	}
	l.fifo.push(it)
	l.demand(it.since)
	return true, excess, true
}

// demand sees to it that somebody sends what waits: it wakes one idle session, or opens one. Called with mu held.
func (l *line) demand(now int64) {
	if n := len(l.idle); n > 0 {
		s := l.idle[n-1]
		l.idle = l.idle[:n-1]
		s.wake <- struct{}{}
		return
	}
	switch {
	case l.shut(now):
		l.owner.agenda.sooner(l, now)
		return
	case now >= l.pausedUntil() && l.wanted() > l.sessions:
		l.open()
	}
	if !l.watched {
		l.watched = true
		l.owner.agenda.sooner(l, max(now+int64(stallTime), l.pausedUntil()))
	}
}

// pausedUntil is when the next session may be opened. Called with mu held.
func (l *line) pausedUntil() int64 { return max(l.notBefore, l.rateUntil) }

// shut reports that no message can be sent for so long that none should wait here: nobody is connected, and
// max_connection_rate or a connection_limit of 0 keeps it so. Called with mu held.
func (l *line) shut(now int64) bool {
	return l.sessions == 0 && (l.limits.sessions == 0 || l.rateUntil-now > int64(l.limits.idle))
}

// wanted is how many sessions the backlog is worth. While the site has not answered it is one more than there are
// connections, so that a dead site, or one that refuses further connections, is not knocked at by many at once. Called
// with mu held.
func (l *line) wanted() int {
	if l.fifo.n == 0 || l.owner.stopping.Load() {
		return 0
	}
	n := min((l.fifo.n+perSession-1)/perSession, l.limits.sessions)
	if !l.proven {
		n = min(n, l.connected+1)
	}
	return n
}

// look does what a line needs as time passes, and says on the agenda when to look again. Called by the agenda's loop.
func (l *line) look(now int64) {
	l.mu.Lock()
	l.watched = false
	l.expireIdle(now)
	next := int64(never)
	if len(l.idle) > 0 {
		next = l.idle[0].since + int64(l.limits.idle)
	}
	var back []item
	wait := time.Minute
	switch {
	case l.fifo.n == 0:
	case l.shut(now):
		back = l.fifo.all()
		if l.limits.sessions > 0 {
			wait = time.Duration(l.rateUntil - now)
		}
	default:
		if l.stuck(now) {
			l.open()
		}
		l.watched = true
		next = min(next, max(now+int64(stallTime), l.pausedUntil()))
	}
	if next != never {
		l.owner.agenda.sooner(l, next)
	}
	forbidden := l.limits.sessions == 0
	l.mu.Unlock()
	if forbidden {
		l.forbidden(back, wait)
	} else {
		l.tooFast(back, wait)
	}
}

// stuck reports that messages wait and nobody is about to send them. Called with mu held.
func (l *line) stuck(now int64) bool {
	switch {
	case now < l.pausedUntil() || l.owner.stopping.Load():
		return false
	case l.sessions == 0:
		return true
	}
	return l.opening == 0 && l.sessions < l.limits.sessions && now-l.lastTake >= int64(stallTime)
}

// expireIdle tells the sessions to say goodbye that have waited for idle_timeout. Called with mu held.
func (l *line) expireIdle(now int64) {
	n := 0
	for n < len(l.idle) && now-l.idle[n].since >= int64(l.limits.idle) {
		l.idle[n].over = true
		l.idle[n].wake <- struct{}{}
		n++
	}
	if n > 0 {
		rest := copy(l.idle, l.idle[n:])
		clear(l.idle[rest:])
		l.idle = l.idle[:rest]
	}
}
