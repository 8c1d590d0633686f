package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/queue"
	"kumo/pkg/spool"
)

// ledger is the spool as orders see it.
type ledger struct{ store }

// Begin makes an order part of the log.
func (l ledger) Begin(ctx context.Context, o *queue.Order) error {
	return l.BeginOrder(ctx, spool.Order{ID: o.ID, Kind: string(o.Kind), Created: o.Created, Author: o.Author, Payload: o.Payload})
}

// Over has the log forget an order.
func (l ledger) Over(order string) { l.EndOrder(order) }

// Standing are the orders that the log remembers. One that this version cannot read is left alone.
func (l ledger) Standing() []*queue.Order {
	var out []*queue.Order
	for _, s := range l.Spool.Standing() {
		if o, err := orderOf(l.Spool, s); err == nil {
			out = append(out, o)
		}
	}
	return out
}

// Change carries out one step of an order.
func (l ledger) Change(ctx context.Context, order string, c queue.Change, due time.Time, ids []message.ID) (done, taken []message.ID, err error) {
	if len(ids) == 0 {
		return nil, nil, ctx.Err()
	}
	a, err := l.Apply(ctx, order, changes(c), due, ids)
	return a.Done, a.Taken, err
}

// Ends reports that a bounce ends its messages at once.
func (l ledger) Ends() bool { return l.NoTrash() }

func changes(c queue.Change) spool.Change {
	switch c {
	case queue.ChangeHold:
		return spool.ChangeHold
	case queue.ChangeRelease:
		return spool.ChangeRelease
	case queue.ChangeTrash:
		return spool.ChangeTrash
	case queue.ChangeRestore:
		return spool.ChangeRestore
	case queue.ChangeEnd:
		return spool.ChangeEnd
	}
	return spool.ChangeDue
}

// Load says fs.ErrNotExist for a message that has ended.
func (l ledger) Load(id message.ID) (*message.Message, error) {
	m, err := l.Spool.Load(id)
	if errors.Is(err, spool.ErrGone) {
		return nil, fs.ErrNotExist
	}
	return m, err
}

// orderOf makes an order of what a verb has left in the spool.
func orderOf(s *spool.Spool, o spool.Order) (*queue.Order, error) {
	c, ids, err := o.Command()
	if err != nil {
		return nil, err
	}
	ids = unique(ids)
	m := c.Match
	return &queue.Order{
		ID: o.ID, Kind: queue.Kind(o.Kind), Author: o.Author, Created: o.Created, Reason: c.Reason, Payload: o.Payload,
		Scope: queue.Scope{
			Queues: m.Queues, Domain: m.Domain, Tenant: m.Tenant, Campaign: m.Campaign, RoutingDomain: m.RoutingDomain,
		},
		QueuesOnly: m.QueuesOnly() && !m.IsZero(),
		IDs:        ids,
		Match: func(ctx context.Context, page func([]message.ID) error) error {
			return s.Match(ctx, m, ids, page)
		},
		Expires: c.Expires, Set: c.Set, Flush: c.Flush, Event: c.Event, Silent: c.Silent, Of: c.Order,
	}, nil
}

func unique(ids []message.ID) []message.ID {
	seen := make(map[message.ID]struct{}, len(ids))
	out := ids[:0]
	for _, id := range ids {
		if _, ok := seen[id]; !ok {
			seen[id] = struct{}{}
			out = append(out, id)
		}
	}
	return out
}

// progressEvery is how often an order that takes long says how far it is.
const progressEvery = 500 * time.Millisecond

// command carries out an order that acts on messages. What fails for a local reason is tried again by a daemon; a verb
// has nobody to wait for.
func command(ctx context.Context, s *spool.Spool, orders *queue.Orders, o spool.Order, daemon bool) spool.Result {
	order, err := orderOf(s, o)
	if err != nil {
		return spool.Result{Error: err.Error()}
	}
	told := time.Now()
	counts, err := orders.Apply(ctx, order, func(c queue.Counts) {
		if t := time.Now(); t.Sub(told) >= progressEvery {
			told = t
			_ = s.Orders().Progress(ctx, o.ID, countsOf(c)) // those who wait only see less
		}
	})
	out := countsOf(counts)
	res := spool.Result{Counts: &out}
	switch {
	case err == nil:
	case errors.As(err, new(*queue.RefusedError)), errors.As(err, new(*spool.WhereError)), errors.Is(err, spool.ErrTooBig):
		res.Error = err.Error()
	case ctx.Err() != nil:
		return spool.Result{Later: true}
	case daemon:
		return spool.Result{Later: true, Cause: err}
	default:
		res.Error = fmt.Sprintf("after %d messages: %v", counts.Done, err)
	}
	return res
}

func countsOf(c queue.Counts) spool.Counts {
	return spool.Counts{Matched: c.Matched, Done: c.Done, Busy: c.Busy, Sample: c.Sample, Missing: c.Missing, Unknown: c.Unknown}
}

// recordedIn finds records in log directories.
func recordedIn(dirs []string) func(context.Context, []journal.Type, time.Time, func(journal.Type, message.ID, time.Time)) error {
	return func(ctx context.Context, types []journal.Type, since time.Time, f func(journal.Type, message.ID, time.Time)) error {
		return journal.Scan(ctx, journal.ReadOptions{Dirs: dirs, Types: types, Since: since}, func(l *journal.Line) error {
			f(l.Type, l.ID, l.Time)
			return nil
		})
	}
}
