package spool

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// Census is who is in a spool at one moment, told from its log alone, with an owner or without. It costs about 75 bytes
// of memory for each message.
type Census struct{ log *logView }

// Resident is a message in a Census.
type Resident struct {
	ID         message.ID
	Created    time.Time
	State      State // Scheduled stands for Taken, too
	Queue      string
	Recipients []string // that are still to be served, wire form; good until the call returns
}

// TakeCensus reads the log of the spool in dir. Errors: ErrNoSpool, a newer format, those of the disk.
func TakeCensus(ctx context.Context, dir string, progress func(done, total int64)) (*Census, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	switch there, err := Exists(dir); {
	case err != nil:
		return nil, fmt.Errorf("spool %s: %w", dir, err)
	case !there:
		return nil, fmt.Errorf("spool %s: %w", dir, ErrNoSpool)
	}
	c := &checker{Report: Report{Counts: map[string]int{}}, dir: dir}
	orders := c.openOrders(ctx)
	if orders != nil {
		defer orders.Close()
	}
	v, err := readLog(ctx, dir, orders, progress)
	if err != nil {
		return nil, fmt.Errorf("read spool %s: %w", dir, err)
	}
	return &Census{v}, nil
}

// Held reports whether a process owned the spool.
func (c *Census) Held() bool { return c.log.held }

// Notes is how many records of verbs wait for the next daemon to log them.
func (c *Census) Notes() int { return len(c.log.notes) }

// Len is the number of messages, those in the trash included.
func (c *Census) Len() int { return c.log.table.len() }

// Each calls f for every message in the order of the log. Messages that cannot be read any more, because they are
// damaged or have ended meanwhile, are passed over.
func (c *Census) Each(ctx context.Context, f func(*Resident) error) error {
	var r Resident
	var e segment.Envelope
	return c.log.inOrder(ctx, func(at *entry) error {
		if err := c.log.segs.decode(at.id, at.place(), &e); err != nil {
			return nil //nolint:nilerr // Check tells of damage
		}
		r = Resident{
			ID: at.id, Created: fromNanos(at.created), State: at.state(), Queue: c.log.names.get(at.queue), Recipients: r.Recipients[:0],
		}
		for _, s := range e.Recipients {
			r.Recipients = append(r.Recipients, mail.Restore(s).String())
		}
		return f(&r)
	})
}

// Ends calls f for the ends of the messages that of names, as far as the log still has them.
func (c *Census) Ends(ctx context.Context, of func(message.ID) bool, f func(message.ID, Ending)) error {
	return c.log.endings(ctx, of, f)
}

// Close gives the memory and the files back.
func (c *Census) Close() { c.log.close() }

// decode reads the message's latest envelope.
func (s *segments) decode(id message.ID, p place, e *segment.Envelope) error {
	num, off, kind, want := p.seg, int64(p.off), segment.Accept, segment.FrameSize+int64(p.head)
	if p.upSeg != 0 {
		num, off, kind, want = p.upSeg, int64(p.upOff), segment.Update, 1<<10
	}
	g, err := s.acquire(num)
	if err != nil {
		return err
	}
	defer s.release(g)
	f, b, err := g.frame(s.key, id, kind, off, want)
	if err != nil {
		return err
	}
	return e.Decode(b[:f.Head])
}
