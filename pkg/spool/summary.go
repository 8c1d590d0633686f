package spool

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// QueueRow is one scheduled queue in a summary.
type QueueRow struct {
	Queue    string    `json:"queue"`
	Messages int       `json:"messages"` // scheduled and held ones
	Held     int       `json:"held"`
	Bytes    int64     `json:"bytes"`
	Attempts int64     `json:"attempts"`          // made so far for these messages, together
	Oldest   time.Time `json:"oldest"`            // reception of the oldest message
	NextDue  time.Time `json:"next_due,omitzero"` // earliest next attempt, in the past for now; zero: all are held
}

// add counts another part of the same queue in.
func (q *QueueRow) add(o *QueueRow) {
	q.Messages += o.Messages
	q.Held += o.Held
	q.Bytes += o.Bytes
	q.Attempts += o.Attempts
	if q.Oldest.IsZero() || !o.Oldest.IsZero() && o.Oldest.Before(q.Oldest) {
		q.Oldest = o.Oldest
	}
	if q.NextDue.IsZero() || !o.NextDue.IsZero() && o.NextDue.Before(q.NextDue) {
		q.NextDue = o.NextDue
	}
}

// count counts one message in.
func (q *QueueRow) count(e *Entry) {
	one := QueueRow{Messages: 1, Bytes: int64(e.Size), Attempts: int64(e.Attempts), Oldest: e.Created}
	switch {
	case e.State == OnHold:
		one.Held = 1
	case e.Due.IsZero():
		one.NextDue = e.Created
	default:
		one.NextDue = e.Due
	}
	q.add(&one)
}

// Summary sums up the scheduled queues that have messages that the filter wants, by name.
func (r *Reader) Summary(ctx context.Context, want Filter) ([]QueueRow, error) {
	x, err := r.matcher(ctx, &want)
	if err != nil {
		return nil, err
	}
	sums := make(map[string]*QueueRow)
	add := func(q QueueRow) {
		if have := sums[q.Queue]; have != nil {
			have.add(&q)
		} else {
			sums[q.Queue] = &q
		}
	}
	switch {
	case r.db == nil:
	case len(r.hidden) == 0 && want.State == "" && x.queuesOnly():
		err = r.readSums(ctx, x, add)
	case x.ids != nil:
		err = r.listByID(ctx, &want, x, func(row Row) error {
			add(row.sum())
			return nil
		})
	default:
		err = r.sumRows(ctx, &want, x, add)
	}
	if err == nil {
		err = r.sumExtra(ctx, &want, x, add)
	}
	if err != nil {
		return nil, fmt.Errorf("sum up queues: %w", err)
	}
	out := make([]QueueRow, 0, len(sums))
	for _, q := range sums {
		out = append(out, *q)
	}
	slices.SortFunc(out, func(a, b QueueRow) int { return cmp.Compare(a.Queue, b.Queue) })
	return out, nil
}

// sum is the row's part of its queue.
func (r *Row) sum() QueueRow {
	e := Entry{Created: r.Created, Due: r.Due, Attempts: r.Attempts, Size: r.Size}
	if r.State == StateHeld {
		e.State = OnHold
	}
	q := QueueRow{Queue: r.Queue}
	q.count(&e)
	return q
}

// readSums takes the sums that the owner keeps.
func (r *Reader) readSums(ctx context.Context, x *matcher, add func(QueueRow)) error {
	rows, err := r.conn.QueryContext(ctx,
		"SELECT name, messages, held, bytes, attempts, oldest, next_due FROM queue WHERE messages > 0")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := addSum(rows, x, add); err != nil {
			return err
		}
	}
	return rows.Err()
}

// addSum adds the row of a queue that fits.
func addSum(rows *sql.Rows, x *matcher, add func(QueueRow)) error {
	var q QueueRow
	var oldest, due int64
	if err := rows.Scan(&q.Queue, &q.Messages, &q.Held, &q.Bytes, &q.Attempts, &oldest, &due); err != nil {
		return err
	}
	q.Oldest = fromNanos(oldest)
	switch due {
	case -1:
	case 0:
		q.NextDue = q.Oldest
	default:
		q.NextDue = fromNanos(due)
	}
	if x.queue(q.Queue) {
		add(q)
	}
	return nil
}

// sumRows sums up rows of the index.
func (r *Reader) sumRows(ctx context.Context, want *Filter, x *matcher, add func(QueueRow)) error {
	ctx, cancel := context.WithTimeout(ctx, whereTime)
	defer cancel()
	cond := want.cond() + x.cond.and()
	if len(r.hidden) > 0 {
		if err := r.hide(ctx); err != nil {
			return err
		}
		cond += " AND id_ NOT IN (SELECT id FROM temp.hidden)"
	}
	rows, err := r.conn.QueryContext(ctx, `SELECT queue, count(*), sum(state_ = 1), sum(size), sum(attempts), min(created_),
		ifnull(min(iif(state_ = 1, NULL, due_)), -1)`+want.from(rowSource)+"WHERE "+cond+" GROUP BY queue_", x.cond.args...)
	if err != nil {
		return explainWhere(x.m.Where, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := addSum(rows, x, add); err != nil {
			return err
		}
	}
	return explainWhere(x.m.Where, rows.Err())
}

func (r *Reader) sumExtra(ctx context.Context, want *Filter, x *matcher, add func(QueueRow)) error {
	low, high := want.states()
	pass := func(e Entry) error {
		q := QueueRow{Queue: e.Queue}
		q.count(&e)
		add(q)
		return nil
	}
	return r.eachExtra(ctx, low, high, x, pass)
}

// Count says how many messages an order with this match would find now, and gives the first of them: what a dry run
// shows. Errors: *WhereError.
func (r *Reader) Count(ctx context.Context, want Filter, sample int) (n int, first []Row, err error) {
	err = r.List(ctx, want, func(row Row) error {
		if n++; n <= sample {
			first = append(first, row)
		}
		return nil
	})
	return n, first, err
}
