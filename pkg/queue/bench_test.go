package queue

import (
	"context"
	"encoding/binary"
	"runtime"
	"strconv"
	"testing"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/option"
)

// nothing is everything around a Queues, and costs nothing.
type nothing struct {
	config option.Resolved[Config]
	plan   *egress.Plan
}

func newNothing() *nothing {
	return &nothing{option.Resolved[Config]{Value: schema.Default()}, &egress.Plan{Key: "ip-1->example.com@smtp_client"}}
}

func (n *nothing) QueueConfig(context.Context, message.QueueName) (option.Resolved[Config], error) {
	return n.config, nil
}
func (n *nothing) Plan(context.Context, egress.Request) (*egress.Plan, error) { return n.plan, nil }
func (n *nothing) Offer(*egress.Plan, *message.Message) bool                  { return true }
func (n *nothing) Full(string) bool                                           { return false }
func (n *nothing) Record(*journal.Record)                                     {}
func (n *nothing) Update(*message.Message) error                              { return nil }
func (n *nothing) Reschedule(message.ID, time.Time, int, string) error        { return nil }
func (n *nothing) End(message.ID, journal.Type) error                         { return nil }
func (n *nothing) Take(message.ID, Stamp) (*message.Message, error)           { return &message.Message{}, nil }
func (n *nothing) Give(message.ID)                                            {}
func (n *nothing) Shelve(message.ID) error                                    { return nil }
func (n *nothing) Lookup(message.ID) (Entry, bool)                            { return Entry{Queue: "example.com"}, true }

func benchQueues(b *testing.B) *Queues {
	n := newNothing()
	q := New(Options{Store: n, Configs: n, Planner: n, Feed: n, Recorder: n, Clock: runtimeClock{}})
	b.ReportAllocs()
	return q
}

func benchMessage() *message.Message {
	return &message.Message{Queue: "example.com", Recipients: []mail.Address{mail.Restore("r@example.com")}, Created: time.Now()}
}

// BenchmarkInsertOffer is a message's way from intake to its ready queue.
func BenchmarkInsertOffer(b *testing.B) {
	q := benchQueues(b)
	m := benchMessage()
	q.queue(m.Queue, 0).warm.Store(true)
	ctx := context.Background()
	for b.Loop() {
		q.Insert(ctx, m, message.Received)
	}
}

// BenchmarkInsertOfferParallel is the same from all processors into 100 queues.
func BenchmarkInsertOfferParallel(b *testing.B) {
	q := benchQueues(b)
	for i := range 100 {
		q.queue("q"+strconv.Itoa(i), 0).warm.Store(true)
	}
	b.RunParallel(func(pb *testing.PB) {
		m := benchMessage()
		names := make([]string, 100)
		for i := range names {
			names[i] = "q" + strconv.Itoa(i)
		}
		for i := 0; pb.Next(); i++ {
			m.Queue = names[i%100]
			q.Insert(context.Background(), m, message.Received)
		}
	})
}

// BenchmarkSettleDelivered is the way out of a message that was delivered.
func BenchmarkSettleDelivered(b *testing.B) {
	q := benchQueues(b)
	m := benchMessage()
	attempts := []message.Attempt{{Outcome: message.Delivered}}
	for b.Loop() {
		q.Settle(context.Background(), m, attempts)
	}
}

// BenchmarkSettleTransient is a failure for now, and the entry that it leaves.
func BenchmarkSettleTransient(b *testing.B) {
	q := benchQueues(b)
	m := benchMessage()
	attempts := []message.Attempt{{Outcome: message.Transient}}
	for b.Loop() {
		m.Attempts = 0
		q.Settle(context.Background(), m, attempts)
	}
}

// BenchmarkPromoteDue is the way of a scheduled message to its ready queue, without what the store does.
func BenchmarkPromoteDue(b *testing.B) {
	q := benchQueues(b)
	ctx := context.Background()
	s := q.queue("example.com", 0)
	for b.Loop() {
		for i := range 64 {
			s.push(entry{due: int64(i)})
		}
		q.work(ctx, s)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/message")
}

// BenchmarkMillionScheduled is what a million scheduled messages cost in memory, in one queue and in 10,000.
func BenchmarkMillionScheduled(b *testing.B) {
	const n = 1_000_000
	for _, queues := range []int{1, 10_000} {
		b.Run(strconv.Itoa(queues)+"queues", func(b *testing.B) {
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				q := benchQueues(b)
				for i := range n {
					var id message.ID
					binary.BigEndian.PutUint64(id[:], uint64(i))
					q.Restore(Entry{ID: id, Queue: "q" + strconv.Itoa(i%queues), Due: q.base.Add(time.Duration(i*7919%n) * time.Second)})
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "heap-B/message")
				b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "garbage-B/message")
				runtime.KeepAlive(q)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
		})
	}
}
