package spool

import (
	"fmt"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// Update records what changed about m since it was accepted: sender, recipients, queue, metadata, due, attempts,
// last response. It is written soon (10 ms, with the next batch) but not waited for. The body stays as accepted.
// Errors: ErrGone, ErrClosed, ErrTooBig, and values that metadata cannot have.
func (s *Spool) Update(m *message.Message) error {
	w := s.getWork()
	defer s.putWork(w)
	w.buf = segment.Reserve(w.buf)
	if err := w.envelope(m, m.Size, 0, 0, "", 0, 0); err != nil {
		return fmt.Errorf("update message %s: %w", m.ID, err)
	}
	if len(w.buf) > segment.MaxHead {
		return fmt.Errorf("update message %s: envelope of %d bytes: %w", m.ID, len(w.buf), ErrTooBig)
	}
	s.commit.key.Seal(w.buf, 0, segment.Update, m.ID, 0, 0)
	crowded, indexed := false, false
	ok := s.change(m.ID, func(e *entry) {
		e.due, e.attempts, e.queue = nanos(m.Due), clampAttempts(m.Attempts), s.names.intern(m.Queue)
		e.pending++
		crowded = e.pending > 200
		indexed = e.flags&flagIndexed != 0
	})
	if !ok {
		return fmt.Errorf("update message %s: %w", m.ID, ErrGone)
	}
	err := s.commit.lazily(func(b *batch) {
		b.fixes = append(b.fixes, fix{id: m.ID, off: len(b.lazy)})
		b.lazy = append(b.lazy, w.buf...)
	})
	if indexed {
		s.index.touch(m.ID)
	}
	if err == nil && crowded {
		err = s.commit.flush(false)
	}
	return err
}

// Reschedule records a new due time and attempt count of a message that is not in memory. Written soon, not waited
// for. Errors: ErrGone, ErrClosed.
func (s *Spool) Reschedule(id message.ID, due time.Time, attempts int) error {
	n := clampAttempts(attempts)
	indexed := false
	ok := s.change(id, func(e *entry) {
		e.due, e.attempts = nanos(due), n
		indexed = e.flags&flagIndexed != 0
	})
	if !ok {
		return fmt.Errorf("reschedule message %s: %w", id, ErrGone)
	}
	if indexed {
		s.index.touch(id)
	}
	return s.commit.lazily(func(b *batch) {
		at := len(b.lazy)
		b.lazy = segment.AppendSchedule(segment.Reserve(b.lazy), nanos(due), uint32(n))
		s.commit.key.Seal(b.lazy, at, segment.Reschedule, id, 0, 0)
	})
}

// change runs f on the entry of id.
func (s *Spool) change(id message.ID, f func(*entry)) bool {
	shard, h := s.table.lock(id)
	defer shard.Unlock()
	e := shard.get(id, h)
	if e == nil {
		return false
	}
	f(e)
	return true
}

// End records that id has ended. Written soon, not waited for: a crash before it is on disk (at most 210 ms when
// nothing else is written) can repeat the last delivery and nothing else. Errors: ErrGone, ErrClosed.
func (s *Spool) End(id message.ID, why Ending) error {
	shard, h := s.table.lock(id)
	e, ok := shard.remove(id, h)
	shard.Unlock()
	if !ok {
		return fmt.Errorf("end message %s: %w", id, ErrGone)
	}
	s.letGo(&e)
	if e.flags&flagIndexed != 0 {
		s.index.touch(id)
	}
	s.stats.ended.Add(1)
	return s.tombstone(id, why)
}

// letGo tells the segments that e no longer needs them.
func (s *Spool) letGo(e *entry) {
	s.segs.hold(e.seg, -1)
	if e.upSeg != 0 {
		s.segs.hold(e.upSeg, -1)
	}
}

func (s *Spool) tombstone(id message.ID, why Ending) error {
	return s.commit.lazily(func(b *batch) {
		at := len(b.lazy)
		b.lazy = append(segment.Reserve(b.lazy), byte(why))
		s.commit.key.Seal(b.lazy, at, segment.End, id, 0, 0)
	})
}

// moved notes where the latest update record of id stands.
func (s *Spool) moved(id message.ID, seg, off uint32, pending bool) {
	old, indexed := uint32(0), false
	ok := s.change(id, func(e *entry) {
		old, indexed = e.upSeg, e.flags&flagIndexed != 0
		e.upSeg, e.upOff = seg, off
		if pending && e.pending > 0 {
			e.pending--
		}
	})
	if !ok {
		return
	}
	if indexed {
		s.index.touch(id)
	}
	s.segs.hold(seg, 1)
	if old != 0 {
		s.segs.hold(old, -1)
	}
}

// Flush waits until all records handed over so far, also those that nobody waited for, are on stable storage.
func (s *Spool) Flush() error { return s.commit.flush(true) }
