package spool

import (
	"fmt"
	"strings"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// Update records what changed about m since it was accepted: sender, recipients, queue, metadata, due, attempts,
// last response, history. It is written soon (10 ms, with the next batch) but not waited for. The body stays as accepted.
// A Taken message is Scheduled afterwards. Errors: ErrGone, ErrClosed, ErrTooBig, and values that metadata cannot have.
func (s *Spool) Update(m *message.Message) error {
	if err := s.update(m, flagTaken); err != nil {
		return fmt.Errorf("update message %s: %w", m.ID, err)
	}
	return nil
}

// Save records what changed about m like Update, but waits until it is durable, and leaves a Taken message Taken.
// Errors: those of Update and of the disk; after the latter it may be durable later.
func (s *Spool) Save(m *message.Message) error {
	err := s.update(m, 0)
	if err == nil {
		err = s.Flush()
	}
	if err != nil {
		return fmt.Errorf("save message %s: %w", m.ID, err)
	}
	return nil
}

// update appends an update record and takes the flags clear away.
func (s *Spool) update(m *message.Message, clear uint8) error {
	w := s.getWork()
	defer s.putWork(w)
	is := s.obeyed(m.ID)
	for {
		if err := w.update(s.commit.key, m, is); err != nil {
			return err
		}
		overtaken, crowded, indexed := false, false, false
		var err error
		ok := s.settled(m.ID, func(e *entry) {
			if now := s.marks.get(e.markNumber()); now != is {
				is, overtaken = now, true
				return
			}
			s.countTries(e, clampAttempts(m.Attempts))
			e.due, e.attempts, e.queue = nanos(m.Due), clampAttempts(m.Attempts), s.names.intern(m.Queue)
			e.pending++
			e.flags &^= clear
			crowded = e.pending > 200
			indexed = e.flags&flagIndexed != 0
			err = s.commit.lazily(func(b *batch) {
				b.fixes = append(b.fixes, fix{id: m.ID, off: len(b.lazy)})
				b.lazy = append(b.lazy, w.buf...)
			})
		})
		if !ok {
			return ErrGone
		}
		if overtaken {
			continue
		}
		if indexed {
			s.index.touch(m.ID)
		}
		if err == nil && crowded {
			err = s.commit.flush(false)
		}
		return err
	}
}

// update encodes an update record.
func (w *work) update(key segment.Key, m *message.Message, is segment.Standing) error {
	w.buf = segment.Reserve(w.buf[:0])
	if err := w.envelope(m, m.Size, 0, 0, caused{}, is); err != nil {
		return err
	}
	if len(w.buf) > segment.MaxHead {
		return fmt.Errorf("envelope of %d bytes: %w", len(w.buf), ErrTooBig)
	}
	key.Seal(w.buf, 0, segment.Update, m.ID, 0, 0)
	return nil
}

// obeyed is what orders have made of a message.
func (s *Spool) obeyed(id message.ID) (is segment.Standing) {
	s.change(id, func(e *entry) { is = s.marks.get(e.markNumber()) })
	return is
}

// Reschedule records a new due time and attempt count of a message that is not in memory. Written soon, not waited
// for. A Taken message is Scheduled afterwards. Errors: ErrGone, ErrClosed.
func (s *Spool) Reschedule(id message.ID, due time.Time, attempts int) error {
	n := clampAttempts(attempts)
	indexed := false
	var err error
	ok := s.settled(id, func(e *entry) {
		s.countTries(e, n)
		e.due, e.attempts = nanos(due), n
		e.flags &^= flagTaken
		indexed = e.flags&flagIndexed != 0
		err = s.commit.lazily(func(b *batch) {
			at := len(b.lazy)
			b.lazy = segment.AppendSchedule(segment.Reserve(b.lazy), nanos(due), uint32(n))
			s.commit.key.Seal(b.lazy, at, segment.Reschedule, id, 0, 0)
		})
	})
	if !ok {
		return fmt.Errorf("reschedule message %s: %w", id, ErrGone)
	}
	if indexed {
		s.index.touch(id)
	}
	return err
}

// maxResponse bounds what RescheduleWith keeps, in bytes.
const maxResponse = 256

// RescheduleWith is Reschedule, and records what the message met as its last response, of which it keeps 256 bytes. It
// reads the message's envelope and writes it anew, unless the response is the one that it has. An envelope that cannot be
// read stays as it is. Errors: those of Reschedule.
func (s *Spool) RescheduleWith(id message.ID, due time.Time, attempts int, response string) error {
	if len(response) > maxResponse {
		response = strings.ToValidUTF8(response[:maxResponse], "")
	}
	for response != "" {
		e, err := s.find(id)
		if err != nil {
			break
		}
		env, err := s.segs.latest(&e)
		if err != nil || env.LastResponse == response {
			break
		}
		env.Due, env.Attempts, env.LastResponse = nanos(due), uint32(clampAttempts(attempts)), response
		env.Queue, env.Size = s.names.get(e.queue), e.size
		env.Order, env.Behind, env.ShareCRC = "", 0, 0
		done, err := s.reword(&e, env)
		if done || err != nil {
			return err
		}
	}
	return s.Reschedule(id, due, attempts)
}

// reword records a new envelope of a message whose entry is still e; false if it is another by now.
func (s *Spool) reword(was *entry, env *segment.Envelope) (done bool, err error) {
	indexed := false
	ok := s.settled(was.id, func(e *entry) {
		if e.place() != was.place() || e.mark != was.mark || e.queue != was.queue || e.pending > 0 {
			return
		}
		done = true
		env.Standing = s.marks.get(e.markNumber())
		s.countTries(e, uint16(env.Attempts))
		e.due, e.attempts = env.Due, uint16(env.Attempts)
		e.pending++
		e.flags &^= flagTaken
		indexed = e.flags&flagIndexed != 0
		err = s.commit.lazily(func(b *batch) {
			at := len(b.lazy)
			b.fixes = append(b.fixes, fix{id: e.id, off: at})
			b.lazy = env.Append(segment.Reserve(b.lazy))
			s.commit.key.Seal(b.lazy, at, segment.Update, e.id, 0, 0)
		})
	})
	if !ok {
		return false, fmt.Errorf("reschedule message %s: %w", was.id, ErrGone)
	}
	if done && indexed {
		s.index.touch(was.id)
	}
	return done, err
}

// settled runs f on the entry of id when no change of an order is on its way to the disk. The entry is locked, so
// that records which f hands over stand in the log in the sequence in which the table changed.
func (s *Spool) settled(id message.ID, f func(*entry)) bool {
	for {
		moving := false
		ok := s.change(id, func(e *entry) {
			if moving = e.flags&flagMoving != 0; !moving {
				f(e)
			}
		})
		if !moving {
			return ok
		}
		s.awaitApply()
	}
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
	s.countEnd(why, 1)
	return s.tombstone(id, why)
}

// countTries counts attempts that failed for the time being.
func (s *Spool) countTries(e *entry, attempts uint16) {
	if attempts > e.attempts {
		s.stats.retried.Add(int64(attempts - e.attempts))
	}
}

func (s *Spool) countEnd(why Ending, n int64) {
	s.stats.ended.Add(n)
	if int(why) < len(s.stats.endings) {
		s.stats.endings[why].Add(n)
	}
}

// letGo tells the segments, and the orders, that e no longer needs them.
func (s *Spool) letGo(e *entry) {
	s.marks.forget(e)
	s.segs.keep(e, -1)
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
