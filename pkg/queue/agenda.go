package queue

import (
	"math"
	"sync"
)

// never is the time of a queue that has nothing to wait for.
const never = math.MaxInt64

// agenda orders the queues by when each next wants attention, so that one goroutine with one timer serves them all.
// A queue's at and pos belong to the agenda's lock, which may be taken while a queue's lock is held, never the other
// way round.
type agenda struct {
	mu   sync.Mutex
	heap []*Scheduled
	wake chan struct{} // room for one: the head became earlier
}

func newAgenda() *agenda { return &agenda{wake: make(chan struct{}, 1)} }

// set says when q wants attention; never takes it off the agenda.
func (a *agenda) set(q *Scheduled, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case at == never:
		if q.pos > 0 {
			a.remove(q.pos - 1)
		}
		return
	case q.pos == 0:
		q.at = at
		a.heap = append(a.heap, q)
		q.pos = len(a.heap)
		a.up(q.pos - 1)
	case at == q.at:
		return
	case at < q.at:
		q.at = at
		a.up(q.pos - 1)
	default:
		q.at = at
		a.down(q.pos - 1)
	}
	if q.pos == 1 {
		a.nudge()
	}
}

// take removes and returns the first queue if its time has come; otherwise it says when to look again.
func (a *agenda) take(now int64) (*Scheduled, int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.heap) == 0 {
		return nil, never
	}
	q := a.heap[0]
	if q.at > now {
		return nil, q.at
	}
	a.remove(0)
	return q, 0
}

// nudge makes the loop look at the agenda again.
func (a *agenda) nudge() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *agenda) remove(i int) {
	a.heap[i].pos = 0
	last := len(a.heap) - 1
	q := a.heap[last]
	a.heap[last] = nil
	a.heap = a.heap[:last]
	if i == last {
		return
	}
	a.heap[i], q.pos = q, i+1
	a.down(i)
	a.up(q.pos - 1)
}

func (a *agenda) swap(i, j int) {
	h := a.heap
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i+1, j+1
}

func (a *agenda) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if a.heap[p].at <= a.heap[i].at {
			return
		}
		a.swap(i, p)
		i = p
	}
}

func (a *agenda) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(a.heap) {
			return
		}
		if c+1 < len(a.heap) && a.heap[c+1].at < a.heap[c].at {
			c++
		}
		if a.heap[i].at <= a.heap[c].at {
			return
		}
		a.swap(i, c)
		i = c
	}
}
