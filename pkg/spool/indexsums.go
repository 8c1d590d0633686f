package spool

import (
	"context"
	"database/sql"
	"time"
)

// queueSum is what the index keeps of all messages of a queue that have a row and are not trashed.
type queueSum struct {
	messages, held, bytes, attempts int64
	oldest, due                     int64
}

// sumShare bounds the time that goes into sums: a pass over a million messages takes some 15 ms, and the next one
// waits 50 times as long.
const sumShare = 50

// sums brings the sums in table queue up to date if rows changed since the last time. They are read from the table in
// memory: counting rows would cost a hundred times as much.
func (x *index) sums(ctx context.Context, tx *sql.Tx) error {
	if !x.uneven || time.Now().Before(x.sumAgain) {
		return nil
	}
	began := time.Now()
	var sums []queueSum
	x.s.table.each(func(e entry) bool {
		if e.flags&flagIndexed != 0 {
			for int(e.queue) >= len(sums) {
				sums = append(sums, make([]queueSum, max(64, len(sums)))...)
			}
			x.s.sum(&sums[e.queue], &e)
		}
		return true
	})
	if err := x.putSums(ctx, tx, sums); err != nil {
		return err
	}
	x.sumAgain = time.Now().Add(sumShare * time.Since(began))
	x.summed, x.uneven = sums, false
	return nil
}

// sum counts e in.
func (s *Spool) sum(q *queueSum, e *entry) {
	if e.trashed() {
		return
	}
	if q.messages == 0 {
		q.oldest, q.due = e.created, -1
	}
	q.messages++
	q.bytes += int64(e.size)
	q.attempts += int64(e.attempts)
	q.oldest = min(q.oldest, e.created)
	switch {
	case e.onHold():
		q.held++
	case q.due < 0 || e.due < q.due:
		q.due = e.due
	}
}

// putSums writes the sums that are new.
func (x *index) putSums(ctx context.Context, tx *sql.Tx, sums []queueSum) error {
	stmt, err := tx.PrepareContext(ctx,
		"UPDATE queue SET messages = ?, held = ?, bytes = ?, attempts = ?, oldest = ?, next_due = ? WHERE num = ?")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i := range max(len(sums), len(x.summed)) {
		var q, was queueSum
		if i < len(sums) {
			q = sums[i]
		}
		if i < len(x.summed) {
			was = x.summed[i]
		}
		num, ok := x.queues[uint32(i)]
		if q == was || !ok {
			continue
		}
		if _, err := stmt.ExecContext(ctx, q.messages, q.held, q.bytes, q.attempts, q.oldest, q.due, num); err != nil {
			return err
		}
	}
	return nil
}
