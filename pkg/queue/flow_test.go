package queue_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/queue"
	"kumo/pkg/ready"
	"kumo/pkg/smtp"
)

type clock struct{}

func (clock) Now() time.Time { return time.Now() }

func (clock) NewTimer(d time.Duration) (<-chan time.Time, func() bool) {
	t := time.NewTimer(d)
	return t.C, t.Stop
}

// flow is both rooms together, with a store in memory and a peer that takes a millisecond for a message.
type flow struct {
	queues *queue.Queues
	ready  *ready.Queues
	*queue.FakeStore
	path  egress.Path
	plans map[string]*egress.Plan

	mu      sync.Mutex
	refuse  bool
	records map[journal.Type]int
}

func newFlow() *flow {
	f := &flow{
		path: option.SchemaOf[egress.Path]().Default(), plans: map[string]*egress.Plan{},
		FakeStore: queue.NewFakeStore(), records: map[journal.Type]int{},
	}
	f.path.MaxReady = 100
	f.ready = ready.New(ready.Options{
		Settler: f, Carriers: f, Clock: clock{}, Room: func(key string, n int) { f.queues.Room(key, n) },
	})
	f.queues = queue.New(queue.Options{Store: f, Configs: f, Planner: f, Feed: f.ready, Recorder: f, Clock: clock{}})
	return f
}

// run starts both rooms; the function that it returns stops them in the order of the flow.
func (f *flow) run(t *testing.T) func() {
	qctx, qstop := context.WithCancel(t.Context())
	rctx, rstop := context.WithCancel(t.Context())
	qdone, rdone := make(chan error), make(chan error)
	go func() { qdone <- f.queues.Run(qctx) }()
	go func() { rdone <- f.ready.Run(rctx) }()
	return func() {
		qstop()
		if err := <-qdone; err != nil {
			t.Error(err)
		}
		rstop()
		if err := <-rdone; err != nil {
			t.Error(err)
		}
	}
}

func (f *flow) Settle(ctx context.Context, m *message.Message, as []message.Attempt) {
	f.queues.Settle(ctx, m, as)
}

func (f *flow) QueueConfig(context.Context, message.QueueName) (option.Resolved[queue.Config], error) {
	return option.SchemaOf[queue.Config]().Resolve("make_queue_config")
}

func (f *flow) Plan(_ context.Context, req egress.Request) (*egress.Plan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := "ip-1->" + req.Queue.Domain + "@smtp_client"
	if f.plans[key] == nil {
		f.plans[key] = &egress.Plan{Key: key, Path: &f.path}
	}
	return f.plans[key], nil
}

func (f *flow) Record(r *journal.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records[r.Type]++
}

func (f *flow) Carrier(*egress.Plan) egress.Carrier { return f }
func (f *flow) Close()                              {}

func (f *flow) Open(context.Context, *egress.Plan) (egress.Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse {
		return nil, &egress.Failure{Outcome: message.Transient, Reply: smtp.NewReply(451, "4.4.1", "refused")}
	}
	return f, nil
}

func (f *flow) Deliver(context.Context, *message.Message) egress.Result {
	time.Sleep(time.Millisecond)
	return egress.Result{Attempts: []message.Attempt{{Outcome: message.Delivered, Response: smtp.NewReply(250, "2.0.0", "ok")}}}
}

// store makes n messages for as many queues as there are names.
func (f *flow) store(p queue.Place, n int, names ...string) []*message.Message {
	var all []*message.Message
	for i := range n {
		m := &message.Message{Queue: names[i%len(names)], Created: time.Now(), Recipients: []mail.Address{mail.Restore("r@example.com")}}
		binary.BigEndian.PutUint64(m.ID[:], uint64(i)+1)
		f.Put(m, p)
		all = append(all, m)
	}
	return all
}

// count is how many messages ended (each once, or it says -1), are stored, and have a record of that type.
func (f *flow) count(t journal.Type) (ended, stored, records, others int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ended, twice := f.Ended()
	if twice > 0 {
		return -1, 0, 0, 0
	}
	for other, n := range f.records {
		if other != t {
			others += n
		}
	}
	return ended, f.Left(), f.records[t], others
}

// TestBacklogFlows: a backlog in three queues that share a small ready queue goes out as fast as the sessions send,
// not as fast as somebody polls, without a word in the log about waiting.
func TestBacklogFlows(t *testing.T) {
	const messages = 20_000
	synctest.Test(t, func(t *testing.T) {
		f := newFlow()
		for _, m := range f.store(queue.Waiting, messages, "a@example.com", "b@example.com", "c@example.com") {
			f.queues.Restore(queue.Entry{ID: m.ID, Queue: m.Queue, Created: m.Created})
		}
		stop := f.run(t)
		// At most 25 of 32 sessions are worth opening for 100 waiting messages: 25,000 messages per second.
		time.Sleep(3 * time.Second)
		ended, stored, delivered, others := f.count(journal.Delivery)
		if ended != messages || stored != 0 || delivered != messages || others != 0 {
			t.Errorf("%d messages ended, %d are stored, %d were delivered, %d other records", ended, stored, delivered, others)
		}
		stop()
	})
}

// TestOutage: while a site refuses connections its messages fail for now within minutes and are tried again by their
// schedule; all arrive when it is back, each once.
func TestOutage(t *testing.T) {
	const messages = 500
	synctest.Test(t, func(t *testing.T) {
		f := newFlow()
		f.refuse = true
		stop := f.run(t)
		for _, m := range f.store(queue.Taken, messages, "example.com") {
			f.queues.Insert(t.Context(), m, message.Received)
			time.Sleep(time.Millisecond)
		}
		// A minute at most for want of room, and then a ready queue full (100) for each pause (10 s).
		time.Sleep(time.Minute + 6*10*time.Second)
		if _, _, n, _ := f.count(journal.TransientFailure); n != messages {
			t.Errorf("%d of %d messages failed for now within two minutes", n, messages)
		}
		f.mu.Lock()
		f.refuse = false
		f.mu.Unlock()
		time.Sleep(time.Hour)
		if ended, stored, _, _ := f.count(journal.Delivery); ended != messages || stored != 0 {
			t.Errorf("%d messages ended, %d are stored", ended, stored)
		}
		stop()
	})
}
