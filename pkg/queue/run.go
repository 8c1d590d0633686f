package queue

import (
	"context"
	"sync"
	"time"
)

// upkeepInterval is how often waiting queues are looked at again and idle ones forgotten.
const upkeepInterval = time.Second

// Run promotes messages as they come due, until ctx ends; it returns when its workers have stopped. What is scheduled
// then is in the store. Settle may be called until the process ends.
func (s *Queues) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	workers.Go(func() { s.checkRestored(ctx) })
	next := s.since(s.clock.Now()) + int64(upkeepInterval)
	for {
		now := s.since(s.clock.Now())
		if now >= next {
			s.upkeep(now)
			next = now + int64(upkeepInterval)
		}
		q, at := s.agenda.take(now)
		if q == nil {
			if !s.sleep(ctx, min(at, next)-now) {
				return nil
			}
			continue
		}
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		workers.Go(func() {
			defer func() { <-s.slots }()
			s.work(ctx, q)
		})
	}
}

// sleep waits until the agenda wakes the loop or d has passed. False means that ctx has ended.
func (s *Queues) sleep(ctx context.Context, d int64) bool {
	c, stop := s.clock.NewTimer(time.Duration(max(d, 0)))
	defer stop()
	select {
	case <-c:
	case <-s.agenda.wake:
	case <-ctx.Done():
		return false
	}
	return true
}

// upkeep does what needs no exact time.
func (s *Queues) upkeep(now int64) {
	s.poll()
	if now-s.reaped >= int64(reapEvery) {
		s.reaped = now
		s.reap(now)
	}
}

// reapEvery is how often the room looks for idle queues.
const reapEvery = 10 * time.Second

// reap forgets queues that have no messages and were not used for their reap_interval.
func (s *Queues) reap(now int64) {
	s.each(func(q *Scheduled) {
		after := s.fallback.ReapInterval
		if c := q.conf.Load(); c != nil {
			after = c.ReapInterval
		}
		if time.Duration(now-q.used.Load()) < after.Std() {
			return
		}
		sh := s.shard(q.name)
		sh.mu.Lock()
		defer sh.mu.Unlock()
		q.mu.Lock()
		defer q.mu.Unlock()
		if !q.dead && q.idle(now) && time.Duration(now-q.used.Load()) >= after.Std() {
			q.dead = true
			s.agenda.set(q, never)
			delete(sh.queues, q.name)
		}
	})
}
