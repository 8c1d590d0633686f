package queue

import (
	"sync"
	"time"
)

// blockedFor is when a queue whose ready queue stays full is tried again all the same: its pool may have another
// source by then.
const blockedFor = 30 * time.Second

// waiting are the queues whose due messages wait for room in a ready queue, first come, first served.
type waiting struct {
	mu   sync.Mutex
	keys map[string][]*Scheduled
}

// wait notes that q, which a worker has in hand, waits for room in the ready queue of that name.
func (w *waiting) wait(q *Scheduled, key string, now int64) {
	q.mu.Lock()
	same := q.blocked == key
	q.blocked = key
	q.hold = now + int64(blockedFor)
	q.mu.Unlock()
	if !same {
		w.mu.Lock()
		w.keys[key] = append(w.keys[key], q)
		w.mu.Unlock()
	}
}

// take removes the first queue that waits for key.
func (w *waiting) take(key string) *Scheduled {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.keys[key]
	if len(all) == 0 {
		return nil
	}
	q := all[0]
	all[0] = nil
	if len(all) == 1 {
		delete(w.keys, key)
	} else {
		w.keys[key] = all[1:]
	}
	return q
}

// names are the ready queues that somebody waits for.
func (w *waiting) names() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]string, 0, len(w.keys))
	for k := range w.keys {
		out = append(out, k)
	}
	return out
}

// Room tells that the ready queue of that name takes about n more messages: as many queues that wait for it are
// worked on again as it takes to fill it. Calling it is a matter of speed only; full ready queues are polled anyway.
func (s *Queues) Room(key string, n int) {
	for n > 0 {
		q := s.room.take(key)
		if q == nil {
			return
		}
		q.mu.Lock()
		if q.blocked == key {
			q.blocked = ""
			q.hold = 0
			n -= min(len(q.heap)+q.inHand, batch)
			q.rearm()
		}
		q.mu.Unlock()
	}
}

// poll looks for room in the ready queues that somebody waits for.
func (s *Queues) poll() {
	for _, key := range s.room.names() {
		if !s.full(key) {
			s.Room(key, pollRoom)
		}
	}
}

// pollRoom is how many messages a poll assumes to find room for.
const pollRoom = 1024
