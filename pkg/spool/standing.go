package spool

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// standing is an order that was begun and that something lasts of.
type standing struct {
	order Order
	seg   uint32 // where its record stands
}

// note is where a note stands.
type note struct {
	id   message.ID // a number that counts up, and 8 random bytes
	seg  uint32
	off  int64
	head uint32
}

// BeginOrder makes an order part of the log, durably, before it is carried out, so that what lasts of it (a
// suspension, a hold, a trash) is known again after a restart even without orders.db. Its Data is not kept. Calling it
// again is harmless. Errors are those of Accept, but a full disk is none as long as the reserve lasts.
func (s *Spool) BeginOrder(ctx context.Context, o Order) error {
	s.beginning.Lock()
	defer s.beginning.Unlock()
	s.ordersMu.Lock()
	known := s.standing[o.ID] != nil
	s.ordersMu.Unlock()
	if known {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	rec, err := s.orderRecord(&o)
	if err != nil {
		return fmt.Errorf("begin order %s: %w", o.ID, err)
	}
	seg, _, err := s.commit.rush(rec, 1)
	if err != nil {
		return fmt.Errorf("begin order %s: %w", o.ID, err)
	}
	o.Data = nil
	s.ordersMu.Lock()
	s.standing[o.ID] = &standing{order: o, seg: seg}
	s.ordersMu.Unlock()
	return nil
}

func (s *Spool) orderRecord(o *Order) ([]byte, error) {
	rec := appendOrder(segment.Reserve(nil), o)
	if len(rec) > segment.MaxHead {
		return nil, fmt.Errorf("payload of %d bytes: %w", len(o.Payload), ErrTooBig)
	}
	s.commit.key.Seal(rec, 0, segment.Order, message.ID{}, 0, 0)
	return rec, nil
}

// appendOrder appends the head of an order record.
func appendOrder(b []byte, o *Order) []byte {
	return segment.AppendOrder(b, &segment.OrderHead{
		ID: o.ID, Kind: o.Kind, Created: nanos(o.Created), Author: o.Author, Payload: o.Payload,
	})
}

// EndOrder lets the log forget an order of which nothing lasts: it expired, was undone, or never had lasting effects.
// Written soon, not waited for: after a crash it may stand again.
func (s *Spool) EndOrder(id string) {
	s.ordersMu.Lock()
	st := s.standing[id]
	if st != nil {
		delete(s.standing, id)
		s.segs.hold(st.seg, -1)
	}
	s.ordersMu.Unlock()
	if st == nil {
		return
	}
	_ = s.commit.lazily(func(b *batch) {
		at := len(b.lazy)
		b.lazy = segment.AppendString(segment.Reserve(b.lazy), id)
		s.commit.key.Seal(b.lazy, at, segment.OrderOver, message.ID{}, 0, 0)
	})
}

// Standing lists the orders that were begun and not ended, oldest first: with their kind, time, author and payload.
func (s *Spool) Standing() []Order {
	s.ordersMu.Lock()
	defer s.ordersMu.Unlock()
	out := make([]Order, 0, len(s.standing))
	for _, st := range s.standing {
		out = append(out, st.order)
	}
	slices.SortFunc(out, func(a, b Order) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// AddNotes keeps bytes for the next daemon, durably: records of a verb that had no journal. Forgotten by DropNotes.
// After an error some of them may have been kept.
func (s *Spool) AddNotes(ctx context.Context, notes ...[]byte) error {
	for _, text := range notes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(text) > segment.MaxHead {
			return fmt.Errorf("note of %d bytes: %w", len(text), ErrTooBig)
		}
		n := note{id: s.nextNote(), head: uint32(len(text))}
		rec := append(segment.Reserve(nil), text...)
		s.commit.key.Seal(rec, 0, segment.Note, n.id, 0, 0)
		var err error
		if n.seg, n.off, err = s.commit.rush(rec, 1); err != nil {
			return fmt.Errorf("keep a note: %w", err)
		}
		s.ordersMu.Lock()
		s.notes = append(s.notes, n)
		s.ordersMu.Unlock()
	}
	return nil
}

// nextNote names a note so that it sorts behind all others.
func (s *Spool) nextNote() (id message.ID) {
	s.ordersMu.Lock()
	s.noteSeq++
	binary.BigEndian.PutUint64(id[:], s.noteSeq)
	s.ordersMu.Unlock()
	_, _ = rand.Read(id[8:])
	return id
}

// sortNotes puts the notes that recovery found into their sequence: copies stand later in the log than they were made.
func (s *Spool) sortNotes() {
	slices.SortFunc(s.notes, func(a, b note) int { return bytes.Compare(a.id[:], b.id[:]) })
	if n := len(s.notes); n > 0 {
		s.noteSeq = binary.BigEndian.Uint64(s.notes[n-1].id[:])
	}
}

// noted reports that notes wait for somebody.
func (s *Spool) noted() bool {
	s.ordersMu.Lock()
	defer s.ordersMu.Unlock()
	return len(s.notes) > 0
}

// Notes returns what AddNotes kept, in its order. Errors: ErrDamaged, those of the disk.
func (s *Spool) Notes() ([][]byte, error) {
	for {
		s.ordersMu.Lock()
		notes := slices.Clone(s.notes)
		s.notesRead = notes
		s.ordersMu.Unlock()
		out, err := s.readNotes(notes)
		s.ordersMu.Lock()
		same := slices.Equal(notes, s.notes)
		s.ordersMu.Unlock()
		if err == nil || same {
			return out, err
		}
	}
}

func (s *Spool) readNotes(notes []note) ([][]byte, error) {
	out := make([][]byte, 0, len(notes))
	for _, n := range notes {
		b, err := s.segs.note(n)
		if err != nil {
			return nil, fmt.Errorf("read a note: %w", err)
		}
		out = append(out, b)
	}
	return out, nil
}

// note reads the bytes of a note.
func (s *segments) note(n note) ([]byte, error) {
	g, err := s.acquire(n.seg)
	if err != nil {
		return nil, err
	}
	defer s.release(g)
	f, b, err := g.frame(s.key, n.id, segment.Note, n.off, segment.FrameSize+int64(n.head))
	if err != nil {
		return nil, err
	}
	return b[:f.Head], nil
}

// DropNotes forgets the notes that Notes has returned. Written soon, not waited for.
func (s *Spool) DropNotes() {
	s.ordersMu.Lock()
	var ids []message.ID
	for _, n := range s.notesRead {
		ids = append(ids, n.id)
	}
	s.notesRead = nil
	s.notes = slices.DeleteFunc(s.notes, func(n note) bool {
		done := slices.Contains(ids, n.id)
		if done {
			s.segs.hold(n.seg, -1)
		}
		return done
	})
	s.ordersMu.Unlock()
	if len(ids) == 0 {
		return
	}
	_ = s.commit.lazily(func(b *batch) {
		at := len(b.lazy)
		b.lazy = segment.AppendNotesDone(segment.Reserve(b.lazy), ids)
		s.commit.key.Seal(b.lazy, at, segment.NotesDone, message.ID{}, 0, 0)
	})
}
