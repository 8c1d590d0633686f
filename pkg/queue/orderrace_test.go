package queue

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
)

// quarrel is a storm in which operators contradict each other.
type quarrel struct {
	storm
	orders *Orders
	next   atomic.Int64 // order
	newest atomic.Int64 // message

	mu  sync.Mutex
	net map[message.ID]int // recipients that had their last record, those undone taken off
}

func (q *quarrel) Record(r *journal.Record) {
	n := 0
	switch r.Type {
	case journal.Delivery, journal.Bounce, journal.Expiration, journal.AdminBounce:
		n = len(r.Recipients)
	case journal.AdminUndo:
		n = -len(r.Recipients)
	}
	q.mu.Lock()
	q.net[r.Msg.ID] += n
	q.mu.Unlock()
}

// Recall takes from the feed what nobody has begun.
func (q *quarrel) Recall(want func(message.ID) bool) []*message.Message {
	var out []*message.Message
	for range len(q.feed) {
		select {
		case m := <-q.feed:
			if want(m.ID) {
				out = append(out, m)
			} else if !q.Offer(nil, m) {
				q.queues.Settle(context.Background(), m, []message.Attempt{{Outcome: message.Delayed, Delay: time.Second}})
			}
		default:
		}
	}
	return out
}

func (q *quarrel) Hurry(string) {}

// random is an order about a few of the latest messages, a queue, or everything.
func (q *quarrel) random(queues int) *Order {
	kinds := []Kind{Requeue, Bounce, Suspend, Resume, Rebind, Hold, Release, Undo, Undo}
	n := q.next.Add(1)
	o := &Order{ID: fmt.Sprint("o", n), Kind: kinds[rand.IntN(len(kinds))], Created: time.Now(), Reason: "a whim"}
	ids := map[message.ID]bool{}
	name := fmt.Sprintf("q%d", rand.IntN(queues))
	switch rand.IntN(10) {
	case 0:
		if n%20 == 0 {
			o.Kind = Purge
		}
		o.Scope.Queues, o.QueuesOnly = []string{name}, true
	case 1:
		o.QueuesOnly = n%50 == 0
	default:
		for range 1 + rand.IntN(5) {
			var id message.ID
			binary.BigEndian.PutUint64(id[:], uint64(max(0, int(q.newest.Load())-rand.IntN(300))))
			ids[id] = true
		}
	}
	o.Match = q.Match(func(r *FakeRow) bool {
		return ids[r.Msg.ID] || o.QueuesOnly && o.Scope.Covers(r.Msg.Queue)
	})
	switch o.Kind {
	case Suspend:
		o.Expires = time.Now().Add(time.Duration(rand.IntN(300)) * time.Second)
	case Hold, Bounce:
		if rand.IntN(4) == 0 {
			o.Expires = time.Now().Add(time.Duration(rand.IntN(20)) * time.Second)
		}
	case Rebind:
		o.Set, o.Flush = map[string]string{"queue": name}, rand.IntN(2) == 0
	case Undo, Resume, Release:
		if s := q.Standing(); len(s) > 0 && (o.Kind == Undo || rand.IntN(2) == 0) {
			o.Of = s[rand.IntN(len(s))].ID
		}
	}
	return o
}

// TestOrdersRace: operators suspend, bounce, rebind, requeue, hold, release, purge and undo the same messages 10^5
// times while these are being delivered (F164). Each message ends once, each of its recipients has one last record,
// and the queues know that nothing is left.
func TestOrdersRace(t *testing.T) {
	const messages, operators, sessions, queues, orders = 20_000, 16, 16, 20, 100_000
	synctest.Test(t, func(t *testing.T) {
		q := &quarrel{
			storm: storm{feed: make(chan *message.Message, 64), FakeStore: NewFakeStore(), final: map[message.ID]int{}},
			net:   map[message.ID]int{},
		}
		q.queues = New(Options{Store: q, Configs: q, Planner: q, Feed: q, Recorder: q, Clock: runtimeClock{}, Workers: 8})
		q.orders = NewOrders(OrdersOptions{Ledger: q.FakeStore, Queues: q.queues, Floor: q, Recorder: q, Clock: runtimeClock{}})
		ctx, stop := context.WithCancel(t.Context())
		var running, operating sync.WaitGroup
		running.Go(func() { _ = q.queues.Run(ctx) })
		running.Go(func() { _ = q.orders.Run(ctx) })
		for range sessions {
			running.Go(func() { q.send(ctx) })
		}
		operating.Go(func() {
			for n := range messages {
				for q.next.Load() < int64(n)*orders/messages {
					time.Sleep(time.Millisecond)
				}
				q.insert(ctx, n, queues)
			}
		})
		var done, refused atomic.Int64
		for range operators {
			operating.Go(func() {
				for q.next.Load() < orders {
					c, err := q.orders.Apply(ctx, q.random(queues), nil)
					done.Add(int64(c.Done))
					if err != nil {
						refused.Add(1)
					}
					time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
				}
			})
		}
		operating.Wait()
		synctest.Wait()
		q.settleAll(t, ctx)
		time.Sleep(3 * time.Hour) // max_age is one hour
		q.check(t, messages)
		t.Logf("%d changes, %d orders refused", done.Load(), refused.Load())
		stop()
		running.Wait()
	})
}

// insert brings message n in.
func (q *quarrel) insert(ctx context.Context, n, queues int) {
	rcpts := []mail.Address{mail.Restore("a@x"), mail.Restore("b@x"), mail.Restore("c@x")}
	m := &message.Message{
		Queue: fmt.Sprintf("q%d", n%queues), Recipients: rcpts[:1+n%3], Created: time.Now(), Meta: message.NewMeta(nil),
	}
	binary.BigEndian.PutUint64(m.ID[:], uint64(n))
	m.Meta.Set("queue", m.Queue)
	q.Put(m, Taken)
	q.newest.Store(int64(n))
	q.queues.Insert(ctx, m, message.Received)
}

// settleAll undoes and releases what stands.
func (q *quarrel) settleAll(t *testing.T, ctx context.Context) {
	for _, s := range q.Standing() {
		if _, err := q.orders.Apply(ctx, &Order{ID: "end-" + s.ID, Kind: Undo, Of: s.ID, Created: time.Now()}, nil); err != nil {
			t.Errorf("undo %s %s: %v", s.Kind, s.ID, err)
		}
	}
	o := &Order{ID: "end", Kind: Release, Match: q.Match(func(*FakeRow) bool { return true })}
	if _, err := q.orders.Apply(ctx, o, nil); err != nil {
		t.Error(err)
	}
}

func (q *quarrel) check(t *testing.T, messages int) {
	for _, f := range q.Faults() {
		t.Error(f)
	}
	if n := q.Left(); n != 0 {
		t.Errorf("%d messages are still stored", n)
	}
	if s := q.Standing(); len(s) != 0 {
		t.Errorf("%d orders still stand", len(s))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	wrong := 0
	for n := range messages {
		var id message.ID
		binary.BigEndian.PutUint64(id[:], uint64(n))
		if ends, net, want := q.TimesEnded(id), q.net[id], 1+n%3; ends != 1 || net != want {
			if wrong++; wrong <= 5 {
				t.Errorf("message %d of %d recipients ended %d times, with %d last records; it is now %+v", n, want, ends, net, q.Row(id))
			}
		}
	}
	for _, st := range q.queues.Snapshot() {
		if st.Scheduled != 0 || st.Live != 0 {
			t.Errorf("queue %s thinks that it has %d scheduled, %d live messages", st.Name, st.Scheduled, st.Live)
		}
	}
	if n := q.orders.claims.n.Load(); n != 0 {
		t.Errorf("orders still wait for %d messages", n)
	}
	if n := q.queues.holding.Load(); n != 0 {
		t.Errorf("%d arrivals are thought to be held", n)
	}
}
