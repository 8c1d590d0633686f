package node

import (
	"context"
	"errors"

	"kumo/pkg/message"
	"kumo/pkg/queue"
	"kumo/pkg/spool"
)

// Clerk has orders that act on messages carried out: by the daemon that owns the spool, or by this process if nobody
// does.
type Clerk struct {
	desk
	// Progress, if not nil, is told about twice a second how far an order is that takes longer.
	Progress func(spool.Counts)
}

// OpenClerk finds the spool (dir, else $KUMO_SPOOL, else that of the policy) and who owns it. The policy of o is loaded
// only where it is needed: to find the spool, or to ask it about a rebind where nobody owns the spool.
func OpenClerk(ctx context.Context, dir string, o Options) (*Clerk, error) {
	c := &Clerk{desk: desk{options: quiet(o), author: author(), lean: true}}
	c.begin = c.carryOut
	if err := c.open(ctx, dir); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Do leaves the order durably in the spool and returns it when it is finished: State and Error say whether it failed,
// Counts what it came to. An order without an author is the user's. Errors: those of the spool, *spool.HeldError
// never; ErrDaemonSlow, and the context's, leave an order that will still be carried out.
func (c *Clerk) Do(ctx context.Context, o spool.Order) (spool.Order, error) {
	if o.Author == "" {
		o.Author = c.author
	}
	ids, err := c.orders.Append(ctx, o)
	if err != nil {
		return o, err
	}
	o.ID = ids[0]
	done, err := c.wait(ctx, ids, c.Progress)
	if err != nil {
		return o, err
	}
	return done[0], nil
}

// carryOut is what this process does with orders when it owns the spool: it changes what is stored, and leaves the
// records for the next daemon.
func (c *Clerk) carryOut(ctx context.Context, s *spool.Spool) (executor, func() error, error) {
	orders := queue.NewOrders(queue.OrdersOptions{
		Ledger: ledger{store{s}}, Rebind: c.ask, Clock: systemClock{}, Log: c.options.Log,
	})
	if err := orders.Start(ctx); err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, o spool.Order) spool.Result {
		if !spool.IsCommand(o.Kind) {
			return spool.Result{Later: true} // a daemon's business
		}
		return command(ctx, s, orders, o, false)
	}, func() error { return nil }, nil
}

// ask asks policy about a rebind.
func (c *Clerk) ask(ctx context.Context, m *message.Message, data map[string]string) error {
	if err := c.load(ctx); err != nil {
		return err
	}
	return c.plan.policy.RebindMessage(ctx, m, data)
}
