package spool

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"kumo/pkg/message"
)

// OrderInject is the kind of order that brings a message in; its payload is an Inject.
const OrderInject = "inject"

// OrderAsk is the kind of order that asks the daemon what it knows of a message and nobody else does yet. Its payload is
// an Ask, its answer is in Counts.
const OrderAsk = "ask"

// Ask is the payload of OrderAsk.
type Ask struct {
	Message message.ID `json:"message"`
}

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
// not. What Append returned is durable. Its room on the disk is set aside, so that small orders can be left and
// finished on a disk that has none.
type Orders struct {
	db      *sql.DB
	writing chan struct{} // holds one token: this process writes one transaction at a time
}

// ordersVersion is the layout of orders.db. A later one is refused: what waits there must not be lost.
const ordersVersion = 1

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
  error    TEXT,
  counts   TEXT
);
CREATE INDEX IF NOT EXISTS orders_state ON orders(state, seq);
CREATE INDEX IF NOT EXISTS orders_commands ON orders(seq) WHERE kind <> 'inject';
CREATE TABLE IF NOT EXISTS room (b BLOB); -- empty: what was in it is free for orders
PRAGMA user_version = 1;
`

// OpenOrders opens the orders of the spool in dir, and makes the table if it is not there.
func OpenOrders(ctx context.Context, dir string) (*Orders, error) {
	path := filepath.Join(dir, ordersName)
	db, err := openDB(ctx, path, dbOptions{synchronous: "FULL", keepWAL: true})
	if err != nil {
		return nil, fmt.Errorf("orders: %w", err)
	}
	o := &Orders{db: db, writing: make(chan struct{}, 1)}
	if err := o.prepare(ctx, path); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("orders: %w", err)
	}
	return o, nil
}

// prepare makes the table, or brings that of an earlier version up to date, and sets room aside.
func (o *Orders) prepare(ctx context.Context, path string) error {
	var version int
	if err := o.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > ordersVersion {
		return fmt.Errorf("%s has format %d, this program knows %d: use the version of kumo that wrote it, or a later one",
			path, version, ordersVersion)
	}
	if version < ordersVersion {
		err := o.write(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, ordersSchema); err != nil {
				return err
			}
			return addCounts(ctx, tx)
		})
		if err != nil {
			return err
		}
	}
	err := o.makeRoom(ctx, path)
	if err != nil && sqliteCode(err) == 0 {
		return err
	}
	return nil // a disk that is full already has none to set aside
}

// addCounts gives a table that an earlier version made its last column.
func addCounts(ctx context.Context, tx *sql.Tx) error {
	var n int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM pragma_table_info('orders') WHERE name = 'counts'").Scan(&n)
	if err == nil && n == 0 {
		_, err = tx.ExecContext(ctx, "ALTER TABLE orders ADD COLUMN counts TEXT")
	}
	return err
}

// orderRoom is how many bytes the database and its WAL have for orders whatever the disk says.
const orderRoom = 1 << 20

// makeRoom gives the database free pages and its WAL blocks of the disk. SQLite writes over them and never gives them
// back.
func (o *Orders) makeRoom(ctx context.Context, path string) error {
	var free, size int64
	if err := o.db.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
		return err
	}
	if err := o.db.QueryRowContext(ctx, "PRAGMA page_size").Scan(&size); err != nil {
		return err
	}
	if st, err := os.Lstat(path + "-wal"); err == nil && st.Size() >= orderRoom && free*size >= orderRoom/2 {
		return nil
	}
	for _, q := range []string{fmt.Sprintf("INSERT INTO room VALUES(zeroblob(%d))", orderRoom), "DELETE FROM room"} {
		err := o.write(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, q)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close gives the table back.
func (o *Orders) Close() error { return o.db.Close() }

// orderBusy is how long a write goes on to try while others write. They take turns, but not in the order in which they
// came.
const orderBusy = time.Minute

// write runs f in a transaction that is a writer from its beginning: one that read first could fail at once.
func (o *Orders) write(ctx context.Context, f func(*sql.Tx) error) error {
	select {
	case o.writing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-o.writing }()
	for began := time.Now(); ; {
		err := o.try(ctx, f)
		if !isBusy(err) || ctx.Err() != nil || time.Since(began) > orderBusy {
			return err
		}
	}
}

func (o *Orders) try(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := o.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}
