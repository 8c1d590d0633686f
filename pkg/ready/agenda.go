package ready

import (
	"math"
	"sync"
)

// never is the time of a line that has nothing to wait for.
const never = math.MaxInt64

// agenda orders the lines by when each next wants attention, so that one goroutine with one timer serves them all.
// A line's at and pos belong to the agenda's lock, which may be taken while a line's lock is held, never the other
// way round.
type agenda struct {
	mu   sync.Mutex
	heap []*line
	wake chan struct{} // room for one: the head became earlier
}

func newAgenda() *agenda { return &agenda{wake: make(chan struct{}, 1)} }

// sooner says that l wants attention at that time, unless it is to get it before.
func (a *agenda) sooner(l *line, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case l.pos == 0:
		l.at = at
		a.heap = append(a.heap, l)
		l.pos = len(a.heap)
	case at >= l.at:
		return
	default:
		l.at = at
	}
	a.up(l.pos - 1)
	if l.pos == 1 {
		a.nudge()
	}
}

// drop takes l off the agenda.
func (a *agenda) drop(l *line) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l.pos > 0 {
		a.remove(l.pos - 1)
	}
}

// take removes and returns the first line if its time has come; otherwise it says when to look again.
func (a *agenda) take(now int64) (*line, int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.heap) == 0 {
		return nil, never
	}
	l := a.heap[0]
	if l.at > now {
		return nil, l.at
	}
	a.remove(0)
	return l, 0
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
	l := a.heap[last]
	a.heap[last] = nil
	a.heap = a.heap[:last]
	if i == last {
		return
	}
	a.heap[i], l.pos = l, i+1
	a.down(i)
	a.up(l.pos - 1)
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
