package spool

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

const (
	// maxSuspects is how many messages of segments that are gone are looked at together: the log is read once for them.
	maxSuspects = 100_000
	// maxLostLines is how many of them one file in damaged/ names.
	maxLostLines = 10_000
)

// suspect notes a message that the index remembers although its segment is gone.
func (x *index) suspect(r *comparedRow) {
	if x.odd++; x.odd <= maxStrange {
		x.log.Warn("spool: the index remembers a message whose segment is gone", "id", r.id, "segment", r.seg)
	}
	x.suspects[r.id] = r.seg
}

// tellSuspects writes to damaged/ what is known of those suspects that have not ended, and then forgets their rows. If
// somebody deleted the segment, they are lost; if the index is older than the log, they have ended since.
func (x *index) tellSuspects(ctx context.Context) error {
	if len(x.suspects) == 0 {
		return nil
	}
	ids := make([]message.ID, 0, len(x.suspects))
	for id := range x.suspects {
		ids = append(ids, id)
	}
	can, err := x.canTell(ctx)
	if err != nil {
		return err
	}
	if can {
		if err := x.dropEnded(ctx); err != nil {
			return err
		}
		if err := x.keepLost(ctx); err != nil {
			return fmt.Errorf("keep what is known of mail that is lost: %w", err)
		}
	}
	clear(x.suspects)
	for len(ids) > 0 {
		n := min(len(ids), indexChunk)
		if err := x.apply(ctx, ids[:n], false); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// canTell reports that the log goes back to where the index left off, so that whatever ended since has its end in it;
// or that nothing of the log was there at the start.
func (x *index) canTell(ctx context.Context) (bool, error) {
	text, err := readMeta(ctx, x.db, "segment")
	if err != nil {
		return false, err
	}
	left, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return false, nil //nolint:nilerr // whoever wrote that cannot be asked
	}
	return x.found == 0 || uint32(left) >= x.s.segs.first(), nil
}

// dropEnded takes those out of the suspects whose end stands in the log, or that an earlier file names.
func (x *index) dropEnded(ctx context.Context) error {
	if err := x.s.Flush(); err != nil {
		return err
	}
	of := func(id message.ID) bool { _, ok := x.suspects[id]; return ok }
	forget := func(id message.ID, _ Ending) { delete(x.suspects, id) }
	_, err := x.s.recent(ctx, time.Time{}, func(rec segment.Record) error { return eachEnd(rec, of, forget) })
	if err != nil {
		return err
	}
	return eachLost(x.s.cfg.Dir, func(_ string, f *Finding) {
		delete(x.suspects, *f.ID)
	})
}

// keepLost writes files that name the suspects that are left.
func (x *index) keepLost(ctx context.Context) error {
	var lines []byte
	n, file, began := 0, 0, lostStamp()
	flush := func() error {
		if n == 0 {
			return nil
		}
		file++
		err := putAside(x.s.cfg.Dir, fmt.Sprintf("%s%s-%d%s", lostPrefix, began, file, lostSuffix), lines)
		n, lines = 0, lines[:0]
		return err
	}
	for id, seg := range x.suspects {
		m, err := envelopeInIndex(ctx, x.db, id)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		b, err := json.Marshal(Finding{
			Kind: FoundLost, ID: &id, Message: m, Lost: true, Mended: x.s.cfg.repair,
			Path: filepath.Join(logName, segName(uint32(seg))), Detail: "its segment is not there",
		})
		if err != nil {
			return err
		}
		lines = append(append(lines, b...), '\n')
		if n++; n == maxLostLines {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if file > 0 {
		x.log.Error("spool: mail is lost, because segments of the log were removed: damaged/ names it, spool check lists it",
			"messages", len(x.suspects))
	}
	return nil
}

// envelopeInIndex is what an index knows of a message. Its error may be sql.ErrNoRows.
func envelopeInIndex(ctx context.Context, db *sql.DB, id message.ID) (*Envelope, error) {
	var queue sql.NullString
	var sender, rcpts string
	var created, size, attempts int64
	err := db.QueryRowContext(ctx, `SELECT q.name, m.sender, m.recipients, m.created, m.size, m.attempts
		FROM message m LEFT JOIN queue q ON q.num = m.queue WHERE m.id = ?`, id[:]).
		Scan(&queue, &sender, &rcpts, &created, &size, &attempts)
	if err != nil {
		return nil, err
	}
	e := &Envelope{Queue: queue.String, Sender: sender, Created: fromNanos(created), Size: int(size), Attempts: int(attempts)}
	_ = json.Unmarshal([]byte(rcpts), &e.Recipients) // a damaged list is no reason to say nothing
	return e, nil
}
