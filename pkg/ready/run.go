package ready

import (
	"context"
	"fmt"
	"time"

	"kumo/pkg/egress"
)

const (
	// reapEvery is how often the room looks for lines that are not used any more.
	reapEvery = 30 * time.Second
	// lastGrace is how long a session may take to notice that it was told to give up.
	lastGrace = 10 * time.Second
)

// Run keeps the ready queues going until ctx ends, and then drains them: no session is opened or given another
// message, what waits is forgotten (the spool has it), sessions that have not begun the text of a message are cut, and
// the others may finish the message in hand within the system_shutdown_timeout of their path. Run returns when the last has ended; the error says that some did not.
func (s *Queues) Run(ctx context.Context) error {
	reap := s.now() + int64(reapEvery)
	for {
		now := s.now()
		if now >= reap {
			s.reap(now)
			reap = now + int64(reapEvery)
		}
		l, at := s.agenda.take(now)
		if l != nil {
			l.look(now)
			continue
		}
		c, stop := s.clock.NewTimer(time.Duration(max(min(at, reap)-now, 0)))
		select {
		case <-c:
		case <-s.agenda.wake:
		case <-ctx.Done():
			stop()
			return s.drain()
		}
		stop()
	}
}

// Abort tells all sessions to give up at once: the second signal.
func (s *Queues) Abort() {
	s.abortOnce.Do(func() { close(s.abort) })
}

// drain ends all sessions.
func (s *Queues) drain() error {
	s.stopping.Store(true)
	s.close()
	s.each((*line).stop)
	s.yield()
	began := s.now()
	tell := began + int64(tellEvery)
	end := int64(never) // when the last session should be gone
	for {
		next, left := s.hurry(s.now()-began, &end)
		switch {
		case left == 0:
			return nil
		case s.now() >= end:
			return fmt.Errorf("stop ready queues: %d sessions did not end", left)
		}
		if now := s.now(); now >= tell {
			tell = now + int64(tellEvery)
			s.log.Info("waiting for deliveries whose text is on its way", "sessions", left, "no_longer_than", pretty(time.Duration(began+s.patience()-now)))
		}
		c, stop := s.clock.NewTimer(time.Duration(max(min(began+next, end, tell)-s.now(), 0)))
		select {
		case <-c:
		case <-s.none:
		case <-s.abort:
			s.giveUp()
			end = min(end, s.now()+int64(lastGrace))
			s.waitGone(end)
		}
		stop()
	}
}

// tellEvery is how often operators hear of sessions that a stop waits for.
const tellEvery = 10 * time.Second

// yield tells all sessions that only a message whose text is on its way may finish.
func (s *Queues) yield() {
	s.mu.Lock()
	var open []egress.Yielding
	for x := range s.sessions {
		if y, ok := x.conn.(egress.Yielding); ok {
			open = append(open, y)
		}
	}
	s.mu.Unlock()
	for _, y := range open {
		y.Yield()
	}
}

// opened notes the connection of a session.
func (s *Queues) opened(x *session, c egress.Session) {
	s.mu.Lock()
	x.conn = c
	s.mu.Unlock()
	if y, ok := c.(egress.Yielding); ok && s.stopping.Load() {
		y.Yield()
	}
}

// patience is the longest that a session may take after the drain began.
func (s *Queues) patience() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	longest := int64(0)
	for x := range s.sessions {
		longest = max(longest, int64(x.shutdown))
	}
	return longest
}

// stop forgets what waits and sends the sessions that wait home.
func (l *line) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fifo = fifo{}
	for _, s := range l.idle {
		s.over = true
		s.wake <- struct{}{}
	}
	l.idle = nil
}

// hurry cancels the sessions whose time is up after so long a drain. It returns when the next one's is, and how many
// sessions there are. Once all are cancelled end is set.
func (s *Queues) hurry(drained int64, end *int64) (next int64, left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next = never / 2
	running := false
	for x := range s.sessions {
		if int64(x.shutdown) <= drained {
			x.cancel()
			continue
		}
		running = true
		next = min(next, int64(x.shutdown))
	}
	if !running && *end == never {
		*end = s.now() + int64(lastGrace)
	}
	return next, len(s.sessions)
}

// giveUp cancels all sessions.
func (s *Queues) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := range s.sessions {
		x.cancel()
		x.shutdown = 0
	}
}

// waitGone waits for the last session to end, until then at most.
func (s *Queues) waitGone(end int64) {
	c, stop := s.clock.NewTimer(time.Duration(max(end-s.now(), 0)))
	defer stop()
	select {
	case <-c:
	case <-s.none:
	}
}

// enter counts a session in. False means that the node stops.
func (s *Queues) enter(x *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return false
	}
	s.sessions[x] = struct{}{}
	return true
}

// exit counts a session out.
func (s *Queues) exit(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, x)
	if len(s.sessions) == 0 && s.stopping.Load() {
		s.gone.Do(func() { close(s.none) })
	}
}

// reap forgets lines without messages and sessions that were not used for a while.
func (s *Queues) reap(now int64) {
	s.each(func(l *line) {
		sh := s.shard(l.key)
		sh.mu.Lock()
		defer sh.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.dead || l.sessions > 0 || l.fifo.n > 0 || now-l.used < int64(reapAfter) {
			return
		}
		l.dead = true
		s.agenda.drop(l)
		delete(sh.lines, l.key)
	})
}
