package queue

import (
	"cmp"
	"slices"
	"time"
)

// State is a scheduled queue as operators see it.
type State struct {
	Name      string      `json:"name"`
	Scheduled int         `json:"scheduled"` // messages that wait here
	Live      int         `json:"live"`      // those in ready queues and being delivered included
	NextDue   *time.Time  `json:"next_due,omitempty"`
	Blocked   string      `json:"blocked,omitempty"` // full ready queue that due messages wait for
	Suspended *Suspension `json:"suspended,omitempty"`
}

// Snapshot is the state of every queue by name. It is not one moment's picture of all of them.
func (s *Queues) Snapshot() []State {
	now := s.since(s.clock.Now())
	var all []State
	s.each(func(q *Scheduled) { all = append(all, q.state(now)) })
	slices.SortFunc(all, func(a, b State) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Lookup is the state of one queue, if there is one of that name.
func (s *Queues) Lookup(name string) (State, bool) {
	q := s.find(name)
	if q == nil {
		return State{}, false
	}
	return q.state(s.since(s.clock.Now())), true
}

func (q *Scheduled) state(now int64) State {
	q.mu.Lock()
	defer q.mu.Unlock()
	st := State{
		Name:      q.name,
		Scheduled: len(q.heap) + len(q.arrivals) + q.inHand,
		Live:      int(q.live.Load()),
		Blocked:   q.blocked,
		Suspended: q.suspension(now),
	}
	if len(q.heap) > 0 {
		due := q.owner.base.Add(time.Duration(q.heap[0].due))
		st.NextDue = &due
	}
	return st
}
