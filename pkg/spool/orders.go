package spool

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"kumo/pkg/message"
)

// OrderInject is the kind of order that brings a message in; its payload is an Inject.
const OrderInject = "inject"

// The states of an order.
const (
	OrderWaiting = "waiting"
	OrderDone    = "done"
	OrderFailed  = "failed"
)

// Order is work that a process leaves for the owner of the spool.
type Order struct {
	ID       string          `json:"id"` // 32 hexadecimal digits; Append makes one if it is empty
	Kind     string          `json:"kind"`
	Created  time.Time       `json:"created"`
	Author   string          `json:"author"`            // who asked, for people: user name and program
	Payload  json.RawMessage `json:"payload,omitempty"` // what to do; that of an inject order is gone when it is finished
	Data     []byte          `json:"-"`                 // raw message of an inject order, or ids; gone when it is finished
	State    string          `json:"state"`
	Finished time.Time       `json:"finished,omitzero"`
	IDs      []message.ID    `json:"ids,omitempty"`    // messages that came of it
	Error    string          `json:"error,omitempty"`  // why it failed
	Counts   *Counts         `json:"counts,omitempty"` // of orders that act on messages: how far it is, and what it came to
	seq      int64
}

// Inject is the payload of OrderInject. The raw message is the order's Data.
type Inject struct {
	Sender     string         `json:"sender"`     // wire form, "" for the null sender
	Recipients []string       `json:"recipients"` // wire form
	Protocol   string         `json:"protocol"`   // reception_protocol
	Hostname   string         `json:"hostname,omitempty"`
	Meta       map[string]any `json:"meta,omitempty"` // connection metadata
}

// NewInject makes an inject order.
func NewInject(author string, in Inject, data []byte) (Order, error) {
	payload, err := json.Marshal(in)
	if err != nil {
		return Order{}, fmt.Errorf("inject order: %w", err)
	}
	return Order{Kind: OrderInject, Author: author, Payload: payload, Data: data}, nil
}

// Inject reads the payload of an inject order.
func (o *Order) Inject() (Inject, error) {
	var in Inject
	if o.Kind != OrderInject {
		return in, fmt.Errorf("order %s is of kind %q, not %s", o.ID, o.Kind, OrderInject)
	}
	if err := json.Unmarshal(o.Payload, &in); err != nil {
		return in, fmt.Errorf("order %s: %w", o.ID, err)
	}
	return in, nil
}

// Orders is the table of orders, orders.db of a spool. Any process may open it, whether the spool has an owner or
// not. What Append returned is durable.
type Orders struct {
	db *sql.DB
}

const ordersSchema = `
CREATE TABLE IF NOT EXISTS orders (
  seq      INTEGER PRIMARY KEY AUTOINCREMENT,
  id       TEXT NOT NULL UNIQUE,
  kind     TEXT NOT NULL,
  created  INTEGER NOT NULL, -- nanoseconds since 1970
  author   TEXT NOT NULL,
  payload  TEXT,
  data     BLOB,
  state    TEXT NOT NULL DEFAULT 'waiting',
  finished INTEGER,
  ids      TEXT,
  error    TEXT
);
CREATE INDEX IF NOT EXISTS orders_state ON orders(state, seq);
`

// appendBatch is how many orders go into one transaction.
const appendBatch = 100

// OpenOrders opens the orders of the spool in dir, and makes the table if it is not there.
func OpenOrders(ctx context.Context, dir string) (*Orders, error) {
	db, err := openDB(ctx, filepath.Join(dir, ordersName), dbOptions{synchronous: "FULL"})
	if err != nil {
		return nil, fmt.Errorf("orders: %w", err)
	}
	if _, err := db.ExecContext(ctx, ordersSchema); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("orders: %w", err)
	}
	if err := addCounts(ctx, db); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("orders: %w", err)
	}
	return &Orders{db: db}, nil
}

// addCounts gives a table that an earlier version made its last column.
func addCounts(ctx context.Context, db *sql.DB) error {
	const has = "SELECT count(*) FROM pragma_table_info('orders') WHERE name = 'counts'"
	var n int
	if err := db.QueryRowContext(ctx, has).Scan(&n); err != nil || n > 0 {
		return err
	}
	_, err := db.ExecContext(ctx, "ALTER TABLE orders ADD COLUMN counts TEXT")
	if err != nil && db.QueryRowContext(ctx, has).Scan(&n) == nil && n > 0 {
		return nil // another process was faster
	}
	return err
}

// Close gives the table back.
func (o *Orders) Close() error { return o.db.Close() }

// Append stores orders durably, 100 to a transaction, and returns their ids. After an error the ids are those of
// the orders that were stored.
func (o *Orders) Append(ctx context.Context, orders ...Order) ([]string, error) {
	ids := make([]string, 0, len(orders))
	for part := range slices.Chunk(orders, appendBatch) {
		got, err := o.appendPart(ctx, part)
		if err != nil {
			return ids, fmt.Errorf("append orders: %w", err)
		}
		ids = append(ids, got...)
	}
	return ids, nil
}

func (o *Orders) appendPart(ctx context.Context, part []Order) ([]string, error) {
	tx, err := o.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	ids := make([]string, 0, len(part))
	for _, r := range part {
		if r.ID == "" {
			r.ID = newOrderID()
		}
		if r.Created.IsZero() {
			r.Created = time.Now()
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO orders(id, kind, created, author, payload, data) VALUES(?,?,?,?,?,?)",
			r.ID, r.Kind, r.Created.UnixNano(), r.Author, string(r.Payload), r.Data)
		if err != nil {
			return nil, err
		}
		ids = append(ids, r.ID)
	}
	return ids, tx.Commit()
}

func newOrderID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// ErrNoOrder is an order that is not in the table.
var ErrNoOrder = errors.New("no such order")

// Get reads an order without its data.
func (o *Orders) Get(ctx context.Context, id string) (Order, error) {
	var r Order
	var created int64
	var finished sql.NullInt64
	var payload, ids, fault, counts sql.NullString
	err := o.db.QueryRowContext(ctx,
		"SELECT seq, id, kind, created, author, payload, state, finished, ids, error, counts FROM orders WHERE id = ?", id,
	).Scan(&r.seq, &r.ID, &r.Kind, &created, &r.Author, &payload, &r.State, &finished, &ids, &fault, &counts)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoOrder
	}
	if err != nil {
		return Order{}, fmt.Errorf("order %s: %w", id, err)
	}
	r.Created, r.Finished, r.Error = fromNanos(created), fromNanos(finished.Int64), fault.String
	if payload.String != "" {
		r.Payload = json.RawMessage(payload.String)
	}
	if ids.String != "" {
		err = json.Unmarshal([]byte(ids.String), &r.IDs)
	}
	if counts.String != "" {
		err = errors.Join(err, json.Unmarshal([]byte(counts.String), &r.Counts))
	}
	return r, err
}

// Progress notes how far an order is, for those who wait for it.
func (o *Orders) Progress(ctx context.Context, id string, c Counts) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = o.db.ExecContext(ctx, "UPDATE orders SET counts = ? WHERE id = ? AND state = 'waiting'", string(b), id)
	return err
}

// data reads the raw message of an order, or the ids that it names.
func (o *Orders) data(ctx context.Context, id string) ([]byte, error) {
	var b []byte
	err := o.db.QueryRowContext(ctx, "SELECT data FROM orders WHERE id = ?", id).Scan(&b)
	if err != nil {
		return nil, fmt.Errorf("order %s: %w", id, err)
	}
	return b, nil
}

// Wait polls until all of the orders are finished, and returns them in the order of ids. Whether one failed is
// told by its State and Error.
func (o *Orders) Wait(ctx context.Context, ids ...string) ([]Order, error) {
	out := make([]Order, 0, len(ids))
	pause := 5 * time.Millisecond
	for _, id := range ids {
		for {
			r, err := o.Get(ctx, id)
			if err != nil {
				return out, err
			}
			if r.State != OrderWaiting {
				out = append(out, r)
				break
			}
			select {
			case <-ctx.Done():
				return out, fmt.Errorf("wait for order %s: %w", id, ctx.Err())
			case <-time.After(pause):
			}
			pause = min(pause*2, 50*time.Millisecond)
		}
	}
	return out, nil
}

// waiting lists orders that are not finished, oldest first, after seq.
func (o *Orders) waiting(ctx context.Context, after int64, limit int) ([]Order, error) {
	rows, err := o.db.QueryContext(ctx,
		"SELECT seq, id, kind, created, author, payload FROM orders WHERE state = 'waiting' AND seq > ? ORDER BY seq LIMIT ?",
		after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Order
	for rows.Next() {
		r := Order{State: OrderWaiting}
		var created int64
		var payload string
		if err := rows.Scan(&r.seq, &r.ID, &r.Kind, &created, &r.Author, &payload); err != nil {
			return nil, err
		}
		r.Created, r.Payload = fromNanos(created), json.RawMessage(payload)
		out = append(out, r)
	}
	return out, rows.Err()
}

// finish records what became of orders, in one transaction.
func (o *Orders) finish(ctx context.Context, now time.Time, orders []Order, results []Result) error {
	tx, err := o.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for i, r := range orders {
		res := results[i]
		if res.Later {
			continue
		}
		state := OrderDone
		if res.Error != "" {
			state = OrderFailed
		}
		ids, err := json.Marshal(res.IDs)
		if err != nil {
			return err
		}
		counts := sql.NullString{Valid: res.Counts != nil}
		if counts.Valid {
			b, err := json.Marshal(res.Counts)
			if err != nil {
				return err
			}
			counts.String = string(b)
		}
		_, err = tx.ExecContext(ctx, `UPDATE orders SET state = ?, finished = ?, ids = ?, error = ?, counts = ?,
			payload = CASE WHEN kind = 'inject' THEN NULL ELSE payload END, data = NULL WHERE seq = ? AND state = 'waiting'`,
			state, now.UnixNano(), string(ids), res.Error, counts, r.seq)
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// prune deletes finished orders that nobody will ask for any more: those that act on messages are kept longer.
func (o *Orders) prune(ctx context.Context, now time.Time) error {
	_, err := o.db.ExecContext(ctx, `DELETE FROM orders WHERE seq IN (SELECT seq FROM orders WHERE state <> 'waiting'
		AND finished < CASE WHEN kind = 'inject' THEN ? ELSE ? END LIMIT 10000)`,
		now.Add(-orderKeep).UnixNano(), now.Add(-commandKeep).UnixNano())
	return err
}

// isDone reports whether the table knows order as finished. Errors count as no.
func (o *Orders) isDone(order string) bool {
	r, err := o.Get(context.Background(), order)
	return err == nil && r.State == OrderDone
}
