package spool

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
)

// maxListed is how many orders ListOrders returns.
const maxListed = 10_000

// ListOrders reads the orders that act on messages, whether they are carried out or not, the newest first, without
// their data. It changes nothing, and works beside a daemon. Errors: ErrNoSpool, those of the disk. A spool that has
// seen no orders has none.
func ListOrders(ctx context.Context, dir string) ([]Order, error) {
	switch there, err := Exists(dir); {
	case err != nil:
		return nil, fmt.Errorf("orders of spool %s: %w", dir, err)
	case !there:
		return nil, fmt.Errorf("orders of spool %s: %w", dir, ErrNoSpool)
	}
	path := filepath.Join(dir, ordersName)
	if _, err := (OS{}).Stat(path); isMissing(err) {
		return nil, nil
	}
	db, err := openDB(ctx, path, dbOptions{readOnly: true})
	if err != nil {
		return nil, explained(fmt.Errorf("orders: %w", err), dir)
	}
	defer db.Close()
	out, err := listOrders(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("orders: %w", err)
	}
	return out, nil
}

func listOrders(ctx context.Context, db *sql.DB) ([]Order, error) {
	var has int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM pragma_table_info('orders') WHERE name = 'counts'").Scan(&has)
	if err != nil || has == 0 { // an earlier version's: it knew no such orders
		return nil, err
	}
	rows, err := db.QueryContext(ctx, `SELECT seq, id, kind, created, author, payload, state, finished, error, counts
		FROM orders WHERE kind <> 'inject' ORDER BY seq DESC LIMIT ?`, maxListed)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Order
	for rows.Next() {
		o, err := scanListed(rows)
		if err != nil {
			return nil, err
		}
		if IsCommand(o.Kind) {
			out = append(out, o)
		}
	}
	return out, rows.Err()
}

func scanListed(rows *sql.Rows) (Order, error) {
	var o Order
	var created int64
	var finished sql.NullInt64
	var payload, fault, counts sql.NullString
	if err := rows.Scan(&o.seq, &o.ID, &o.Kind, &created, &o.Author, &payload, &o.State, &finished, &fault, &counts); err != nil {
		return o, err
	}
	o.Created, o.Finished, o.Error = fromNanos(created), fromNanos(finished.Int64), fault.String
	if payload.String != "" {
		o.Payload = json.RawMessage(payload.String)
	}
	if counts.String == "" {
		return o, nil
	}
	return o, json.Unmarshal([]byte(counts.String), &o.Counts)
}
