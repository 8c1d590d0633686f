package queue

import (
	"context"
	"time"

	"kumo/pkg/message"
)

// Entry is a message in the store as recovery knows it.
type Entry struct {
	ID       message.ID
	Queue    string
	Created  time.Time
	Due      time.Time // the zero time means now
	Attempts int
	Place    Place
	Order    string // that a message obeys which is Held or Trashed
}

// Restore takes back a message from the store without loading it. It is to be called for every message that is there
// at start, whatever its times say, before any of them can be inserted. Those that are Held or Trashed are left alone.
//
// The wall clock may have been set back since the entry was written. Its due time is then brought nearer: a message
// that claims to come from the future counts as received now, and (once the queue's configuration is known) none
// waits longer than its present retry interval.
func (s *Queues) Restore(e Entry) {
	if e.Place != Waiting {
		return
	}
	now := s.since(s.clock.Now())
	n := s.stored(&e, now)
	for {
		q := s.queue(e.Queue, now)
		q.mu.Lock()
		if !q.dead {
			q.live.Add(1)
			q.restored = q.restored || (n.attempts > 0 && n.due > now)
			q.heap.push(n)
			q.rearm()
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
	}
}

// stored is the entry of a message as the store knows it.
func (s *Queues) stored(e *Entry, now int64) entry {
	n := entry{id: e.ID, due: now, created: s.since(e.Created), attempts: int32(max(e.Attempts, 0)), stamp: StampOf(e.Due)}
	if !e.Due.IsZero() {
		n.due = max(s.since(e.Due), 0)
	}
	if ahead := n.created - now; ahead > 0 {
		n.created = now
		n.due = max(n.due-ahead, now)
	}
	return n
}

// checkRestored bounds the due times of restored entries by the retry intervals of their queues.
func (s *Queues) checkRestored(ctx context.Context) {
	s.each(func(q *Scheduled) {
		q.mu.Lock()
		restored := q.restored
		q.restored = false
		q.mu.Unlock()
		if !restored || ctx.Err() != nil {
			return
		}
		now := s.since(s.clock.Now())
		if c, err := q.config(ctx, now); err == nil {
			q.bound(c.Config, now)
		} else {
			s.log.Warn("due times of restored messages were not checked", "queue", q.name, "error", err)
		}
	})
}

// bound brings entries nearer that are due later than a whole retry interval from now.
func (q *Scheduled) bound(c *Config, now int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	changed := false
	for i := range q.heap {
		e := &q.heap[i]
		if e.attempts == 0 {
			continue // its first try may have been scheduled for any time
		}
		if last := now + int64(c.interval(int(e.attempts)-1)+c.jitter()); e.due > last {
			e.due, changed = last, true
		}
	}
	if changed {
		q.heap.init()
		q.rearm()
	}
}
