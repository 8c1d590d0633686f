package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/smtp"
)

// storm is everything around a Queues, as unreliable as it may be.
type storm struct {
	queues *Queues
	feed   chan *message.Message

	*FakeStore
	mu    sync.Mutex
	final map[message.ID]int // recipients that had their last record
}

func (s *storm) Take(id message.ID, stamp Stamp) (*message.Message, error) {
	if rand.IntN(200) == 0 {
		return nil, errors.New("the disk hiccups")
	}
	return s.FakeStore.Take(id, stamp)
}

func (s *storm) QueueConfig(context.Context, message.QueueName) (option.Resolved[Config], error) {
	if rand.IntN(10) == 0 {
		return option.Resolved[Config]{}, errors.New("policy hiccups")
	}
	c := schema.Default()
	c.RetryInterval, c.MaxAge, c.RefreshInterval = option.Duration(time.Minute), option.Duration(time.Hour), option.Duration(10*time.Second)
	return option.Resolved[Config]{Value: c}, nil
}

func (s *storm) Plan(context.Context, egress.Request) (*egress.Plan, error) {
	switch rand.IntN(100) {
	case 0:
		return nil, &egress.Failure{Outcome: message.Transient, Reply: smtp.NewReply(451, "4.4.4", "no DNS")}
	case 1:
		return nil, errors.New("something else")
	case 2:
		if rand.IntN(10) == 0 {
			return nil, &egress.Failure{Outcome: message.Permanent, Reply: smtp.NewReply(556, "5.1.10", "null MX")}
		}
	}
	return &egress.Plan{Key: "k"}, nil
}

func (s *storm) Offer(_ *egress.Plan, m *message.Message) bool {
	select {
	case s.feed <- m:
		return true
	default:
		return false
	}
}

func (s *storm) Full(string) bool { return len(s.feed) == cap(s.feed) }

func (s *storm) Record(r *journal.Record) {
	switch r.Type {
	case journal.Delivery, journal.Bounce, journal.Expiration:
		s.mu.Lock()
		s.final[r.Msg.ID] += len(r.Recipients)
		s.mu.Unlock()
	}
}

// send is a session of the ready room.
func (s *storm) send(ctx context.Context) {
	for {
		select {
		case m := <-s.feed:
			s.queues.Settle(ctx, m, fate(m))
		case <-ctx.Done():
			return
		}
		if len(s.feed) == cap(s.feed)/2 {
			s.queues.Room("k", len(s.feed))
		}
	}
}

// fate gives each recipient some outcome.
func fate(m *message.Message) []message.Attempt {
	if rand.IntN(2) == 0 {
		return []message.Attempt{{Outcome: message.Outcome(rand.IntN(4)), Delay: time.Duration(rand.IntN(60)) * time.Second}}
	}
	var out []message.Attempt
	for _, r := range m.Recipients {
		out = append(out, message.Attempt{Outcome: message.Outcome(rand.IntN(4)), Recipients: []mail.Address{r}, Delay: time.Second})
	}
	return out
}

// TestExactlyOneEnd: 10^5 messages of up to three recipients go through queues whose surroundings fail in every way,
// while operators suspend and resume (F164). Each message ends once, each recipient has one last record, and nothing
// is left.
func TestExactlyOneEnd(t *testing.T) {
	const messages, workers, queues = 100_000, 16, 50
	synctest.Test(t, func(t *testing.T) {
		s := &storm{
			feed: make(chan *message.Message, 256), FakeStore: NewFakeStore(), final: map[message.ID]int{},
		}
		s.queues = New(Options{Store: s, Configs: s, Planner: s, Feed: s, Recorder: s, Clock: runtimeClock{}, Workers: 8})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = s.queues.Run(ctx) })
		for range workers {
			running.Go(func() { s.send(ctx) })
		}
		running.Go(func() { operate(ctx, s.queues, queues) })
		rcpts := []mail.Address{mail.Restore("a@x"), mail.Restore("b@x"), mail.Restore("c@x")}
		var next atomic.Int64
		var inserting sync.WaitGroup
		for range workers {
			inserting.Go(func() {
				for n := next.Add(1) - 1; n < messages; n = next.Add(1) - 1 {
					m := &message.Message{Queue: fmt.Sprintf("q%d", n%queues), Recipients: rcpts[:1+n%3], Created: time.Now()}
					binary.BigEndian.PutUint64(m.ID[:], uint64(n))
					if n%10 == 0 {
						m.Due = time.Now().Add(time.Duration(rand.IntN(100)) * time.Second)
					}
					s.Put(m, Taken)
					s.queues.Insert(ctx, m, message.Received)
					if n%100 == 0 {
						time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
					}
				}
			})
		}
		inserting.Wait()
		time.Sleep(3 * time.Hour) // max_age is one hour
		s.check(t, messages)
		stop()
		running.Wait()
	})
}

// operate suspends and resumes queues at random.
func operate(ctx context.Context, q *Queues, queues int) {
	for ctx.Err() == nil {
		name := fmt.Sprintf("q%d", rand.IntN(queues))
		q.Suspend(name, "a whim", time.Now().Add(time.Duration(rand.IntN(30))*time.Second))
		time.Sleep(time.Duration(rand.IntN(5000)) * time.Millisecond)
		if rand.IntN(2) == 0 {
			q.Resume(name)
		}
		q.Snapshot()
		if rand.IntN(20) == 0 {
			time.Sleep(10 * time.Minute)
		}
	}
}

func (s *storm) check(t *testing.T, messages int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.Faults() {
		t.Error(e)
	}
	if n := s.Left(); n != 0 {
		t.Errorf("%d messages are still stored", n)
	}
	for n := range messages {
		var id message.ID
		binary.BigEndian.PutUint64(id[:], uint64(n))
		if n := s.TimesEnded(id); n != 1 {
			t.Fatalf("message %s ended %d times", id, n)
		}
		if want := 1 + n%3; s.final[id] != want {
			t.Fatalf("message %d of %d recipients had %d last records", n, want, s.final[id])
		}
	}
	for _, st := range s.queues.Snapshot() {
		if st.Scheduled != 0 || st.Live != 0 {
			t.Errorf("queue %s thinks that it has %d scheduled, %d live messages", st.Name, st.Scheduled, st.Live)
		}
	}
}

// TestMillionDueStaysOnDisk: a backlog that comes due at once is loaded only as fast as the ready queue takes it.
func TestMillionDueStaysOnDisk(t *testing.T) {
	const messages = 1_000_000
	synctest.Test(t, func(t *testing.T) {
		s := &slowFeed{room: 1024}
		s.queues = New(Options{Store: s, Configs: s, Planner: s, Feed: s, Recorder: s, Clock: runtimeClock{}})
		for n := range messages {
			var id message.ID
			binary.BigEndian.PutUint64(id[:], uint64(n))
			s.queues.Restore(Entry{ID: id, Queue: "big", Created: time.Now(), Due: time.Now().Add(time.Minute)})
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.queues.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		if n := s.loads.Load(); n > 1024+batch {
			t.Errorf("%d messages were loaded for a ready queue of 1024", n)
		}
		if n := s.records.Load(); n != 0 {
			t.Errorf("%d records were written about messages that wait for room", n)
		}
		s.mu.Lock()
		s.room = 1024
		s.mu.Unlock()
		s.queues.Room("k", 1024)
		synctest.Wait()
		if n := s.offered.Load(); n != 2048 {
			t.Errorf("%d messages were offered after room for 1024 more", n)
		}
		stop()
		<-done
	})
}

// slowFeed takes a number of messages and then no more.
type slowFeed struct {
	storm
	loads, records, offered atomic.Int64
	room                    int
}

func (s *slowFeed) Take(id message.ID, _ Stamp) (*message.Message, error) {
	s.loads.Add(1)
	return &message.Message{ID: id}, nil
}
func (s *slowFeed) Record(*journal.Record) { s.records.Add(1) }

func (s *slowFeed) QueueConfig(context.Context, message.QueueName) (option.Resolved[Config], error) {
	return option.Resolved[Config]{Value: schema.Default()}, nil
}

func (s *slowFeed) Plan(context.Context, egress.Request) (*egress.Plan, error) {
	return &egress.Plan{Key: "k"}, nil
}

func (s *slowFeed) Offer(*egress.Plan, *message.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room == 0 {
		return false
	}
	s.room--
	s.offered.Add(1)
	return true
}

func (s *slowFeed) Full(string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room == 0
}
