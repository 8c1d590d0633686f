package spool

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// catchUp replays the log behind the checkpoint. An owner may delete segments meanwhile, because it has copied what is
// alive in them to the end: then it begins again.
func (r *Reader) catchUp(ctx context.Context, seg uint32, off int64) error {
	for try := 0; ; try++ {
		err := r.replay(ctx, seg, off)
		if err == nil || !isMissing(err) || try == 10 || ctx.Err() != nil {
			return err
		}
		r.segs.close(slog.New(slog.DiscardHandler))
		r.segs = newSegments(OS{}, r.segs.dir, r.segs.key)
		r.extra, r.marks, r.found = table{}, marks{}, Recovery{}
		clear(r.hidden)
		clear(r.standing)
	}
}

// replay reads the log behind the checkpoint, all of it when there is none.
func (r *Reader) replay(ctx context.Context, seg uint32, off int64) error {
	files, _, err := listLog(OS{}, r.segs.dir)
	if err != nil {
		return explain(err, r.dir)
	}
	if err := readHeaders(OS{}, r.segs, files); err != nil {
		return explain(err, r.dir)
	}
	changed := make(map[message.ID]*change)
	rp := &replayer{
		fsys: OS{}, dir: r.segs.dir, key: r.segs.key, log: slog.New(slog.DiscardHandler), table: &r.extra, names: &r.names,
		segs: r.segs, marks: &r.marks, found: &r.found, done: make(map[string]*doneOrder), fromSeg: seg, fromOff: off,
		progress: r.progress,
	}
	rp.over = func(order string) { r.standing[order] = nil }
	if seg > 0 {
		r.follow(rp, changed)
	}
	if err := rp.run(ctx, files); err != nil {
		return explain(err, r.dir)
	}
	rp.settle()
	for id, st := range rp.standing {
		r.standing[id] = &st.order
	}
	return r.merge(ctx, changed)
}

// change is what the log behind the checkpoint says of a message that was accepted before.
type change struct {
	e       entry // of its latest update and reschedule
	updated bool
	retimed bool
	is      segment.Standing       // with updated
	applied []*segment.AppliedHead // since
}

// follow has rp tell of messages that were accepted before the checkpoint.
func (r *Reader) follow(rp *replayer, changed map[message.ID]*change) {
	of := func(id message.ID) *change {
		r.hidden[id] = true
		c := changed[id]
		if c == nil {
			c = &change{}
			changed[id] = c
		}
		return c
	}
	rp.orphan = func(kind segment.Kind, id message.ID, e entry, is segment.Standing) {
		switch c := of(id); kind {
		case segment.End:
			delete(changed, id)
		case segment.Update:
			*c = change{e: e, updated: true, retimed: true, is: is}
		case segment.Reschedule:
			c.e.due, c.e.attempts, c.retimed = e.due, e.attempts, true
			c.applied = slices.DeleteFunc(c.applied, func(a *segment.AppliedHead) bool { return Change(a.Change) == ChangeDue })
		}
	}
	rp.orphanApplied = func(id message.ID, a *segment.AppliedHead) {
		c := of(id)
		c.applied = append(c.applied, a)
	}
}

// merge brings the rows of messages that changed after the checkpoint up to date.
func (r *Reader) merge(ctx context.Context, changed map[message.ID]*change) error {
	for id, c := range changed {
		row, err := r.row(ctx, id)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return err
		}
		e, err := r.merged(&row, c)
		if err != nil {
			return err
		}
		shard, h := r.extra.lock(id)
		if shard.get(id, h) == nil {
			shard.put(e, h)
		}
		shard.Unlock()
	}
	return nil
}

func (r *Reader) merged(row *Row, c *change) (entry, error) {
	e := entry{
		id: row.ID, created: nanos(row.Created), due: nanos(row.Due), attempts: clampAttempts(row.Attempts),
		seg: row.at.seg, off: row.at.off, hint: headHint(row.at.head), size: row.at.size,
		queue: r.names.intern(row.Queue), upSeg: row.at.upSeg, upOff: row.at.upOff,
	}
	if row.at.shared {
		e.flags |= flagShared
	}
	is := row.is()
	if c.updated {
		e.queue, e.upSeg, e.upOff, is = c.e.queue, c.e.upSeg, c.e.upOff, c.is
	}
	if c.retimed {
		e.due, e.attempts = c.e.due, c.e.attempts
	}
	if err := r.marks.obey(&e, is); err != nil {
		return e, err
	}
	for _, a := range c.applied {
		if err := r.marks.apply(&e, a); err != nil {
			return e, err
		}
	}
	return e, nil
}

// hide makes temp.hidden, which tells SQLite which rows do not count: those that ended or changed, and those that the
// log's end has too.
func (r *Reader) hide(ctx context.Context) error {
	if r.veiled {
		return nil
	}
	if _, err := r.conn.ExecContext(ctx, "PRAGMA query_only(0)"); err != nil {
		return err
	}
	if _, err := r.conn.ExecContext(ctx, "CREATE TEMP TABLE hidden(id BLOB PRIMARY KEY) WITHOUT ROWID"); err != nil {
		return err
	}
	tx, err := r.conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	stmt, err := tx.PrepareContext(ctx, "INSERT INTO temp.hidden VALUES(?)")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for id := range r.hidden {
		if _, err := stmt.ExecContext(ctx, id[:]); err != nil {
			return err
		}
	}
	r.veiled = true
	return tx.Commit()
}
