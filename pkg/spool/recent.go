package spool

import (
	"context"
	"fmt"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// Trace is what the end of the log says of a message.
type Trace struct {
	Accepted   bool   // taken in since the moment that was asked for
	Updated    bool   // its envelope changed
	Recipients int    // of its latest envelope there, 0 when none stands there
	Ended      Ending // 0: it has not
}

// Recent reads the end of the log, from the segment on that was in use at since, and says what stands there of each
// message; from is when that segment was begun. It is for the time before mail flows, after a crash, and takes some
// 100 bytes of memory for each message of those segments.
func (s *Spool) Recent(ctx context.Context, since time.Time) (traces map[message.ID]Trace, from time.Time, err error) {
	traces = make(map[message.ID]Trace)
	var b segment.Envelope
	from, err = s.recent(ctx, since, func(rec segment.Record) error {
		switch rec.Kind {
		case segment.Accept, segment.Update:
			if b.Decode(rec.Data) != nil {
				return nil // recovery has told of it
			}
			t := traces[rec.ID]
			t.Recipients = len(b.Recipients)
			if rec.Kind == segment.Update {
				t.Updated = true
			} else if !fromNanos(b.Created).Before(since) { // an older one is a copy
				t.Accepted = true
			}
			traces[rec.ID] = t
			return nil
		}
		return eachEnd(rec, func(message.ID) bool { return true }, func(id message.ID, why Ending) {
			t := traces[id]
			t.Ended = why
			traces[id] = t
		})
	})
	return traces, from, err
}

// RecentEnvelopes calls f with every envelope that the end of the log has of the messages that of names, in the order
// of the log: the first is as it was accepted, unless that was before. There are no bodies.
func (s *Spool) RecentEnvelopes(ctx context.Context, since time.Time, of func(message.ID) bool, f func(*message.Message)) error {
	_, err := s.recent(ctx, since, func(rec segment.Record) error {
		if rec.Kind != segment.Accept && rec.Kind != segment.Update || !of(rec.ID) {
			return nil
		}
		var e segment.Envelope
		if e.Decode(rec.Data) != nil {
			return nil
		}
		if m, err := restore(rec.ID, &e); err == nil {
			m.Size = int(e.Size)
			f(m)
		}
		return nil
	})
	return err
}

// recent scans the segments that were in use at since, or later.
func (s *Spool) recent(ctx context.Context, since time.Time, f func(segment.Record) error) (from time.Time, err error) {
	files, _, err := listLog(s.cfg.FS, s.segs.dir)
	if err == nil {
		err = readHeaders(s.cfg.FS, s.segs, files)
	}
	if err != nil {
		return from, err
	}
	for i, l := range files {
		if i+1 < len(files) && files[i+1].ok && fromNanos(files[i+1].header.Created).Before(since) {
			continue
		}
		if from.IsZero() {
			from = fromNanos(l.header.Created)
		}
		limit, _ := ends(files, i)
		scan := segment.Scanner{
			Key: s.segs.key, Limit: min(limit, l.size), Damaged: func(segment.Damage) {},
			Intact: func(rec segment.Record) error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return f(rec)
			},
		}
		g, err := s.segs.acquire(l.num)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return from, err
		}
		_, err = scan.Scan(g.file, segment.HeaderSize)
		s.segs.release(g)
		if err != nil {
			return from, fmt.Errorf("read segment %d: %w", l.num, err)
		}
	}
	return from, nil
}
