package queue

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
)

// Floor is what orders want of ready queues (ready.Queues).
type Floor interface {
	// Recall takes back messages that wait in ready queues and that no session has begun.
	Recall(want func(id message.ID) bool) []*message.Message
	// Hurry ends the pause of the ready queue of that name: what waits there is tried now.
	Hurry(key string)
}

// OrdersOptions are what Orders are made of. Ledger and Clock are needed.
type OrdersOptions struct {
	Ledger Ledger
	// Queues have the messages in memory; nil in a process that lets no mail flow.
	Queues *Queues
	Floor  Floor // needed with Queues
	// Recorder takes the records that orders cause, and Flush has them written to stable storage. nil: the records are
	// left in the ledger as notes for the next process that has a recorder.
	Recorder Recorder
	Flush    func() error
	// Recorded calls f for each record in the log of one of these types and of that time or later, so that none is
	// written twice; nil: nobody can tell.
	Recorded func(ctx context.Context, types []journal.Type, since time.Time, f func(journal.Type, message.ID, time.Time)) error
	// Rebind asks policy to change a message (rebind_message); nil: nobody can be asked.
	Rebind func(ctx context.Context, m *message.Message, data map[string]string) error
	Clock  Clock
	Log    *slog.Logger // nil for silence
}

// Orders carries out orders. Its methods may be called from any goroutine.
type Orders struct {
	ledger   Ledger
	queues   *Queues
	floor    Floor
	recorder Recorder
	flush    func() error
	recorded func(context.Context, []journal.Type, time.Time, func(journal.Type, message.ID, time.Time)) error
	rebinder func(ctx context.Context, m *message.Message, data map[string]string) error
	clock    Clock
	log      *slog.Logger
	base     time.Time
	claims   claims

	one sync.Mutex // held by the order that is carried out

	// mu is held while a page of messages is changed and its records are written, so that two orders do not disagree
	// about a message.
	mu       sync.Mutex
	standing map[string]*Order // begun, and not over
	rules    atomic.Pointer[ruleset]
}

// NewOrders makes what carries out orders. With Queues it must be called, and Start, before any message flows.
func NewOrders(p OrdersOptions) *Orders {
	o := &Orders{
		ledger: p.Ledger, queues: p.Queues, floor: p.Floor, recorder: p.Recorder, flush: p.Flush, recorded: p.Recorded, rebinder: p.Rebind,
		clock: p.Clock, log: p.Log, base: p.Clock.Now(), standing: map[string]*Order{},
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	if o.flush == nil {
		o.flush = func() error { return nil }
	}
	if o.queues != nil {
		o.base = o.queues.base
		o.queues.orders = o
	}
	return o
}

// run is one order that is carried out.
type run struct {
	*Orders
	order    *Order
	counts   Counts
	progress func(Counts)
	touched  map[string]struct{}     // queues with entries that may not be right any more
	few      map[message.ID]struct{} // the messages of these entries; nil when they are many
}

// few is how many messages an order may have changed for their entries to be looked for one by one.
const few = pageSize

// Apply carries out an order; one at a time. Doing it again, as after a crash, changes what is left to be changed.
// progress, if not nil, is told from time to time how far it is. A *RefusedError will not go away, and neither will
// what Match says; other errors are local faults: then part of the order may be done.
func (o *Orders) Apply(ctx context.Context, order *Order, progress func(Counts)) (Counts, error) {
	o.one.Lock()
	defer o.one.Unlock()
	r := &run{Orders: o, order: order, progress: progress, touched: map[string]struct{}{}, few: map[message.ID]struct{}{}}
	for _, id := range order.IDs {
		if _, ok := o.ledger.Lookup(id); !ok {
			if r.counts.Unknown++; len(r.counts.Missing) < maxMissing {
				r.counts.Missing = append(r.counts.Missing, id)
			}
		}
	}
	err := r.carryOut(ctx)
	r.align()
	return r.counts, err
}

func (r *run) carryOut(ctx context.Context) error {
	switch r.order.Kind {
	case Requeue:
		return r.requeue(ctx)
	case Bounce, Hold:
		return r.change(ctx)
	case Suspend:
		if r.order.QueuesOnly {
			return r.suspend(ctx)
		}
		return r.change(ctx)
	case Purge:
		return r.purge(ctx)
	case Rebind:
		return r.rebind(ctx)
	case Resume:
		return r.resume(ctx)
	case Release:
		return r.release(ctx)
	case Undo:
		return r.undo(ctx)
	}
	return &RefusedError{fmt.Sprintf("this version does not know orders of kind %q", r.order.Kind)}
}

// begin makes the order stand. again says that it was begun before: what obeys it already is counted.
func (r *run) begin(ctx context.Context) error {
	o := r.order
	if r.standing[o.ID] != nil {
		return r.ledger.OfOrder(ctx, o.ID, func(ids []message.ID) error {
			r.counts.Matched += len(ids)
			r.did(ids)
			return nil
		})
	}
	if err := r.ledger.Begin(ctx, o); err != nil {
		return err
	}
	r.stand(o)
	return nil
}

// stand makes the order one that lasts, and a rule if it is one.
func (o *Orders) stand(order *Order) {
	o.mu.Lock()
	o.standing[order.ID] = order
	o.mu.Unlock()
	if order.stands() {
		o.setRules()
	}
}

// over ends an order of which nothing lasts any more, and that is to have no more effect.
func (o *Orders) over(id string) {
	o.claims.cancel(id)
	o.gone(id)
}

// gone ends an order of which nothing lasts any more. It may still wait for messages that deliveries have in hand.
func (o *Orders) gone(id string) {
	o.mu.Lock()
	delete(o.standing, id)
	o.mu.Unlock()
	o.setRules()
	o.ledger.Over(id)
}

// find is a standing order.
func (o *Orders) find(id string) *Order {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.standing[id]
}

// each calls f with the standing orders that want picks.
func (o *Orders) each(want func(*Order) bool, f func(*Order) error) error {
	o.mu.Lock()
	var all []*Order
	for _, s := range o.standing {
		if want(s) {
			all = append(all, s)
		}
	}
	o.mu.Unlock()
	slices.SortFunc(all, func(a, b *Order) int { return a.Created.Compare(b.Created) })
	for _, s := range all {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

// did counts messages that were changed.
func (r *run) did(ids []message.ID) {
	r.counts.Done += len(ids)
	r.counts.sample(ids)
}

// tell tells how far the order is.
func (r *run) tell() {
	if r.progress != nil {
		r.progress(r.counts)
	}
}

// touch notes that the entries of these messages may not be right any more once the order has changed them.
func (r *run) touch(ids []message.ID) {
	if r.queues == nil {
		return
	}
	if r.few != nil && len(r.few)+len(ids) > few {
		r.few = nil
	}
	for _, id := range ids {
		if r.few != nil {
			r.few[id] = struct{}{}
		}
		if e, ok := r.ledger.Lookup(id); ok {
			r.touched[e.Queue] = struct{}{}
		}
	}
}

// now is the time of a change.
func (o *Orders) now() time.Time { return o.clock.Now().Round(0) }

// mono is t on the monotonic scale.
func (o *Orders) mono(t time.Time) int64 { return int64(t.Sub(o.base)) }
