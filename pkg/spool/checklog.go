package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// settleWait is how long what looks damaged beside a daemon may take to become whole: it is being written.
const settleWait = 500 * time.Millisecond

// tellDamage lists the stretches that fail their checksums, and segments that are missing.
func (c *checker) tellDamage(ctx context.Context) error {
	c.parts = c.log.found.Damaged
	if c.Held && len(c.parts) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settleWait):
		}
		c.parts = slices.DeleteFunc(slices.Clone(c.parts), c.whole)
	}
	c.told = make(map[message.ID]bool)
	for _, d := range c.parts {
		f := Finding{
			Kind: FoundDamage, Path: filepath.Join(logName, segName(d.Segment)), Offset: d.Offset, Length: d.Length,
			Detail: d.Kind + " record: " + d.Why,
		}
		if !d.ID.IsZero() {
			f.ID, f.Message = &d.ID, c.salvage(d)
			c.told[d.ID] = true
		}
		switch {
		case d.Ended:
			f.Detail += "; its message has ended, nothing is lost"
		case d.Kind == segment.Accept.String() && !c.log.has(d.ID):
			f.Lost = true
		}
		c.add(f)
	}
	for _, num := range c.log.found.Missing {
		c.missing(num)
	}
	return nil
}

func (c *checker) missing(num uint32) {
	c.add(Finding{
		Kind: FoundMissing, Path: filepath.Join(logName, segName(num)),
		Detail: "it is not there, and the segment behind it says that it was: the mail in it is lost",
	})
}

// whole reports that a stretch of the newest segment is a good record now.
func (c *checker) whole(d DamagedPart) bool {
	if d.Segment != c.log.last() {
		return false
	}
	f, err := OS{}.Open(c.log.segs.path(d.Segment), false)
	if err != nil {
		return isMissing(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return false
	}
	good := false
	done := errors.New("seen")
	scan := segment.Scanner{
		Key: c.log.segs.key, Limit: size,
		Intact: func(rec segment.Record) error {
			good = rec.Off == d.Offset
			return done
		},
		Damaged: func(segment.Damage) {},
	}
	_, _ = scan.Scan(f, d.Offset)
	return good
}

// salvage is the envelope of a record whose body alone is damaged.
func (c *checker) salvage(d DamagedPart) *Envelope {
	f, err := OS{}.Open(c.log.segs.path(d.Segment), false)
	if err != nil {
		return nil
	}
	defer f.Close()
	g := &segFile{num: d.Segment, file: f}
	for _, kind := range []segment.Kind{segment.Accept, segment.Update} {
		frame, b, err := g.frame(c.log.segs.key, d.ID, kind, d.Offset, segment.FrameSize+1<<10)
		if err != nil {
			continue
		}
		var e segment.Envelope
		if e.Decode(b[:frame.Head]) != nil {
			continue
		}
		if m, err := restore(d.ID, &e); err == nil {
			m.Size = int(e.Size)
			return envelopeOf(m)
		}
	}
	return nil
}

func envelopeOf(m *message.Message) *Envelope {
	e := &Envelope{Queue: m.Queue, Sender: m.Sender.String(), Created: m.Created, Attempts: m.Attempts, Size: m.Size}
	for _, r := range m.Recipients {
		e.Recipients = append(e.Recipients, r.String())
	}
	return e
}

// checkMessages reads the envelope of every live message, and every body that stands with another's record. What
// follows its own envelope was checked with it.
func (c *checker) checkMessages(ctx context.Context) error {
	return c.log.inOrder(ctx, func(e *entry) error {
		p := e.place()
		m, err := c.log.segs.envelope(e.id, p)
		if err == nil && p.shared {
			err = c.log.sharedBody(e.id, p)
		}
		switch {
		case err == nil:
			return nil
		case isMissing(err) && c.Held:
			return nil // it has ended meanwhile
		case !errors.Is(err, ErrDamaged) && !isMissing(err):
			return err
		}
		f := Finding{Kind: FoundBody, Path: filepath.Join(logName, segName(p.seg)), Offset: int64(p.off), ID: &e.id, Lost: true, Detail: err.Error()}
		if m != nil {
			m.Queue, m.Attempts = c.log.names.get(e.queue), int(e.attempts)
			f.Message = envelopeOf(m)
		}
		c.add(f)
		return nil
	})
}

// inOrder calls f for all messages of the table in the order in which they stand in the log.
func (v *logView) inOrder(ctx context.Context, f func(*entry) error) error {
	list := make([]entry, 0, v.table.len())
	v.table.each(func(e entry) bool {
		list = append(list, e)
		return true
	})
	slices.SortFunc(list, func(a, b entry) int { return cmp.Or(cmp.Compare(a.seg, b.seg), cmp.Compare(a.off, b.off)) })
	for i := range list {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := f(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// sharedBody verifies a body that stands with another message's record. Of those who share one, the first pays.
func (v *logView) sharedBody(id message.ID, p place) error {
	s := v.segs
	g, err := s.acquire(p.seg)
	if err != nil {
		return err
	}
	defer s.release(g)
	f, b, err := g.frame(s.key, id, segment.Accept, int64(p.off), segment.FrameSize+int64(p.head))
	if err != nil {
		return err
	}
	var e segment.Envelope
	if err := e.Decode(b[:f.Head]); err != nil || e.Behind > uint64(p.off) {
		return g.damage(int64(p.off), "envelope")
	}
	at := checkedBody{p.seg, int64(p.off) - int64(e.Behind), e.Size, e.ShareCRC}
	if at == v.checked {
		return nil
	}
	crc, n, buf := uint32(0), int64(0), make([]byte, min(int64(e.Size)+1, 1<<20))
	for n < int64(e.Size) {
		k, err := g.file.ReadAt(buf[:min(int64(len(buf)), int64(e.Size)-n)], at.off+n)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("segment %d: %w", g.num, err)
		}
		if k == 0 {
			return g.damage(int64(p.off), "body")
		}
		crc, n = segment.ChecksumMore(crc, buf[:k]), n+int64(k)
	}
	if crc != e.ShareCRC {
		return g.damage(int64(p.off), "body")
	}
	v.checked = at
	return nil
}

// checkedBody is a body that was found good.
type checkedBody struct {
	seg       uint32
	off       int64
	size, crc uint32
}
