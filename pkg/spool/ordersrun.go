package spool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"kumo/pkg/message"
)

// Result is what carrying out an order came to.
type Result struct {
	IDs   []message.ID // messages that came of it
	Error string       // why it failed for good, "" if it did not
	Later bool         // a local fault: try again in a while
	Cause error        // of Later: what an operator should know; may be nil

	Counts *Counts // of orders that act on messages
}

const (
	orderPoll  = 50 * time.Millisecond // how often the table is looked at; PRAGMA data_version costs 4 us
	orderRetry = 5 * time.Second       // until an order with Later is tried again
	orderWays  = 32                    // inject orders carried out at the same time, so that they share syncs
	orderKeep  = 24 * time.Hour        // how long finished orders can be asked for

	commandKeep = 30 * 24 * time.Hour // the same for orders that act on messages
)

// ErrNoOrders is a spool that was opened without its orders.
var ErrNoOrders = errors.New("spool has no table of orders")

// Orders is the spool's own table of orders, nil if it was opened without one.
func (s *Spool) Orders() *Orders { return s.orders }

// RunOrders carries out orders as they come in, until ctx ends: exec does one and says what came of it. An inject
// order is done when exec's Accept, which must be given the order's id, has returned; it is carried out exactly
// once even if the process dies at any moment in between. Inject orders run side by side, others one by one in
// their sequence; neither wait for the other.
func (s *Spool) RunOrders(ctx context.Context, exec func(ctx context.Context, o Order) Result) error {
	if s.orders == nil {
		return ErrNoOrders
	}
	var others sync.WaitGroup
	defer others.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var failed error
	others.Go(func() {
		defer stop()
		failed = s.runOrders(ctx, exec, false)
	})
	err := s.runOrders(ctx, exec, true)
	stop()
	others.Wait()
	return errors.Join(err, failed)
}

// runOrders carries out inject orders, or the others.
func (s *Spool) runOrders(ctx context.Context, exec func(ctx context.Context, o Order) Result, inject bool) error {
	conn, err := s.orders.db.Conn(ctx)
	switch {
	case err != nil && ctx.Err() != nil: // over before it began: the others were done so soon
		return nil
	case err != nil:
		return fmt.Errorf("run orders: %w", err)
	}
	defer conn.Close()
	r := &orderRun{s: s, exec: exec, conn: conn, inject: inject}
	tick := time.NewTicker(orderPoll)
	defer tick.Stop()
	for {
		if err := r.poll(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("spool: orders", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

type orderRun struct {
	s       *Spool
	exec    func(ctx context.Context, o Order) Result
	conn    *sql.Conn
	inject  bool
	version int64
	retryAt time.Time
	pruned  time.Time
	looked  time.Time // when files was compared
	files   [3]uint64 // inodes of orders.db
}

// poll carries out what waits if the table changed since the last time.
func (r *orderRun) poll(ctx context.Context) error {
	if err := r.same(); err != nil {
		return err
	}
	var v int64
	if err := r.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&v); err != nil {
		return err
	}
	now := time.Now()
	if v == r.version && (r.retryAt.IsZero() || now.Before(r.retryAt)) {
		return nil
	}
	r.retryAt = time.Time{}
	err := r.drain(ctx)
	if err != nil {
		r.retryAt = now.Add(time.Second)
		return err
	}
	r.version = v
	if r.inject && now.Sub(r.pruned) > time.Hour {
		r.pruned = now
		return r.s.orders.prune(ctx, r.s.cfg.Now())
	}
	return nil
}

// same looks once a minute whether orders.db is still the file that others open. Its loss is not healed: orders that
// others leave in another file are not found.
func (r *orderRun) same() error {
	now := time.Now()
	if now.Sub(r.looked) < time.Minute {
		return nil
	}
	r.looked = now
	path := filepath.Join(r.s.cfg.Dir, ordersName)
	is := inodes(path)
	if r.files == [3]uint64{} {
		r.files = is
	}
	if is != r.files {
		return fmt.Errorf("somebody removed or replaced %s or its -wal or -shm while it was in use: orders are not seen until this process starts anew", path)
	}
	return nil
}

// drain carries out everything that waits.
func (r *orderRun) drain(ctx context.Context) error {
	after, limit := int64(0), appendBatch
	if !r.inject {
		limit = 1 // those who wait for one do not wait for the others behind it
	}
	for ctx.Err() == nil {
		orders, err := r.s.orders.waiting(ctx, r.inject, after, limit)
		if err != nil || len(orders) == 0 {
			return err
		}
		after = orders[len(orders)-1].seq
		results := make([]Result, len(orders))
		r.carryOut(ctx, orders, results)
		if err := r.finish(orders, results); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (r *orderRun) carryOut(ctx context.Context, orders []Order, results []Result) {
	var wg sync.WaitGroup
	ways := make(chan struct{}, orderWays)
	for i := range orders {
		if orders[i].Kind != OrderInject {
			wg.Wait()
			results[i] = r.one(ctx, orders[i])
			continue
		}
		ways <- struct{}{}
		wg.Go(func() {
			results[i] = r.one(ctx, orders[i])
			<-ways
		})
	}
	wg.Wait()
}

// one carries out an order unless the log says that this was done before.
func (r *orderRun) one(ctx context.Context, o Order) Result {
	if ids, done := r.s.OrderDone(o.ID); done {
		return Result{IDs: ids}
	}
	if ctx.Err() != nil {
		return Result{Later: true}
	}
	if o.Kind == OrderInject || IsCommand(o.Kind) {
		var err error
		if o.Data, err = r.s.orders.data(ctx, o.ID); err != nil {
			r.s.log.Error("spool: read order", "error", err)
			return Result{Later: true}
		}
	}
	return r.exec(ctx, o)
}

// finish records the results. It does so even when the runner is stopping: what was done is done.
func (r *orderRun) finish(orders []Order, results []Result) error {
	ctx := context.Background()
	if err := r.s.orders.finish(ctx, r.s.cfg.Now(), orders, results); err != nil {
		return fmt.Errorf("finish orders: %w", err)
	}
	for i, o := range orders {
		if results[i].Later {
			if err := results[i].Cause; err != nil {
				r.s.log.Error("spool: an order is not carried out; it is tried again", "order", o.ID, "kind", o.Kind, "error", err)
			}
			r.retryAt = time.Now().Add(orderRetry)
			continue
		}
		r.s.ForgetOrder(o.ID)
	}
	return nil
}
