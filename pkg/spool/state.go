package spool

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// State is where a live message stands.
type State uint8

// The states. Only OnHold and Trashed outlive the process.
const (
	Scheduled State = iota // waits for its due time
	Taken                  // in somebody's hands: accepted or taken, and not given back, rescheduled or updated since
	OnHold                 // by an order: neither tried nor expired
	Trashed                // bounced by an order that can still be undone
)

// Change is what an order does to messages.
type Change uint8

// The changes.
const (
	ChangeDue     Change = iota + 1 // Scheduled: due at the time given
	ChangeHold                      // Scheduled to OnHold
	ChangeRelease                   // OnHold to Scheduled, with the due time that it had
	ChangeTrash                     // Scheduled or OnHold to Trashed
	ChangeRestore                   // Trashed to Scheduled, with the due time that it had; OnHold again if it was
	ChangeEnd                       // ended by an operator, whatever it was but Taken
)

// maxApply is how many messages one Apply takes.
const maxApply = 10_000

// Applied is what Apply did.
type Applied struct {
	Done  []message.ID // changed, durably
	Taken []message.ID // left alone: they are in somebody's hands
	// The others had ended, or were not in a state that the change starts from.

	// Ended says that a ChangeTrash has ended its messages at once, because room is short or there is no trash.
	Ended bool
}

// Apply carries out one step of an order: it changes the state of the messages that allow it, by one record that is
// durable when Apply returns. At most 10,000 ids. It works on a full disk, too, as long as the reserve lasts. Errors are
// those of Accept; then nothing was changed.
func (s *Spool) Apply(ctx context.Context, order string, c Change, due time.Time, ids []message.ID) (Applied, error) {
	if len(ids) > maxApply {
		return Applied{}, fmt.Errorf("order %s: %d messages in one step, at most %d are allowed", order, len(ids), maxApply)
	}
	out, err := s.apply(ctx, step{order: order, change: c, due: due, ids: ids})
	if err != nil {
		return Applied{}, fmt.Errorf("order %s: %w", order, err)
	}
	return out, nil
}

// step is one step of an order.
type step struct {
	order  string
	change Change
	due    time.Time
	ids    []message.ID
	fits   func(*entry) bool // what else must be so, nil for nothing
}

func (s *Spool) apply(ctx context.Context, t step) (out Applied, err error) {
	if err := ctx.Err(); err != nil {
		return out, err
	}
	if s.health.sick.Load() {
		return out, s.health.refuse()
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.marks.crowded() && (t.change == ChangeHold || t.change == ChangeTrash) {
		return out, errMarks
	}
	if t.change == ChangeTrash && s.noTrash() {
		t.change, out.Ended = ChangeEnd, true
		t.fits = func(e *entry) bool { return ChangeTrash.from(e.state()) }
	}
	for _, id := range t.ids {
		s.begin(id, &t, &out)
	}
	if len(out.Done) == 0 {
		return out, nil
	}
	a := segment.AppliedHead{Order: t.order, Change: byte(t.change), At: s.cfg.Now().UnixNano(), Due: nanos(t.due), IDs: out.Done}
	rec := segment.AppendApplied(segment.Reserve(nil), &a)
	s.commit.key.Seal(rec, 0, segment.Applied, message.ID{}, 0, 0)
	_, _, err = s.commit.rush(rec, 0)
	done := out.Done
	out.Done = out.Done[:0]
	for _, id := range done {
		if s.finish(id, &a, err == nil) {
			out.Done = append(out.Done, id)
		}
	}
	if err != nil {
		return Applied{}, err
	}
	return out, nil
}

// begin marks a message that the change is for, so that nobody touches it until the record is on disk.
func (s *Spool) begin(id message.ID, t *step, out *Applied) {
	s.change(id, func(e *entry) {
		switch {
		case e.flags&flagMoving != 0: // id is named twice
		case e.state() == Taken && t.change.from(Scheduled):
			out.Taken = append(out.Taken, id)
		case t.change.from(e.state()) && (t.fits == nil || t.fits(e)):
			e.flags |= flagMoving
			out.Done = append(out.Done, id)
		}
	})
}

// from reports whether the change is for messages in state st.
func (c Change) from(st State) bool {
	switch c {
	case ChangeDue, ChangeHold:
		return st == Scheduled
	case ChangeRelease:
		return st == OnHold
	case ChangeTrash:
		return st == Scheduled || st == OnHold
	case ChangeRestore:
		return st == Trashed
	case ChangeEnd:
		return st != Taken
	}
	return false
}

// finish makes the change in the table if it was written. It reports whether the message is still there.
func (s *Spool) finish(id message.ID, a *segment.AppliedHead, written bool) bool {
	shard, h := s.table.lock(id)
	e := shard.get(id, h)
	if e == nil {
		shard.Unlock()
		return false
	}
	e.flags &^= flagMoving
	indexed := e.flags&flagIndexed != 0
	var gone entry
	switch {
	case !written:
	case Change(a.Change) == ChangeEnd:
		gone, _ = shard.remove(id, h)
	default:
		_ = s.marks.apply(e, a) // there are numbers enough
	}
	shard.Unlock()
	if gone.id == id {
		s.letGo(&gone)
		s.countEnd(EndAdminBounced, 1)
	}
	if written && indexed {
		s.index.touch(id)
	}
	return true
}

// apply makes the change of a record, other than an end, to e.
func (m *marks) apply(e *entry, a *segment.AppliedHead) error {
	is := m.get(e.markNumber())
	switch Change(a.Change) {
	case ChangeDue:
		e.due = a.Due
		return nil
	case ChangeHold:
		is.Hold = a.Order
	case ChangeRelease:
		is.Hold = ""
	case ChangeTrash:
		is.Trash, is.TrashedAt = a.Order, a.At
	case ChangeRestore:
		is.Trash, is.TrashedAt = "", 0
	default:
		return segment.ErrEnvelope
	}
	return m.obey(e, is)
}

// awaitApply waits for the Apply that goes on now.
func (s *Spool) awaitApply() {
	s.applying.Lock()
	defer s.applying.Unlock()
}

// Take brings a message that is Scheduled back, without its body, and makes it Taken. due is what the caller believes
// its due time to be: an entry that an order has overtaken is told apart by it. Errors: ErrGone for a message that
// has ended, is held or trashed, is Taken, or is due at another time; ErrDamaged; those of the disk.
func (s *Spool) Take(id message.ID, due time.Time) (*message.Message, error) {
	want := nanos(due)
	return s.take(id, func(due int64) bool { return due == want })
}

// DueBits is what TakeIf tells due times apart by: the low bits of its nanoseconds since 1970, 0 for the zero time.
func DueBits(due time.Time) uint32 { return uint32(nanos(due)) }

// TakeIf is Take for callers that keep no more of the due time than its DueBits.
func (s *Spool) TakeIf(id message.ID, due uint32) (*message.Message, error) {
	return s.take(id, func(d int64) bool { return uint32(d) == due })
}

func (s *Spool) take(id message.ID, fits func(due int64) bool) (*message.Message, error) {
	taken := false
	s.settled(id, func(e *entry) {
		if taken = e.state() == Scheduled && fits(e.due); taken {
			e.flags |= flagTaken
		}
	})
	if !taken {
		return nil, fmt.Errorf("take message %s: %w", id, ErrGone)
	}
	m, err := s.Load(id)
	if err != nil {
		s.Give(id)
		return nil, err
	}
	return m, nil
}

// Give makes a Taken message Scheduled again, as the log has it.
func (s *Spool) Give(id message.ID) {
	s.change(id, func(e *entry) { e.flags &^= flagTaken })
}

// Lookup is what the table knows of a live message, OnHold and Trashed ones included.
func (s *Spool) Lookup(id message.ID) (Entry, bool) {
	var e entry
	ok := s.change(id, func(p *entry) { e = *p })
	if !ok {
		return Entry{}, false
	}
	return s.entry(&e), true
}

// OfOrder calls page with the ids of the messages that are OnHold or Trashed by an order, at most 10,000 at a time.
func (s *Spool) OfOrder(ctx context.Context, order string, page func([]message.ID) error) error {
	of := s.marks.which(func(is segment.Standing) bool { return cmp.Or(is.Trash, is.Hold) == order })
	return s.pages(ctx, func(e *entry) bool { return of[e.markNumber()] }, page)
}

// pages calls page with the ids of the messages that want picks, at most maxApply at a time.
func (s *Spool) pages(ctx context.Context, want func(*entry) bool, page func([]message.ID) error) error {
	var ids []message.ID
	var err error
	flush := func() bool {
		if err = ctx.Err(); err == nil && len(ids) > 0 {
			err = page(ids)
		}
		ids = make([]message.ID, 0, maxApply)
		return err == nil
	}
	s.table.each(func(e entry) bool {
		if !want(&e) {
			return true
		}
		ids = append(ids, e.id)
		return len(ids) < maxApply || flush()
	})
	if err == nil {
		flush()
	}
	return err
}
