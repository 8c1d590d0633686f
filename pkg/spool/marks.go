package spool

import (
	"cmp"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"kumo/pkg/spool/internal/segment"
)

// trashGrain is how exactly the time of a bounce is remembered, at most: messages that one order bounced within so
// long are forgotten together.
const trashGrain = time.Minute

// maxMarks is one more than the greatest number that an entry has room for.
const maxMarks = 1 << 24

var errMarks = errors.New("too many holds and bounces stand at the same time: release or undo some")

// marks numbers what orders have made of messages, so that entries need no strings. A number is free again when no
// message has it any more.
type marks struct {
	grain  int64 // times of bounces are rounded down to it; 0 is trashGrain
	mu     sync.RWMutex
	number map[segment.Standing]uint32
	slots  []markSlot // of number 1 and up
	free   []uint32

	held, trashed, both atomic.Int64 // messages; those that were held before they were trashed are in all three
}

type markSlot struct {
	is   segment.Standing
	refs int
}

// take returns the number of is for one more message; 0 for nothing.
func (m *marks) take(is segment.Standing) (uint32, error) {
	is.TrashedAt -= is.TrashedAt % cmp.Or(m.grain, int64(trashGrain))
	if is == (segment.Standing{}) {
		return 0, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.number[is]
	switch {
	case ok:
	case len(m.free) > 0:
		n = m.free[len(m.free)-1]
		m.free = m.free[:len(m.free)-1]
	case len(m.slots) == maxMarks-1:
		return 0, errMarks
	default:
		m.slots = append(m.slots, markSlot{})
		n = uint32(len(m.slots))
	}
	if !ok {
		if m.number == nil {
			m.number = make(map[segment.Standing]uint32)
		}
		m.number[is], m.slots[n-1].is = n, is
	}
	m.slots[n-1].refs++
	return n, nil
}

// drop says that a message no longer has number n.
func (m *marks) drop(n uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.slots[n-1]
	if s.refs--; s.refs == 0 {
		delete(m.number, s.is)
		s.is = segment.Standing{}
		m.free = append(m.free, n)
	}
}

func (m *marks) get(n uint32) segment.Standing {
	if n == 0 {
		return segment.Standing{}
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.slots[n-1].is
}

// crowded reports that there may not be numbers enough for another change.
func (m *marks) crowded() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.number)+maxApply >= maxMarks
}

// which lists the numbers of what f wants.
func (m *marks) which(f func(segment.Standing) bool) map[uint32]bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make(map[uint32]bool)
	for i := range m.slots {
		if s := &m.slots[i]; s.refs > 0 && f(s.is) {
			out[uint32(i+1)] = true
		}
	}
	return out
}

// obey makes e a message of which orders have made is.
func (m *marks) obey(e *entry, is segment.Standing) error {
	n, err := m.take(is)
	if err != nil {
		return err
	}
	m.forget(e)
	e.setMark(n)
	if is.Hold != "" {
		e.flags |= flagHeld
	}
	if is.Trash != "" {
		e.flags |= flagTrashed
	}
	m.reckon(e.flags, 1)
	return nil
}

// forget takes e out of the reckoning.
func (m *marks) forget(e *entry) {
	n := e.markNumber()
	if n == 0 {
		return
	}
	m.drop(n)
	m.reckon(e.flags, -1)
	e.setMark(0)
	e.flags &^= flagHeld | flagTrashed
}

func (m *marks) reckon(flags uint8, n int64) {
	held, trashed := flags&flagHeld != 0, flags&flagTrashed != 0
	if held {
		m.held.Add(n)
	}
	if trashed {
		m.trashed.Add(n)
	}
	if held && trashed {
		m.both.Add(n)
	}
}

// count is how many messages are OnHold and how many are Trashed.
func (m *marks) count() (held, trashed int) {
	return int(m.held.Load() - m.both.Load()), int(m.trashed.Load())
}

// order is the order that e obeys, "" if none.
func (m *marks) order(e *entry) string {
	is := m.get(e.markNumber())
	if is.Trash != "" {
		return is.Trash
	}
	return is.Hold
}
