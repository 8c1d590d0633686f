package spool

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"
)

// The table command of the index shows the orders that act on messages to those who ask with SQL. orders.db says what
// was asked for; the log says what stands, also when orders.db was lost.

// mirrorAll is how often all of it is written anew, so that orders that orders.db has forgotten go.
const mirrorAll = time.Hour

// mirror is what the index has of orders.db.
type mirror struct {
	conn     *sql.Conn // of orders.db
	version  int64     // PRAGMA data_version, which another connection's writes change
	after    int64     // seq of the latest order
	waiting  []int64   // seq of those that were not finished
	standing map[string]bool
	all      time.Time // when all of it was written
}

func (m *mirror) close() {
	if m.conn != nil {
		_ = m.conn.Close()
	}
	*m = mirror{}
}

// mirrorOrders brings table command up to date.
func (x *index) mirrorOrders(ctx context.Context, tx *sql.Tx) error {
	m := &x.orders
	if x.s.orders == nil {
		return nil
	}
	if m.conn == nil {
		var err error
		if m.conn, err = x.s.orders.db.Conn(ctx); err != nil {
			return err
		}
	}
	var v int64
	if err := m.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&v); err != nil {
		return err
	}
	stands := x.standsNow()
	fresh := time.Since(m.all) > mirrorAll
	if v == m.version && sameKeys(stands, m.standing) && !fresh {
		return nil
	}
	if fresh {
		if _, err := tx.ExecContext(ctx, "DELETE FROM command"); err != nil {
			return err
		}
		m.after, m.waiting, m.standing, m.all = 0, nil, nil, time.Now()
	}
	if v != m.version || fresh {
		if err := m.copyOrders(ctx, tx); err != nil {
			return err
		}
	}
	if err := m.mark(ctx, tx, stands); err != nil {
		return err
	}
	m.version = v
	return nil
}

// standsNow are the orders that the log remembers.
func (x *index) standsNow() map[string]Order {
	out := make(map[string]Order)
	for _, o := range x.s.Standing() {
		out[o.ID] = o
	}
	return out
}

func sameKeys(now map[string]Order, was map[string]bool) bool {
	if len(now) != len(was) || was == nil {
		return false
	}
	for id := range now {
		if !was[id] {
			return false
		}
	}
	return true
}

// copyOrders writes the orders that are new, or were not finished the last time.
func (m *mirror) copyOrders(ctx context.Context, tx *sql.Tx) error {
	open, _ := json.Marshal(m.waiting)
	if m.waiting == nil {
		open = []byte("[]")
	}
	rows, err := m.conn.QueryContext(ctx, orderColumns+"WHERE kind <> 'inject' AND (seq > ? OR seq IN (SELECT value FROM json_each(?)))",
		m.after, string(open))
	if err != nil {
		return err
	}
	defer rows.Close()
	m.waiting = m.waiting[:0]
	for rows.Next() {
		o, err := scanOrder(rows)
		if err != nil {
			return err
		}
		if err := putCommand(ctx, tx, "command", &o); err != nil {
			return err
		}
		m.after = max(m.after, o.seq)
		if o.State == OrderWaiting {
			m.waiting = append(m.waiting, o.seq)
		}
	}
	return rows.Err()
}

func putCommand(ctx context.Context, tx *sql.Tx, table string, o *Order) error {
	result := []byte("{}")
	if o.Counts != nil {
		var err error
		if result, err = json.Marshal(o.Counts); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO "+table+` VALUES(?, ?, ?, ?, ?, ?, 0, ?, ?, ?)
		ON CONFLICT DO UPDATE SET finished = excluded.finished, state = excluded.state, result = excluded.result,
		error = excluded.error`,
		o.ID, o.Kind, o.Author, nanos(o.Created), nanos(o.Finished), o.State, validJSON(o.Payload), string(result), o.Error)
	return err
}

// validJSON is what SQLite's JSON functions can read whatever somebody wrote.
func validJSON(b json.RawMessage) string {
	if !json.Valid(b) {
		return "{}"
	}
	return string(b)
}

// mark notes which orders stand, and adds those that orders.db does not have.
func (m *mirror) mark(ctx context.Context, tx *sql.Tx, stands map[string]Order) error {
	now := make(map[string]bool, len(stands))
	for id := range m.standing {
		if _, still := stands[id]; !still {
			if _, err := tx.ExecContext(ctx, "UPDATE command SET standing = 0 WHERE id = ?", id); err != nil {
				return err
			}
		}
	}
	for id, o := range stands {
		now[id] = true
		if m.standing[id] {
			continue
		}
		_, err := tx.ExecContext(ctx, lostCommand("command")+" ON CONFLICT DO UPDATE SET standing = 1", id, o.Kind, o.Author, nanos(o.Created), validJSON(o.Payload))
		if err != nil {
			return err
		}
	}
	m.standing = now
	return nil
}
