package spool

import (
	"context"
	"fmt"
	"path/filepath"
)

// ListOrders reads the orders of the spool in dir as Orders.List does, but changes nothing and makes nothing, so that
// it can be asked where OpenOrders may not write. Errors: ErrNoSpool, those of the disk. A spool that has seen no
// orders has none.
func ListOrders(ctx context.Context, dir string, want OrderFilter) ([]Order, error) {
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
	var tables int
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM pragma_table_info('orders') WHERE name = 'counts'").Scan(&tables)
	if err != nil || tables == 0 { // nobody has finished making it, or a version that knew no orders about messages
		return nil, explained(err, dir)
	}
	return (&Orders{db: db}).List(ctx, want)
}
