package ready

import (
	"context"
	"sync/atomic"
	"testing"

	"kumo/pkg/egress"
	"kumo/pkg/message"
)

// instant is a peer that takes everything at once.
type instant struct {
	settled atomic.Int64
	result  egress.Result
}

func (i *instant) Settle(context.Context, *message.Message, []message.Attempt) { i.settled.Add(1) }
func (i *instant) Carrier(*egress.Plan) egress.Carrier                         { return i }
func (i *instant) Open(context.Context, *egress.Plan) (egress.Session, error)  { return i, nil }
func (i *instant) Deliver(context.Context, *message.Message) egress.Result     { return i.result }
func (i *instant) Close()                                                      {}

func benchQueues(b *testing.B) (*Queues, *instant) {
	i := &instant{result: egress.Result{Attempts: []message.Attempt{{Outcome: message.Delivered}}}}
	q := New(Options{Settler: i, Carriers: i, Clock: runtimeClock{}})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- q.Run(ctx) }()
	b.Cleanup(func() { stop(); <-ended })
	return q, i
}

// BenchmarkOfferDeliverSettle is the whole way through the room with a peer that costs nothing.
func BenchmarkOfferDeliverSettle(b *testing.B) {
	q, i := benchQueues(b)
	plan := testPlan(testPath(nil))
	m := &message.Message{}
	full := 0
	b.ReportAllocs()
	for b.Loop() {
		for !q.Offer(plan, m) {
			full++
		}
	}
	for i.settled.Load() < int64(b.N) {
	}
	b.ReportMetric(float64(full)/float64(b.N), "refused/op")
}

// BenchmarkOfferParallel is the same with a producer for each processor.
func BenchmarkOfferParallel(b *testing.B) {
	q, i := benchQueues(b)
	plan := testPlan(testPath(nil))
	m := &message.Message{}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			for !q.Offer(plan, m) {
			}
		}
	})
	for i.settled.Load() < int64(b.N) {
	}
}

// BenchmarkOfferTake is the room's own work: putting a message in and taking it out, without goroutines.
func BenchmarkOfferTake(b *testing.B) {
	i := &instant{}
	q := New(Options{Settler: i, Carriers: i, Clock: runtimeClock{}})
	plan := testPlan(testPath(nil))
	m := &message.Message{}
	l := q.line(plan, 0)
	l.sessions = 1 << 20 // nobody is opened
	s := &session{line: l, plan: plan, wake: make(chan struct{}, 1)}
	b.ReportAllocs()
	for b.Loop() {
		if !q.Offer(plan, m) {
			b.Fatal("no room")
		}
		if _, _, ok := l.take(s); !ok {
			b.Fatal("nothing to take")
		}
	}
}
