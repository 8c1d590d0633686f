package spool

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrNoOrder is an order that is not in the table.
var ErrNoOrder = errors.New("no such order")

const orderColumns = "SELECT seq, id, kind, created, author, payload, state, finished, ids, error, counts FROM orders "

func scanOrder(row interface{ Scan(...any) error }) (Order, error) {
	var r Order
	var created int64
	var finished sql.NullInt64
	var payload, ids, fault, counts sql.NullString
	err := row.Scan(&r.seq, &r.ID, &r.Kind, &created, &r.Author, &payload, &r.State, &finished, &ids, &fault, &counts)
	if err != nil {
		return r, err
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

// Get reads an order without its data.
func (o *Orders) Get(ctx context.Context, id string) (Order, error) {
	r, err := scanOrder(o.db.QueryRowContext(ctx, orderColumns+"WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoOrder
	}
	if err != nil {
		return r, fmt.Errorf("order %s: %w", id, err)
	}
	return r, nil
}

// OrderFilter says which orders List wants: those that fit all of it.
type OrderFilter struct {
	Kinds  []string // any of them; nil for all that act on messages
	State  string   // OrderWaiting, OrderDone or OrderFailed; "" for all
	Before string   // the id of an order: only those that were left before it, for the next page
	Limit  int      // 0 is 1,000
}

// List reads orders without their data, the newest first.
func (o *Orders) List(ctx context.Context, want OrderFilter) ([]Order, error) {
	if want.Kinds == nil {
		want.Kinds = commandKinds()
	}
	if want.Limit <= 0 {
		want.Limit = 1000
	}
	kinds, err := json.Marshal(want.Kinds)
	if err != nil {
		return nil, err
	}
	which := "WHERE "
	if !slices.Contains(want.Kinds, OrderInject) {
		which += "kind <> 'inject' AND " // has an index
	}
	rows, err := o.db.QueryContext(ctx, orderColumns+which+`kind IN (SELECT value FROM json_each(?)) AND (? = '' OR state = ?)
		AND (? = '' OR seq < (SELECT seq FROM orders WHERE id = ?)) ORDER BY seq DESC LIMIT ?`,
		string(kinds), want.State, want.State, want.Before, want.Before, want.Limit)
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	defer rows.Close()
	var out []Order
	for rows.Next() {
		r, err := scanOrder(rows)
		if err != nil {
			return nil, fmt.Errorf("list orders: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
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

// waiting lists inject orders, or the others, that are not finished, oldest first, after seq.
func (o *Orders) waiting(ctx context.Context, inject bool, after int64, limit int) ([]Order, error) {
	rows, err := o.db.QueryContext(ctx, `SELECT seq, id, kind, created, author, payload FROM orders
		WHERE state = 'waiting' AND (kind = 'inject') = ? AND seq > ? ORDER BY seq LIMIT ?`, inject, after, limit)
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

// isDone reports whether the table knows order as finished. Errors count as no.
func (o *Orders) isDone(order string) bool {
	r, err := o.Get(context.Background(), order)
	return err == nil && r.State == OrderDone
}
