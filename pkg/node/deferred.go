package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/metric"
	"kumo/pkg/queue"
	"kumo/pkg/spool"
)

// deferred are the messages that were acknowledged by deferred_spool and that the spool does not have yet. Each is in
// the hands of a queue or a session, or waits here because it could not be stored when it should have been.
type deferred struct {
	n     atomic.Int64 // messages, so that nobody takes the lock while there are none
	mu    sync.Mutex
	known map[message.ID]*unstored
}

type unstored struct {
	m     *message.Message
	waits bool // nobody has it in hand: the scheduled queue has only its entry
}

// put takes messages over.
func (d *deferred) put(ms []*message.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = make(map[message.ID]*unstored)
	}
	for _, m := range ms {
		m.Deferred = true
		d.known[m.ID] = &unstored{m: m}
	}
	d.n.Store(int64(len(d.known)))
}

// get is what is known of a message here.
func (d *deferred) get(id message.ID) (u unstored, ok bool) {
	if d.n.Load() == 0 {
		return u, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.known[id]
	if p == nil {
		return u, false
	}
	return *p, true
}

// drop forgets a message that has ended or is stored. It reports whether it was here.
func (d *deferred) drop(id message.ID) bool {
	if d.n.Load() == 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.known[id]
	delete(d.known, id)
	d.n.Store(int64(len(d.known)))
	return ok
}

// wait leaves a message to itself; take gives it to somebody if it is due at the time with that stamp.
func (d *deferred) wait(id message.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.known[id]; u != nil {
		u.waits = true
	}
}

func (d *deferred) take(id message.ID, stamp queue.Stamp) *message.Message {
	if d.n.Load() == 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.known[id]
	if u == nil || !u.waits || queue.StampOf(u.m.Due) != stamp {
		return nil
	}
	u.waits = false
	return u.m
}

// all are the messages in no order.
func (d *deferred) all() []*message.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]*message.Message, 0, len(d.known))
	for _, u := range d.known {
		out = append(out, u.m)
	}
	return out
}

// keeper is the store of a daemon: the spool, and before it the messages that the spool does not have yet.
type keeper struct {
	store
	*deferred
	bodies *bodies
	times  *timings
}

func newKeeper(s *spool.Spool, reg *metric.Registry) keeper {
	times := newTimings(reg)
	return keeper{store: store{s}, deferred: &deferred{}, bodies: &bodies{s, times}, times: times}
}

// Defer implements intake.Store.
func (k keeper) Defer(ms ...*message.Message) { k.put(ms) }

// Withdraw implements intake.Store.
func (k keeper) Withdraw(id message.ID) error {
	if k.drop(id) {
		return nil
	}
	return k.store.Withdraw(id)
}

// End implements queue.Store. A deferred message leaves without a trace on the disk.
func (k keeper) End(id message.ID, why journal.Type) error {
	if k.drop(id) {
		return nil
	}
	return k.store.End(id, why)
}

// Update implements queue.Store.
func (k keeper) Update(m *message.Message) error {
	if m.Deferred {
		return k.settle(m)
	}
	return k.store.Update(m)
}

// Reschedule implements queue.Store.
func (k keeper) Reschedule(id message.ID, due time.Time, attempts int, response string) error {
	u, ok := k.get(id)
	if !ok {
		return k.store.Reschedule(id, due, attempts, response)
	}
	u.m.Due, u.m.Attempts, u.m.LastResponse = due, attempts, response
	return k.settle(u.m)
}

// Give implements queue.Store. The queue keeps only an entry of what it gives back: a deferred message is stored.
func (k keeper) Give(id message.ID) {
	u, ok := k.get(id)
	if !ok {
		k.store.Give(id)
		return
	}
	if !u.waits {
		_ = k.settle(u.m) // it stays in memory then
	}
}

// Take implements queue.Store.
func (k keeper) Take(id message.ID, stamp queue.Stamp) (*message.Message, error) {
	if m := k.take(id, stamp); m != nil {
		return m, nil
	}
	began := time.Now()
	m, err := k.store.Take(id, stamp)
	if err == nil {
		k.times.meta.ObserveDuration(time.Since(began))
		m.SetLoader(k.bodies)
	}
	return m, err
}

// Lookup implements queue.Store.
func (k keeper) Lookup(id message.ID) (queue.Entry, bool) {
	u, ok := k.get(id)
	if !ok {
		return k.store.Lookup(id)
	}
	e := queue.Entry{
		ID: id, Queue: u.m.Queue, Created: u.m.Created, Due: u.m.Due, Attempts: u.m.Attempts, Place: queue.Taken,
	}
	if u.waits {
		e.Place = queue.Waiting
	}
	return e, true
}

// settle stores a message that was deferred and makes it wait. It stays in memory when the disk does not take it: then
// it can still be sent, and is tried again by whoever comes next.
func (k keeper) settle(m *message.Message) error {
	if err := k.Accept(context.Background(), "", m); err != nil {
		k.wait(m.ID)
		return fmt.Errorf("store deferred message: %w", err)
	}
	m.Deferred = false
	k.drop(m.ID)
	k.store.Give(m.ID)
	return nil
}

// Keep stores those of ms that are deferred, and leaves them in the hands of who has them. With an error none is.
func (k keeper) Keep(ms []*message.Message) error {
	var late []*message.Message
	for _, m := range ms {
		if m.Deferred {
			late = append(late, m)
		}
	}
	if len(late) == 0 {
		return nil
	}
	if err := k.Accept(context.Background(), "", late...); err != nil {
		return err
	}
	for _, m := range late {
		m.Deferred = false
		k.drop(m.ID)
	}
	return nil
}

// Bounds of one write of drain.
const (
	drainMessages = 1000
	drainBytes    = 64 << 20
)

// drain stores what is deferred, for an orderly stop. Nobody may have messages in hand any more.
func (k keeper) drain(log *slog.Logger) error {
	all := k.all()
	if len(all) == 0 {
		return nil
	}
	for rest := all; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && n < drainMessages && (n == 0 || size+rest[n].Size <= drainBytes) {
			size += rest[n].Size
			n++
		}
		if err := k.Keep(rest[:n]); err != nil {
			return fmt.Errorf("store deferred messages: %d of %d are lost: %w", len(rest), len(all), err)
		}
		rest = rest[n:]
	}
	log.Info("deferred messages are stored", "messages", len(all))
	return nil
}
