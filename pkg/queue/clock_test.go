package queue

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"kumo/pkg/egress"
	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/smtp"
)

// steppingClock is a clock whose wall time can be stepped while its monotonic time goes on, as NTP and people do it.
type steppingClock struct {
	mu     sync.Mutex
	start  time.Time
	ran    time.Duration
	step   time.Duration
	timers []steppingTimer
}

type steppingTimer struct {
	at time.Duration
	c  chan time.Time
}

// Now has a monotonic reading that Step does not touch.
func (c *steppingClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return shiftWall(c.start.Add(c.ran), c.step)
}

// shiftWall moves the wall part of t by whole seconds and leaves its monotonic reading alone. Package time has no way
// to do that; its layout (wall uint64 with the seconds from bit 30 on, ext int64) has been the same since Go 1.9, and
// TestShiftWall fails if it changes.
func shiftWall(t time.Time, d time.Duration) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(int64(d/time.Second)) << 30
	return t
}

func TestShiftWall(t *testing.T) {
	now := time.Now()
	for _, d := range []time.Duration{0, time.Hour, -365 * 24 * time.Hour, 365 * 24 * time.Hour} {
		moved := shiftWall(now, d)
		if got := moved.Round(0).Sub(now.Round(0)); got != d {
			t.Errorf("the wall time moved by %s, want %s", got, d)
		}
		if got := moved.Sub(now); got != 0 {
			t.Errorf("the monotonic time moved by %s", got)
		}
	}
}

func (c *steppingClock) NewTimer(d time.Duration) (<-chan time.Time, func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := steppingTimer{c.ran + d, make(chan time.Time, 1)}
	c.timers = append(c.timers, t)
	c.fire()
	return t.c, func() bool { return true }
}

// Advance lets time pass.
func (c *steppingClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ran += d
	c.fire()
}

// Step sets the wall clock.
func (c *steppingClock) Step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.step += d
}

func (c *steppingClock) fire() {
	left := c.timers[:0]
	for _, t := range c.timers {
		if t.at <= c.ran {
			t.c <- time.Time{}
		} else {
			left = append(left, t)
		}
	}
	c.timers = left
}

// shelf is a store of many messages and a feed that counts.
type shelf struct {
	clock    *steppingClock
	queues   *Queues
	offered  atomic.Int64
	expired  atomic.Int64
	rate     string
	mu       sync.Mutex
	created  map[message.ID]time.Time
	due      map[message.ID]time.Time
	attempts map[message.ID]int
	taken    []*message.Message
}

func newShelf(rate string) *shelf {
	s := &shelf{
		clock: &steppingClock{start: time.Now()}, rate: rate,
		created: map[message.ID]time.Time{}, due: map[message.ID]time.Time{}, attempts: map[message.ID]int{},
	}
	s.begin()
	return s
}

func (s *shelf) begin() {
	s.queues = New(Options{Store: s, Configs: s, Planner: s, Feed: s, Recorder: s, Clock: s.clock})
}

func (s *shelf) QueueConfig(context.Context, message.QueueName) (option.Resolved[Config], error) {
	l := option.Layer{}
	if s.rate != "" {
		l["max_message_rate"] = option.Setting{Value: s.rate}
	}
	return schema.Resolve("make_queue_config", l)
}

func (s *shelf) Plan(context.Context, egress.Request) (*egress.Plan, error) {
	return &egress.Plan{Key: "k"}, nil
}

func (s *shelf) Offer(_ *egress.Plan, m *message.Message) bool {
	s.offered.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = append(s.taken, m)
	return true
}

func (s *shelf) Full(string) bool { return false }

func (s *shelf) Record(r *journal.Record) {
	if r.Type == journal.Expiration {
		s.expired.Add(1)
	}
}

func (s *shelf) Update(m *message.Message) error { return s.Reschedule(m.ID, m.Due, m.Attempts, "") }
func (s *shelf) Give(message.ID)                 {}
func (s *shelf) Shelve(message.ID) error         { return nil }

func (s *shelf) Lookup(id message.ID) (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.created[id]
	return Entry{ID: id, Queue: "q", Created: s.created[id], Due: s.due[id], Attempts: s.attempts[id]}, ok
}

func (s *shelf) Reschedule(id message.ID, due time.Time, attempts int, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.due[id], s.attempts[id] = due.Round(0), attempts
	return nil
}

func (s *shelf) End(id message.ID, _ journal.Type) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.created, id)
	return nil
}

func (s *shelf) Take(id message.ID, _ Stamp) (*message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &message.Message{ID: id, Created: s.created[id], Recipients: []mail.Address{mail.Restore("a@x")}}, nil
}

// fill inserts n messages, each of which fails once for now.
func (s *shelf) fill(t *testing.T, n int) {
	s.queues.queue("q", 0).warm.Store(true)
	for i := range n {
		m := &message.Message{Queue: "q", Created: s.clock.Now(), Recipients: []mail.Address{mail.Restore("a@x")}}
		binary.BigEndian.PutUint64(m.ID[:], uint64(i))
		s.mu.Lock()
		s.created[m.ID] = m.Created.Round(0)
		s.mu.Unlock()
		s.queues.Insert(t.Context(), m, message.Received)
	}
	s.settle(t)
}

// settle fails everything that was offered for now.
func (s *shelf) settle(t *testing.T) {
	s.mu.Lock()
	taken := s.taken
	s.taken = nil
	s.mu.Unlock()
	for _, m := range taken {
		s.queues.Settle(t.Context(), m, []message.Attempt{{Outcome: message.Transient, Response: smtp.NewReply(451, "4.3.0", "later")}})
	}
}

// due works off everything that is due now, in this goroutine.
func (s *shelf) work(ctx context.Context) {
	for {
		q, _ := s.queues.agenda.take(s.queues.since(s.clock.Now()))
		if q == nil {
			return
		}
		s.queues.work(ctx, q)
	}
}

// restart begins anew with what is stored.
func (s *shelf) restart(ctx context.Context) {
	s.begin()
	for id, created := range s.created {
		s.queues.Restore(Entry{ID: id, Queue: "q", Created: created, Due: s.due[id], Attempts: s.attempts[id]})
	}
	s.queues.checkRestored(ctx)
}

const year = 365 * 24 * time.Hour

// TestClockSteps: F56. While 10,000 messages are scheduled the wall clock is set back or forward by a year: retries
// follow the monotonic clock, and nothing expires.
func TestClockSteps(t *testing.T) {
	for _, step := range []time.Duration{-year, year, -time.Hour, time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			const n = 10_000
			s := newShelf("")
			s.fill(t, n)
			s.clock.Step(step)
			s.clock.Advance(19 * time.Minute)
			s.work(t.Context())
			if got := s.offered.Load() - n; got != 0 {
				t.Errorf("%d messages were tried before their time", got)
			}
			s.clock.Advance(2 * time.Minute)
			s.work(t.Context())
			if got := s.offered.Load() - n; got != n {
				t.Errorf("%d of %d messages were tried in time", got, n)
			}
			s.settle(t)
			s.clock.Step(-step)
			s.clock.Advance(41 * time.Minute)
			s.work(t.Context())
			if got := s.offered.Load() - 2*n; got != n {
				t.Errorf("%d of %d messages were tried in time after the step back", got, n)
			}
			s.settle(t)
			if e := s.expired.Load(); e != 0 {
				t.Errorf("%d messages expired", e)
			}
		})
	}
}

// TestClockStepsAndRestart: F55 and S9. The clock is a year off, the process restarts, the clock is set right: nothing is
// ignored, nothing waits for more than its interval, and a backward jump expires nothing.
func TestClockStepsAndRestart(t *testing.T) {
	for _, step := range []time.Duration{-year, year} {
		t.Run(step.String(), func(t *testing.T) {
			const n = 1000
			s := newShelf("")
			s.clock.Step(step)
			s.fill(t, n)
			s.clock.Step(-step)
			s.restart(t.Context())
			s.clock.Advance(21 * time.Minute)
			s.work(t.Context())
			if got := s.offered.Load() - n; got != n {
				t.Fatalf("%d of %d messages were tried within one interval", got, n)
			}
			s.settle(t)
			if e := s.expired.Load(); step > 0 && e != 0 {
				t.Errorf("%d messages expired by a jump back", e)
			} else if step < 0 && e != n {
				t.Errorf("%d of %d messages expired that claim to be a year old", e, n)
			}
		})
	}
}

// TestClockStepsAndRate: F57. Steps of an hour in the middle of a throttle's window let no more through than one
// window's worth.
func TestClockStepsAndRate(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		s := newShelf("60/m,max_burst=0")
		s.fill(t, 100)
		before := s.offered.Load()
		s.clock.Step(step)
		for range 30 {
			s.clock.Advance(time.Second)
			s.work(t.Context())
		}
		if got := s.offered.Load() - before; got < 29 || got > 31 {
			t.Errorf("%d messages passed in 30 s at 1/s", got)
		}
	}
}
