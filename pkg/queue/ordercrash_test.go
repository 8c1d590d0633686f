package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
)

// ledgerOf is a FakeStore that breaks down at the n-th call that the process would have made.
type failing struct {
	*FakeStore
	left int // calls until the crash; negative for none
}

var errCrash = errors.New("crash")

func (f *failing) step() error {
	if f.left == 0 {
		return errCrash
	}
	f.left--
	return nil
}

func (f *failing) Begin(ctx context.Context, o *Order) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.FakeStore.Begin(ctx, o)
}

func (f *failing) Change(ctx context.Context, order string, c Change, due time.Time, ids []message.ID) (done, taken []message.ID, err error) {
	if err := f.step(); err != nil {
		return nil, nil, err
	}
	return f.FakeStore.Change(ctx, order, c, due, ids)
}

func (f *failing) AddNotes(ctx context.Context, notes ...[]byte) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.FakeStore.AddNotes(ctx, notes...)
}

func (f *failing) Update(m *message.Message) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.FakeStore.Update(m)
}

func (f *failing) DropNotes() {
	if f.step() == nil {
		f.FakeStore.DropNotes()
	}
}

func (f *failing) Over(order string) {
	if f.step() == nil {
		f.FakeStore.Over(order)
	}
}

// tally counts records by message; after a crash nothing is written any more.
type tally struct {
	f       *failing
	counts  map[message.ID]map[journal.Type]int
	written []recorded
}

func (t *tally) Record(r *journal.Record) {
	if t.f.left == 0 {
		return
	}
	if t.counts[r.Msg.ID] == nil {
		t.counts[r.Msg.ID] = map[journal.Type]int{}
	}
	t.counts[r.Msg.ID][r.Type]++
	t.written = append(t.written, recorded{r.Msg.ID, r.Time.UnixNano(), r.Type})
}

// read gives back what was written.
func (t *tally) read(_ context.Context, _ []journal.Type, since time.Time, f func(journal.Type, message.ID, time.Time)) error {
	for _, w := range t.written {
		if at := time.Unix(0, w.at); !at.Before(since) {
			f(w.t, w.id, at)
		}
	}
	return nil
}

// TestOrdersCrash cuts each kind of order at each of its steps, with a journal and without, and has a daemon start
// afterwards that carries it out again: the outcome is the same, and every change has its record, once.
func TestOrdersCrash(t *testing.T) {
	kinds := []struct {
		order *Order
		types map[journal.Type]bool
		place Place
		left  int // messages that have not ended
	}{
		{&Order{ID: "o", Kind: Bounce, Reason: "x"}, map[journal.Type]bool{journal.AdminBounce: true}, Trashed, crashMessages},
		{&Order{ID: "o", Kind: Purge}, map[journal.Type]bool{journal.AdminBounce: true}, 0, 0},
		{&Order{ID: "o", Kind: Hold}, nil, Held, crashMessages},
		{&Order{ID: "o", Kind: Requeue}, nil, Waiting, crashMessages},
		{&Order{ID: "o", Kind: Rebind, Set: map[string]string{"queue": "new"}}, map[journal.Type]bool{journal.AdminRebind: true}, Waiting, crashMessages},
		{&Order{ID: "o", Kind: Undo, Of: "b"}, map[journal.Type]bool{journal.AdminBounce: true, journal.AdminUndo: true}, Waiting, crashMessages},
	}
	for _, k := range kinds {
		for _, noTrash := range []bool{false, true} {
			for _, offline := range []bool{false, true} {
				if noTrash && k.order.Kind != Bounce {
					continue
				}
				name := fmt.Sprintf("%s/offline=%v,noTrash=%v", k.order.Kind, offline, noTrash)
				t.Run(name, func(t *testing.T) {
					steps := 0
					for ; crashAt(t, k.order, k.types, k.place, k.left, offline, noTrash, steps); steps++ {
					}
					if steps < 1 {
						t.Errorf("%s has only %d steps", name, steps)
					}
				})
			}
		}
	}
}

const crashMessages = 7

// crashAt is one run of TestOrdersCrash. False means that the order was done before it came to step n.
func crashAt(t *testing.T, order *Order, types map[journal.Type]bool, place Place, left int, offline, noTrash bool, n int) bool {
	f := &failing{FakeStore: NewFakeStore(), left: -1}
	f.NoTrash = noTrash
	ids := crashMail(f.FakeStore)
	log := &tally{f: f, counts: map[message.ID]map[journal.Type]int{}}
	all := func(o Order) *Order {
		o.Match = f.Match(func(r *FakeRow) bool { return o.Kind != Rebind || r.Msg.Queue != "new" })
		return &o
	}
	apply := func(offline bool, o Order) error {
		opts := OrdersOptions{Ledger: f, Clock: runtimeClock{}}
		if !offline {
			opts.Recorder, opts.Recorded = log, log.read
		}
		orders := NewOrders(opts)
		if err := orders.Start(t.Context()); err != nil {
			return err
		}
		_, err := orders.Apply(t.Context(), all(o), nil)
		return err
	}
	if order.Kind == Undo {
		if err := apply(offline, Order{ID: "b", Kind: Bounce}); err != nil {
			t.Fatal(err)
		}
	}
	f.left = n
	_ = apply(offline, *order)
	crashed := f.left == 0
	f.left = -1
	f.release() // what was Taken waits again after a restart
	if err := apply(false, *order); err != nil && !errors.As(err, new(*RefusedError)) {
		t.Fatalf("step %d: the second time: %v", n, err)
	}
	want := left
	if noTrash {
		want, place = 0, 0
	}
	if f.Left() != want {
		t.Errorf("step %d: %d messages are left, want %d", n, f.Left(), want)
	}
	for _, id := range ids {
		if r := f.Row(id); r != nil && r.Place != place {
			t.Errorf("step %d: message is in place %d, want %d", n, r.Place, place)
		}
		for typ := range types {
			most := 1
			if typ == journal.AdminRebind && crashed {
				most = 2 // recorded, and then not done
			}
			if c := log.counts[id][typ]; c < 1 || c > most {
				t.Errorf("step %d: message has %d records of type %s", n, c, typ)
			}
		}
	}
	if notes, _ := f.Notes(); len(notes) > 0 {
		t.Errorf("step %d: %d notes are left", n, len(notes))
	}
	return crashed && !t.Failed()
}

func crashMail(f *FakeStore) []message.ID {
	ids := make([]message.ID, crashMessages)
	for i := range ids {
		m := &message.Message{Queue: "old", Recipients: []mail.Address{mail.Restore("a@x")}, Meta: message.NewMeta(nil), Created: time.Now()}
		binary.BigEndian.PutUint64(m.ID[:], uint64(i+1))
		m.Meta.Set("queue", "old")
		ids[i] = m.ID
		f.Put(m, Waiting)
	}
	return ids
}
