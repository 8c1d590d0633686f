package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"kumo/pkg/spool"
)

// orderWait is how long a verb waits for the daemon to go on with its orders.
const orderWait = time.Minute

// ownerPoll is how often a verb that waits looks whether the spool has lost its owner.
const ownerPoll = 500 * time.Millisecond

// ErrDaemonSlow is an owner of the spool that has not carried out an order in time. The order stays and will be carried
// out.
var ErrDaemonSlow = errors.New("the daemon has not answered for a minute; the order stays in the spool and will be carried out once a daemon works again")

// executor carries out one order.
type executor func(ctx context.Context, o spool.Order) spool.Result

// desk leaves orders in a spool and waits for them. They are carried out by the daemon that owns the spool, or by this
// process if nobody does.
type desk struct {
	options Options
	author  string
	lean    bool // the policy is not needed to own the spool
	// begin is called when this process has come to own the spool: it says how orders are carried out, and what is to be
	// closed in the end.
	begin func(ctx context.Context, s *spool.Spool) (executor, func() error, error)

	plan   *plan // nil until the policy is needed
	dir    string
	orders *spool.Orders

	// set while this process owns the spool
	spool   *spool.Spool
	end     func() error
	stop    context.CancelFunc
	stopped chan error
}

// open finds the spool (dir, else $KUMO_SPOOL, else that of the policy) and who owns it.
func (d *desk) open(ctx context.Context, dir string) error {
	if dir == "" {
		dir = os.Getenv("KUMO_SPOOL")
	}
	if dir == "" {
		if err := d.load(ctx); err != nil {
			return err
		}
		dir = spoolConfig(d.plan, d.options.Log).Dir
	}
	var err error
	if d.dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := d.there(ctx); err != nil {
		return err
	}
	if err := d.own(ctx); err != nil {
		return err
	}
	d.orders, err = spool.OpenOrders(ctx, d.dir)
	return err
}

// there refuses a place without a spool, so that a typing error does not begin a new one where no daemon will look.
// Only mail may begin a spool, and only where the policy has its spool, or in an empty directory that somebody made for it.
func (d *desk) there(ctx context.Context) error {
	switch yes, err := spool.Exists(d.dir); {
	case err != nil:
		return fmt.Errorf("spool %s: %w", d.dir, err)
	case yes:
		return nil
	case d.lean:
		return fmt.Errorf("spool %s: %w", d.dir, spool.ErrNoSpool)
	}
	if files, err := os.ReadDir(d.dir); err == nil && len(files) == 0 {
		return nil
	}
	if err := d.load(ctx); err != nil {
		return err
	}
	own, err := filepath.Abs(spoolConfig(d.plan, d.options.Log).Dir)
	if err == nil && own != d.dir {
		return fmt.Errorf("spool %s: %w; %s has its own in %s, and only an empty directory becomes a new one", d.dir, spool.ErrNoSpool, d.plan.source, own)
	}
	return err
}

// load loads the policy once.
func (d *desk) load(ctx context.Context) error {
	if d.plan != nil {
		return nil
	}
	p, err := start(ctx, d.options)
	if err == nil {
		d.plan = p
	}
	return err
}

// config is how this process opens the spool.
func (d *desk) config(ctx context.Context) (spool.Config, error) {
	if d.lean && d.plan == nil {
		return spool.Config{Dir: d.dir, Log: d.options.Log, TrashKeep: spool.TrashStays}, nil
	}
	if err := d.load(ctx); err != nil {
		return spool.Config{}, err
	}
	cfg := spoolConfig(d.plan, d.options.Log)
	cfg.Dir = d.dir
	return cfg, nil
}

// own takes the spool if nobody has it, and starts to carry out orders.
func (d *desk) own(ctx context.Context) error {
	if spool.Held(d.dir) {
		return nil // Open would wait a moment for an owner that is about to leave
	}
	cfg, err := d.config(ctx)
	if err != nil {
		return err
	}
	s, err := spool.Open(ctx, cfg)
	if errors.As(err, new(*spool.HeldError)) {
		return nil
	}
	if err != nil {
		return err
	}
	exec, end, err := d.begin(ctx, s)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	d.spool, d.end, d.stopped = s, end, make(chan error, 1)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop = stop
	go func() { d.stopped <- s.RunOrders(run, exec) }()
	return nil
}

// wait returns the orders once they are carried out. An owner that goes away meanwhile is replaced by this process.
// progress, if not nil, is told how far the order is that is waited for. As long as orders get on, that one or one before
// it, it is waited for.
func (d *desk) wait(ctx context.Context, ids []string, progress func(spool.Counts)) ([]spool.Order, error) {
	deadline := time.Now().Add(orderWait)
	var last advance
	var done []spool.Order
	for {
		part, cancel := context.WithTimeout(ctx, ownerPoll)
		more, err := d.orders.Wait(part, ids[len(done):]...)
		late := part.Err() != nil
		cancel()
		if len(more) > 0 {
			done, deadline = append(done, more...), time.Now().Add(orderWait)
		}
		if err == nil || ctx.Err() != nil || !late {
			return done, err
		}
		if d.spool == nil {
			if err := d.own(ctx); err != nil {
				return done, err
			}
		}
		if now, own := d.advance(ctx, ids[len(done)]); now != last {
			last, deadline = now, time.Now().Add(orderWait)
			if own != nil && progress != nil {
				progress(*own)
			}
		}
		if time.Now().After(deadline) {
			return done, fmt.Errorf("order %s: %w", ids[len(done)], ErrDaemonSlow)
		}
	}
}

// advance is how far the orders are that wait.
type advance struct{ orders, matched, done int }

// advance looks at the orders that wait; own is how far the one of that id is.
func (d *desk) advance(ctx context.Context, id string) (all advance, own *spool.Counts) {
	waiting, err := d.orders.List(ctx, spool.OrderFilter{State: spool.OrderWaiting, Limit: 100})
	if err != nil {
		return all, nil
	}
	for _, o := range waiting {
		all.orders++
		if o.Counts == nil {
			continue
		}
		all.matched, all.done = all.matched+o.Counts.Matched, all.done+o.Counts.Done
		if o.ID == id {
			own = o.Counts
		}
	}
	return all, own
}

// Close gives everything back; what was ordered is durable before.
func (d *desk) Close() error {
	var errs error
	if d.orders != nil {
		errs = d.orders.Close()
	}
	if d.spool != nil {
		d.stop()
		errs = errors.Join(errs, <-d.stopped, d.spool.Close(), d.end())
	}
	if d.plan != nil {
		d.plan.policy.Close()
	}
	return errs
}
