package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kumo/pkg/spool/internal/segment"
)

// When the log is compacted, and how fast. FORMAT.md and DESIGN.md say how.
const (
	compactFactor = 3        // the log may have so many times the bytes that its live mail needs,
	compactSlack  = 4        // and so many segments on top
	compactFiles  = 64       // and so many files, however small they are
	compactPace   = 32 << 20 // bytes copied in a second
	pageBytes     = 1 << 20  // copied at a time, about
	pageCopies    = 1000
	fullCopy      = 256 << 10 // bytes that are tried to be copied on a full disk
	copyPasses    = 8         // over one segment, when its mail is being changed all the time
)

// errChanging is mail that changes faster than it can be copied.
var errChanging = errors.New("mail is being changed all the time")

// copied is the copy of a record on its way to the end of the log.
type copied struct {
	off     uint32 // from the begin of its call's records
	at      int    // of frame, in the call's buffer
	frame   []byte
	dropped bool
	// still reports whether what was copied is still so. The committer asks when everything that it has taken so far, and
	// nothing later, is going to stand before the copy.
	still func() bool
	// placed is told where the copy stands.
	placed func(seg, off uint32)
}

// dropOvertaken makes void what has changed since it was copied. Its change stands before the copy in the log, or
// beside it, and must not be undone by it.
func (c *committer) dropOvertaken(b *batch) {
	for i := range b.copies {
		if k := &b.copies[i]; !k.still() {
			c.key.Revoke(k.frame)
			k.dropped = true
		}
	}
}

// compactor bounds what copying costs.
type compactor struct {
	start int64 // bytes of the log when the spool was opened: so much may be copied for what is there already
	// Of the latest lap that was made for want of room: how many bytes had been appended, and what live mail needed.
	lapWritten, lapMail int64
	lapEnd              uint32
}

// compact copies mail that lives on from the oldest segments to the end of the log until the log is small enough.
func (s *Spool) compact(ctx context.Context) error {
	select {
	case s.compacting <- struct{}{}:
	default:
		return nil // Compact is at it
	}
	defer s.compacting.Unlock()
	for {
		num := s.nextToCopy()
		if num == 0 {
			return nil
		}
		if err := s.copySegment(ctx, num); err != nil {
			return fmt.Errorf("compact segment %d: %w", num, err)
		}
	}
}

// nextToCopy is the segment whose mail is to be copied now, 0 for none.
func (s *Spool) nextToCopy() uint32 {
	u := s.segs.usage()
	if u.first == 0 || u.first == s.active.Load() || s.health.sick.Load() {
		return 0
	}
	if s.health.full.Load() && u.next > fullCopy {
		return 0 // a little may fit into what is left of the reserve, and can free everything behind it
	}
	written, copies := s.stats.bytes.Load(), s.stats.copiedBytes.Load()
	c := &s.compactor
	if (s.short.Load() || s.health.full.Load()) && u.bytes > u.mail*3/2+s.cfg.SegmentSize {
		if u.first > c.lapEnd && (c.lapEnd == 0 || u.mail < c.lapMail/4*3 || written-copies-c.lapWritten > s.cfg.SegmentSize) {
			c.lapEnd, c.lapMail, c.lapWritten = s.active.Load(), u.mail, written-copies
		}
		if u.first <= c.lapEnd {
			return u.first
		}
	}
	large := u.bytes > compactFactor*u.mail+compactSlack*s.cfg.SegmentSize ||
		int64(u.files) > compactFiles+compactFactor*(u.bytes/s.cfg.SegmentSize)
	// A byte that is appended may cost half a byte of copying, whatever the estimate of live bytes says.
	if large && copies < c.start+(written-copies)/2 {
		return u.first
	}
	return 0
}

// copySegment copies everything alive in segment num, which must be the oldest that anything needs.
func (s *Spool) copySegment(ctx context.Context, num uint32) error {
	for range copyPasses {
		c := copier{s: s, num: num, ctx: ctx}
		c.things()
		for _, id := range s.table.in(num) {
			if err := c.message(id); err != nil {
				return err
			}
		}
		if err := c.flush(); err != nil {
			return err
		}
		if s.segs.isDead(num) {
			s.stats.compacted.Add(1)
			return nil
		}
		s.awaitApply() // what an order is changing keeps still then, and updates on their way get a place
		if err := s.commit.flush(false); err != nil {
			return err
		}
	}
	return errChanging
}

// Compact copies all mail to the end of the log, so that nothing but what is needed remains, and waits until the rest
// is deleted. It may be used while mail flows. progress, if not nil, is told how many bytes of how many are dealt with.
// Errors: those of the disk, ctx's, ErrClosed.
func (s *Spool) Compact(ctx context.Context, progress func(done, total int64)) error {
	if err := s.compactAll(ctx, false, progress); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	return nil
}

// compactAll leaves a log alone from which little would go, unless it is told to copy all the same.
func (s *Spool) compactAll(ctx context.Context, all bool, progress func(done, total int64)) error {
	select {
	case s.compacting <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer s.compacting.Unlock()
	if err := s.Flush(); err != nil {
		return err
	}
	u := s.segs.usage()
	if !all && u.bytes <= u.mail+u.mail/10+segment.HeaderSize && int64(u.files) <= 2+2*(u.bytes/s.cfg.SegmentSize) {
		return s.awaitDeletion(ctx, u.first)
	}
	if err := s.commit.leaveActive(leaveAlways); err != nil {
		return err
	}
	list, total := s.segs.before(s.active.Load())
	done := int64(0)
	for _, g := range list {
		if err := s.copySegment(ctx, g.num); err != nil {
			return fmt.Errorf("segment %d: %w", g.num, err)
		}
		if done += g.end; progress != nil {
			progress(done, total)
		}
	}
	return s.awaitDeletion(ctx, s.active.Load())
}

// awaitDeletion waits until what stands before segment num is gone, which takes two rounds of the keeper.
func (s *Spool) awaitDeletion(ctx context.Context, num uint32) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 100 { // a disk that does not let files be deleted is told by the keeper
		list, _ := s.segs.before(num)
		if len(list) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closed:
			return ErrClosed
		case <-tick.C:
		}
	}
	return nil
}

// compactInBackground looks once a second whether the log is too large.
func (s *Spool) compactInBackground() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var told time.Time
	for {
		select {
		case <-s.closed:
			return
		case <-tick.C:
		}
		err := s.compact(ctx)
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrClosed) || errors.Is(err, errChanging) || time.Since(told) < time.Hour {
			continue
		}
		told = time.Now()
		s.log.Warn("spool: the log cannot be compacted", "error", err)
	}
}
