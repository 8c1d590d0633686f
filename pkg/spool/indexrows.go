package spool

import (
	"context"
	"database/sql"
	"encoding/json"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// readQueues reads the numbers of the queues, and the sums that the table has.
func (x *index) readQueues(ctx context.Context) error {
	x.queues, x.summed = make(map[uint32]int64), nil
	rows, err := x.db.QueryContext(ctx, "SELECT num, name, messages, held, bytes, attempts, oldest, next_due FROM queue")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var num int64
		var name string
		var q queueSum
		if err := rows.Scan(&num, &name, &q.messages, &q.held, &q.bytes, &q.attempts, &q.oldest, &q.due); err != nil {
			return err
		}
		n := x.s.names.intern(name)
		x.queues[n] = num
		for int(n) >= len(x.summed) {
			x.summed = append(x.summed, make([]queueSum, max(64, len(x.summed)))...)
		}
		x.summed[n] = q
	}
	return rows.Err()
}

const putRow = `INSERT INTO message(id, queue, sender, recipients, created, due, attempts, size, last_response, history, state,
  hold, trash, trashed_at, segment, offset, head, shared, up_segment, up_offset) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
  ON CONFLICT(id) DO UPDATE SET queue = excluded.queue, sender = excluded.sender, recipients = excluded.recipients,
  created = excluded.created, due = excluded.due, attempts = excluded.attempts, size = excluded.size,
  last_response = excluded.last_response, history = excluded.history, state = excluded.state, hold = excluded.hold,
  trash = excluded.trash, trashed_at = excluded.trashed_at, segment = excluded.segment, offset = excluded.offset, head = excluded.head,
  shared = excluded.shared, up_segment = excluded.up_segment, up_offset = excluded.up_offset`

// apply writes or deletes the rows of ids, as the table says. fresh ids have no row yet.
func (x *index) apply(ctx context.Context, ids []message.ID, fresh bool) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	live := make([]entry, 0, len(ids))
	var gone []message.ID
	for _, id := range ids {
		e, ok, had := x.s.mark(id)
		switch {
		case ok && !(fresh && had):
			live = append(live, e)
		case !ok && !fresh:
			gone = append(gone, id)
		}
	}
	if len(live)+len(gone) == 0 {
		return nil
	}
	ctx, err := uncancelled(ctx)
	if err != nil {
		return err
	}
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if !fresh {
		if live, err = x.shift(ctx, tx, live); err != nil {
			return err
		}
	}
	if err := x.put(ctx, tx, live); err != nil {
		return err
	}
	if err := x.remove(ctx, tx, gone); err != nil {
		return err
	}
	x.uneven = true
	return tx.Commit()
}

const shiftRow = `UPDATE message SET due = ?, attempts = ?, state = ?, hold = ?, trash = ?, trashed_at = ?
  WHERE id = ? AND segment = ? AND offset = ? AND up_segment = ? AND up_offset = ?`

// shift brings those rows up to date whose messages have the envelope that the row has, which saves reading it, and
// returns the others.
func (x *index) shift(ctx context.Context, tx *sql.Tx, live []entry) ([]entry, error) {
	if len(live) == 0 {
		return nil, nil
	}
	stmt, err := tx.PrepareContext(ctx, shiftRow)
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	rest := live[:0]
	for i := range live {
		e := live[i]
		state, hold, trash, at := rowIs(x.s.marks.get(e.markNumber()))
		res, err := stmt.ExecContext(ctx, e.due, int64(e.attempts), state, hold, trash, at,
			e.id[:], int64(e.seg), int64(e.off), int64(e.upSeg), int64(e.upOff))
		if err != nil {
			return nil, err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			rest = append(rest, e)
		}
	}
	return rest, nil
}

// uncancelled is ctx for many small statements: the driver starts a goroutine for each one that could be cancelled.
func uncancelled(ctx context.Context) (context.Context, error) {
	return context.WithoutCancel(ctx), ctx.Err()
}

func (x *index) put(ctx context.Context, tx *sql.Tx, live []entry) error {
	if len(live) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, putRow)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, e := range live {
		row, err := x.row(ctx, tx, e)
		if err != nil {
			return err
		}
		if _, err := stmt.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	return nil
}

func (x *index) remove(ctx context.Context, tx *sql.Tx, gone []message.ID) error {
	if len(gone) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, "DELETE FROM message WHERE id = ?")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i := range gone {
		if _, err := stmt.ExecContext(ctx, gone[i][:]); err != nil {
			return err
		}
	}
	return nil
}

// mark notes that the message's row is being written, and returns its entry and whether it was noted before.
func (s *Spool) mark(id message.ID) (e entry, live, had bool) {
	live = s.change(id, func(p *entry) {
		had = p.flags&flagIndexed != 0
		p.flags |= flagIndexed
		e = *p
	})
	return e, live, had
}

// unflag forgets which messages have rows.
func (s *Spool) unflag() {
	for i := range s.table.shard {
		shard := &s.table.shard[i]
		shard.Lock()
		for _, c := range shard.chunks {
			for k := range c {
				c[k].flags &^= flagIndexed
			}
		}
		shard.Unlock()
	}
}

// row is the values of e's row; nil when its envelope cannot be read just now.
func (x *index) row(ctx context.Context, tx *sql.Tx, e entry) ([]any, error) {
	m, err := x.s.segs.envelope(e.id, e.place())
	if err != nil {
		x.log.Warn("spool: message cannot be indexed", "id", e.id, "error", err)
		m = &message.Message{}
	}
	queue, err := x.queue(ctx, tx, e.queue)
	if err != nil {
		return nil, err
	}
	return rowValues(&e, queue, m, x.s.marks.get(e.markNumber())), nil
}

// rowValues are the columns of message, from id on.
func rowValues(e *entry, queue int64, m *message.Message, is segment.Standing) []any {
	state, hold, trash, at := rowIs(is)
	return []any{
		e.id[:], queue, m.Sender.String(), recipientsJSON(m), e.created, e.due, int64(e.attempts), int64(e.size), m.LastResponse,
		historyJSON(m), state, hold, trash, at,
		int64(e.seg), int64(e.off), int64(e.head()), e.flags&flagShared != 0, int64(e.upSeg), int64(e.upOff),
	}
}

func recipientsJSON(m *message.Message) string {
	list := make([]string, len(m.Recipients))
	for i, r := range m.Recipients {
		list[i] = r.String()
	}
	b, _ := json.Marshal(list)
	return string(b)
}

// queue is the number that the database has for a queue.
func (x *index) queue(ctx context.Context, tx *sql.Tx, num uint32) (int64, error) {
	if n, ok := x.queues[num]; ok {
		return n, nil
	}
	name := x.s.names.get(num)
	q := message.ParseQueueName(name)
	_, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO queue(name, domain, tenant, campaign, routing_domain) VALUES(?,?,?,?,?)",
		name, q.Domain, q.Tenant, q.Campaign, q.RoutingDomain)
	if err != nil {
		return 0, err
	}
	var n int64
	if err := tx.QueryRowContext(ctx, "SELECT num FROM queue WHERE name = ?", name).Scan(&n); err != nil {
		return 0, err
	}
	x.queues[num] = n
	return n, nil
}
