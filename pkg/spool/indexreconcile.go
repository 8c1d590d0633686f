package spool

import (
	"context"
	"database/sql"
	"time"

	"kumo/pkg/message"
)

// reconcile compares every row with the table: rows of messages that have ended go, rows that differ are written
// again, and messages without a row get one. What is known of messages that are lost is kept before their rows go.
func (x *index) reconcile(ctx context.Context) error {
	x.s.unflag()
	x.odd, x.suspects = 0, make(map[message.ID]int64)
	tell := &indexProgress{x: x, began: time.Now()}
	p := &comparison{}
	for more := true; more; {
		var err error
		if more, err = x.compare(ctx, p); err != nil {
			return err
		}
		if err := x.retime(ctx, p.moved); err != nil {
			return err
		}
		if err := x.apply(ctx, p.stale, false); err != nil {
			return err
		}
		if !more || len(x.suspects) >= maxSuspects {
			if err := x.tellSuspects(ctx); err != nil {
				return err
			}
		}
		tell.add("compared", p.rows)
	}
	if x.odd > maxStrange {
		x.log.Warn("spool: the index remembers messages whose segments are gone", "messages", x.odd)
	}
	return x.addMissing(ctx, tell)
}

// addMissing gives messages without a row one.
func (x *index) addMissing(ctx context.Context, tell *indexProgress) error {
	ids := make([]message.ID, 0, indexChunk)
	var err error
	x.s.table.each(func(e entry) bool {
		if e.flags&flagIndexed != 0 {
			return true
		}
		if ids = append(ids, e.id); len(ids) == indexChunk {
			err = x.apply(ctx, ids, true)
			tell.add("written", len(ids))
			ids = ids[:0]
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	tell.end(len(ids))
	return x.apply(ctx, ids, true)
}

// tellIndexEvery is how often somebody who reads the daemon's log hears how far the index is.
const tellIndexEvery = 5 * time.Second

// indexProgress tells how far a comparison is that takes long.
type indexProgress struct {
	x     *index
	began time.Time
	told  time.Time
	done  [2]int // rows compared, rows written
}

func (p *indexProgress) add(what string, n int) {
	p.done[map[string]int{"compared": 0, "written": 1}[what]] += n
	if now := time.Now(); now.Sub(p.began) > tellIndexEvery && now.Sub(p.told) > tellIndexEvery {
		p.told = now
		p.x.log.Info("spool: the index is being brought up to date: readers look at the log meanwhile",
			"compared", p.done[0], "written", p.done[1], "messages", p.x.s.Len())
	}
}

func (p *indexProgress) end(n int) {
	if p.done[1] += n; !p.told.IsZero() {
		p.x.log.Info("spool: the index is up to date", "compared", p.done[0], "written", p.done[1],
			"took", time.Since(p.began).Round(time.Millisecond))
	}
}

// maxStrange is how many messages without a segment are told one by one.
const maxStrange = 100

// comparison is a page of rows that were compared.
type comparison struct {
	after int64 // seq of the last row
	rows  int
	stale []message.ID // whose rows must be written or deleted
	moved []movedRow   // of which no more is wrong than time and state
}

type movedRow struct {
	seq int64
	e   entry
}

// compare reads the next page of rows, marks the messages that have a good one, and says which have not.
func (x *index) compare(ctx context.Context, p *comparison) (more bool, err error) {
	rows, err := x.db.QueryContext(ctx, `SELECT m.seq, m.id, q.name, m.due, m.attempts, m.size, m.state, m.hold, m.trash,
		m.segment, m.offset, m.up_segment, m.up_offset
		FROM message m LEFT JOIN queue q ON q.num = m.queue WHERE m.seq > ? ORDER BY m.seq LIMIT ?`, p.after, indexChunk)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	p.rows, p.stale, p.moved = 0, p.stale[:0], p.moved[:0]
	for rows.Next() {
		var raw sql.RawBytes
		var queue sql.NullString
		var r comparedRow
		if err := rows.Scan(&p.after, &raw, &queue, &r.due, &r.attempts, &r.size, &r.state, &r.hold, &r.trash,
			&r.seg, &r.off, &r.upSeg, &r.upOff); err != nil {
			return false, err
		}
		copy(r.id[:], raw)
		r.queue = x.s.names.intern(queue.String)
		x.judge(p, &r)
		p.rows++
	}
	return p.rows == indexChunk, rows.Err()
}

type comparedRow struct {
	id                         message.ID
	queue                      uint32
	due, attempts, size, state int64
	hold, trash                string
	seg, off, upSeg, upOff     int64
}

func (x *index) judge(p *comparison, r *comparedRow) {
	same, good := false, false
	var now entry
	live := x.s.change(r.id, func(e *entry) {
		same = e.queue == r.queue && int64(e.size) == r.size &&
			int64(e.seg) == r.seg && int64(e.off) == r.off && int64(e.upSeg) == r.upSeg && int64(e.upOff) == r.upOff
		is := x.s.marks.get(e.markNumber())
		st, _, _, _ := rowIs(is)
		good = e.due == r.due && int64(e.attempts) == r.attempts && st == r.state && is.Hold == r.hold && is.Trash == r.trash
		if same {
			e.flags |= flagIndexed
		}
		now = *e
	})
	switch {
	case !live && !x.ready && (!x.s.segs.has(uint32(r.seg)) || uint32(r.seg) > x.found):
		x.suspect(r)
	case !same:
		p.stale = append(p.stale, r.id)
	case !good:
		p.moved = append(p.moved, movedRow{p.after, now})
	}
}

// retime brings time and state of rows up to date, in the order in which they stand in the file.
func (x *index) retime(ctx context.Context, moved []movedRow) error {
	if len(moved) == 0 {
		return nil
	}
	ctx, err := uncancelled(ctx)
	if err != nil {
		return err
	}
	x.writing.Lock()
	defer x.writing.Unlock()
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	stmt, err := tx.PrepareContext(ctx,
		"UPDATE message SET due = ?, attempts = ?, state = ?, hold = ?, trash = ?, trashed_at = ? WHERE seq = ?")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i := range moved {
		e := &moved[i].e
		state, hold, trash, at := rowIs(x.s.marks.get(e.markNumber()))
		if _, err := stmt.ExecContext(ctx, e.due, int64(e.attempts), state, hold, trash, at, moved[i].seq); err != nil {
			return err
		}
	}
	x.uneven = true
	return tx.Commit()
}
