package ready

import (
	"cmp"
	"slices"
	"time"
)

// State is a ready queue as operators see it.
type State struct {
	Name        string     `json:"name"` // SOURCE->SITE@PROTO
	Count       int        `json:"count"`
	Connections int        `json:"connections"`
	Opening     int        `json:"opening"`
	Idle        int        `json:"idle"`
	Failures    int        `json:"failures"`             // connection plans exhausted since the last connection
	NotBefore   *time.Time `json:"not_before,omitempty"` // no connection is opened before
	Delivered   int64      `json:"delivered"`
	Transfail   int64      `json:"transfail"`
	Fail        int64      `json:"fail"`
}

// Snapshot is the state of every ready queue by name. It is not one moment's picture of all of them.
func (s *Queues) Snapshot() []State {
	now := s.now()
	var all []State
	s.each(func(l *line) { all = append(all, l.state(now)) })
	slices.SortFunc(all, func(a, b State) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (l *line) state(now int64) State {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.limits.tally.own
	st := State{
		Name:        l.key,
		Count:       l.fifo.n,
		Connections: l.connected,
		Opening:     l.opening,
		Idle:        len(l.idle),
		Failures:    l.failures,
		Delivered:   own.delivered.Load(),
		Transfail:   own.transfail.Load(),
		Fail:        own.fail.Load(),
	}
	if until := l.pausedUntil(); until > now {
		t := l.owner.base.Add(time.Duration(until))
		st.NotBefore = &t
	}
	return st
}
