package spool

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// appendBatch is how many orders go into one transaction.
const appendBatch = 100

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
	var ids []string
	err := o.write(ctx, func(tx *sql.Tx) error {
		ids = make([]string, 0, len(part))
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
				return err
			}
			ids = append(ids, r.ID)
		}
		return nil
	})
	return ids, err
}

func newOrderID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Progress notes how far an order is, for those who wait for it.
func (o *Orders) Progress(ctx context.Context, id string, c Counts) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return o.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE orders SET counts = ? WHERE id = ? AND state = 'waiting'", string(b), id)
		return err
	})
}

// finish records what became of orders, in one transaction.
func (o *Orders) finish(ctx context.Context, now time.Time, orders []Order, results []Result) error {
	return o.write(ctx, func(tx *sql.Tx) error {
		for i := range orders {
			if results[i].Later {
				continue
			}
			if err := finishOne(ctx, tx, now, orders[i].seq, &results[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func finishOne(ctx context.Context, tx *sql.Tx, now time.Time, seq int64, res *Result) error {
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
		state, now.UnixNano(), string(ids), res.Error, counts, seq)
	return err
}

// prune deletes finished orders that nobody will ask for any more: those that act on messages are kept longer.
func (o *Orders) prune(ctx context.Context, now time.Time) error {
	return o.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM orders WHERE seq IN (SELECT seq FROM orders WHERE state <> 'waiting'
			AND finished < CASE WHEN kind = 'inject' THEN ? ELSE ? END LIMIT 10000)`,
			now.Add(-orderKeep).UnixNano(), now.Add(-commandKeep).UnixNano())
		return err
	})
}
