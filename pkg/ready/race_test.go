package ready

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// chaos is a carrier whose sessions do everything that sessions may do, and some things that they must not.
type chaos struct {
	open    atomic.Int64 // sessions open now
	most    atomic.Int64
	settled []atomic.Int32 // by message number
	total   atomic.Int64
}

func number(m *message.Message) uint64 { return binary.BigEndian.Uint64(m.ID[:]) }

func (c *chaos) Settle(_ context.Context, m *message.Message, attempts []message.Attempt) {
	if len(attempts) == 0 {
		panic("settled without attempts")
	}
	c.settled[number(m)].Add(1)
	c.total.Add(1)
}

func (c *chaos) Carrier(*egress.Plan) egress.Carrier { return c }

func (c *chaos) Open(context.Context, *egress.Plan) (egress.Session, error) {
	switch rand.IntN(20) {
	case 0:
		return nil, &egress.Failure{Outcome: message.Transient, Reply: smtp.NewReply(451, "4.4.1", "refused")}
	case 1:
		panic("open")
	case 2:
		if rand.IntN(20) == 0 {
			return nil, &egress.Failure{Outcome: message.Permanent, Reason: message.FailedDueToNullMx, Reply: smtp.NewReply(556, "5.1.10", "null MX")}
		}
	}
	n := c.open.Add(1)
	for {
		most := c.most.Load()
		if n <= most || c.most.CompareAndSwap(most, n) {
			return &chaosSession{c: c}, nil
		}
	}
}

type chaosSession struct {
	c    *chaos
	busy atomic.Bool
}

func (s *chaosSession) Close() {
	s.c.open.Add(-1)
	if rand.IntN(50) == 0 {
		panic("close")
	}
}

func (s *chaosSession) Deliver(context.Context, *message.Message) egress.Result {
	if s.busy.Swap(true) {
		panic("two deliveries at once over one session")
	}
	defer s.busy.Store(false)
	if rand.IntN(4) == 0 {
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
	}
	r := egress.Result{Attempts: []message.Attempt{{Outcome: message.Outcome(rand.IntN(4)), Delay: time.Second}}}
	switch rand.IntN(100) {
	case 0:
		return egress.Result{}
	case 1:
		panic("deliver")
	case 2, 3:
		return egress.Result{Unsent: true, Done: true}
	case 4, 5:
		r.Done = true
	}
	return r
}

// TestExactlyOneSettle: 16 workers offer 10^5 messages to ready queues whose sessions fail in all ways. Each message is
// settled once, and connection_limit holds.
func TestExactlyOneSettle(t *testing.T) {
	const messages, workers, lines, limit = 100_000, 16, 5, 8
	synctest.Test(t, func(t *testing.T) {
		c := &chaos{settled: make([]atomic.Int32, messages)}
		q := New(Options{Settler: c, Carriers: c, Clock: runtimeClock{}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- q.Run(ctx) }()
		path := testPath(func(p *egress.Path) { p.ConnectionLimit.Limit = limit; p.MaxDeliveriesPerConnection = 100 })
		plans := make([]*egress.Plan, lines)
		for i := range plans {
			plans[i] = testPlan(path)
			plans[i].Key = string(rune('a'+i)) + "->x@smtp_client"
		}
		var next atomic.Int64
		var done sync.WaitGroup
		for range workers {
			done.Go(func() {
				for n := next.Add(1) - 1; n < messages; n = next.Add(1) - 1 {
					m := &message.Message{}
					binary.BigEndian.PutUint64(m.ID[:], uint64(n))
					plan := plans[n%lines]
					for !q.Offer(plan, m) {
						if !q.Full(plan.Key) && rand.IntN(2) == 0 {
							continue
						}
						time.Sleep(10 * time.Millisecond)
					}
				}
			})
		}
		done.Wait()
		time.Sleep(time.Hour)
		for i := range c.settled {
			if n := c.settled[i].Load(); n != 1 {
				t.Fatalf("message %d was settled %d times", i, n)
			}
		}
		if most := c.most.Load(); most > lines*limit {
			t.Errorf("%d sessions were open at once, the limit is %d for each of %d", most, limit, lines)
		}
		if open := c.open.Load(); open != 0 {
			t.Errorf("%d sessions are still open", open)
		}
		if s := q.Snapshot(); len(s) != 0 {
			t.Errorf("idle ready queues are not reaped: %v", s)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestStopWhileBusy: a stop at any moment settles what sessions have in hand and nothing twice.
func TestStopWhileBusy(t *testing.T) {
	const messages = 2000
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			c := &chaos{settled: make([]atomic.Int32, messages)}
			q := New(Options{Settler: c, Carriers: c, Clock: runtimeClock{}})
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- q.Run(ctx) }()
			plan := testPlan(testPath(nil))
			go func() {
				time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
				stop()
			}()
			for n := range messages {
				m := &message.Message{}
				binary.BigEndian.PutUint64(m.ID[:], uint64(n))
				for !q.Offer(plan, m) {
					time.Sleep(time.Millisecond)
				}
			}
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if open := c.open.Load(); open != 0 {
				t.Errorf("%d sessions are still open", open)
			}
			for i := range c.settled {
				if n := c.settled[i].Load(); n > 1 {
					t.Fatalf("message %d was settled %d times", i, n)
				}
			}
		})
	}
}

// TestModestConnections: 20 producers that each wait for their message keep a handful of sessions busy, not 20.
func TestModestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &steady{settled: map[message.ID]chan struct{}{}}
		q := New(Options{Settler: s, Carriers: s, Clock: runtimeClock{}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- q.Run(ctx) }()
		plan := testPlan(testPath(nil))
		var producers sync.WaitGroup
		for p := range 20 {
			producers.Go(func() {
				for n := range 200 {
					time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
					m := &message.Message{}
					binary.BigEndian.PutUint64(m.ID[:], uint64(p)<<32|uint64(n))
					got := s.expect(m)
					if !q.Offer(plan, m) {
						t.Error("no room")
					}
					<-got
				}
			})
		}
		producers.Wait()
		if s.opened > 10 {
			t.Errorf("%d sessions were opened", s.opened)
		}
		stop()
		<-ended
	})
}

// steady is a peer that takes each message in a tenth of a millisecond.
type steady struct {
	mu      sync.Mutex
	opened  int
	settled map[message.ID]chan struct{}
}

func (s *steady) expect(m *message.Message) chan struct{} {
	c := make(chan struct{})
	s.mu.Lock()
	s.settled[m.ID] = c
	s.mu.Unlock()
	return c
}

func (s *steady) Settle(_ context.Context, m *message.Message, _ []message.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.settled[m.ID])
	delete(s.settled, m.ID)
}

func (s *steady) Carrier(*egress.Plan) egress.Carrier { return s }

func (s *steady) Open(context.Context, *egress.Plan) (egress.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	return s, nil
}

func (s *steady) Deliver(context.Context, *message.Message) egress.Result {
	time.Sleep(100 * time.Microsecond)
	return egress.Result{Attempts: []message.Attempt{{Outcome: message.Delivered}}}
}

func (s *steady) Close() {}
