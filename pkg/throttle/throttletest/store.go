// Package throttletest says, as tests, what every throttle.Store has to keep.
package throttletest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kumo/pkg/throttle"
)

// Clock is the time of a store under test. A store with a clock of its own is given one whose Sleep really waits.
type Clock interface {
	Sleep(d time.Duration)
}

// Virtual is a clock that moves only when it is told to.
type Virtual struct {
	mu  sync.Mutex
	now time.Time
}

// NewVirtual starts at a fixed moment.
func NewVirtual() *Virtual { return &Virtual{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

// Now is the present moment.
func (c *Virtual) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Sleep moves the clock; a negative d sets it back.
func (c *Virtual) Sleep(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Store runs the conformance tests. open gives a fresh store and its clock.
func Store(t *testing.T, open func(t *testing.T) (throttle.Store, Clock)) {
	tests := map[string]func(*testing.T, throttle.Store, Clock){
		"burst then spacing":       burstThenSpacing,
		"refused takes nothing":    refusedTakesNothing,
		"several tokens":           severalTokens,
		"keys are apart":           keysAreApart,
		"look without taking":      lookWithoutTaking,
		"one bucket for many":      oneBucketForMany,
		"seats end at the limit":   seatsEndAtTheLimit,
		"released twice":           releasedTwice,
		"a forgotten seat is free": forgottenSeatIsFree,
		"an extended seat is held": extendedSeatIsHeld,
		"seats for many":           seatsForMany,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, c := open(t)
			test(t, s, c)
		})
	}
}

// spec is 10 tokens a second, 3 at once.
func spec() throttle.Spec { return throttle.Spec{Limit: 10, Period: time.Second, MaxBurst: 2} }

func take(t *testing.T, s throttle.Store, key string, n int64) throttle.Result {
	t.Helper()
	r, err := s.Throttle(context.Background(), key, spec(), n)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func burstThenSpacing(t *testing.T, s throttle.Store, c Clock) {
	for i := range 3 {
		if r := take(t, s, "k", 1); r.Throttled || r.Limit != 3 || r.Remaining != int64(2-i) || r.RetryAfter > 0 {
			t.Fatalf("take %d: %+v", i, r)
		}
	}
	r := take(t, s, "k", 1)
	if !r.Throttled || r.RetryAfter <= 0 || r.RetryAfter > 100*time.Millisecond || r.ResetAfter > 300*time.Millisecond {
		t.Fatalf("over the burst: %+v", r)
	}
	c.Sleep(r.RetryAfter)
	if r := take(t, s, "k", 1); r.Throttled {
		t.Fatalf("after RetryAfter: %+v", r)
	}
	if r := take(t, s, "k", 1); !r.Throttled {
		t.Fatalf("two tokens for one interval: %+v", r)
	}
}

func refusedTakesNothing(t *testing.T, s throttle.Store, c Clock) {
	take(t, s, "k", 3)
	for range 50 {
		if r := take(t, s, "k", 1); !r.Throttled {
			t.Fatalf("over the burst: %+v", r)
		}
	}
	c.Sleep(100 * time.Millisecond)
	if r := take(t, s, "k", 1); r.Throttled {
		t.Fatalf("refusals were counted: %+v", r)
	}
}

func severalTokens(t *testing.T, s throttle.Store, _ Clock) {
	if r := take(t, s, "k", 2); r.Throttled || r.Remaining != 1 {
		t.Fatalf("two of three: %+v", r)
	}
	if r := take(t, s, "k", 2); !r.Throttled || r.Remaining != 1 {
		t.Fatalf("two of one: %+v", r)
	}
	if r := take(t, s, "k", 1); r.Throttled {
		t.Fatalf("one of one: %+v", r)
	}
	if r := take(t, s, "k", 4); !r.Throttled || r.RetryAfter != throttle.Never {
		t.Fatalf("more than the bucket holds: %+v", r)
	}
}

func keysAreApart(t *testing.T, s throttle.Store, _ Clock) {
	take(t, s, "a", 3)
	if r := take(t, s, "b", 3); r.Throttled {
		t.Fatalf("b pays for a: %+v", r)
	}
}

func lookWithoutTaking(t *testing.T, s throttle.Store, _ Clock) {
	for range 10 {
		if r := take(t, s, "k", 0); r.Throttled || r.Remaining != 3 {
			t.Fatalf("looking takes tokens: %+v", r)
		}
	}
}

func oneBucketForMany(t *testing.T, s throttle.Store, _ Clock) {
	slow := throttle.Spec{Limit: 1, Period: time.Hour, MaxBurst: 49}
	var wg sync.WaitGroup
	var got atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if r, err := s.Throttle(context.Background(), "k", slow, 1); err == nil && !r.Throttled {
					got.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got.Load() != 50 {
		t.Errorf("gave %d of 50 tokens", got.Load())
	}
}

func lease(t *testing.T, s throttle.Store, ttl time.Duration) throttle.Lease {
	t.Helper()
	l, err := s.Lease(context.Background(), "k", 2, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func busy(t *testing.T, s throttle.Store) {
	t.Helper()
	if _, err := s.Lease(context.Background(), "k", 2, time.Minute); !errors.Is(err, throttle.ErrBusy) {
		t.Fatalf("a third seat of two: %v", err)
	}
}

func seatsEndAtTheLimit(t *testing.T, s throttle.Store, _ Clock) {
	a, _ := lease(t, s, time.Minute), lease(t, s, time.Minute)
	busy(t, s)
	if _, err := s.Lease(context.Background(), "other", 0, time.Minute); !errors.Is(err, throttle.ErrBusy) {
		t.Fatalf("a seat of none: %v", err)
	}
	if err := a.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	lease(t, s, time.Minute)
	busy(t, s)
}

func releasedTwice(t *testing.T, s throttle.Store, _ Clock) {
	a, _ := lease(t, s, time.Minute), lease(t, s, time.Minute)
	for range 2 {
		if err := a.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	lease(t, s, time.Minute)
	if err := a.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	busy(t, s)
	if err := a.Extend(context.Background(), time.Minute); !errors.Is(err, throttle.ErrLost) {
		t.Fatalf("a seat that was given back is extended: %v", err)
	}
}

func forgottenSeatIsFree(t *testing.T, s throttle.Store, c Clock) {
	gone := lease(t, s, time.Second)
	lease(t, s, time.Minute)
	c.Sleep(1100 * time.Millisecond)
	lease(t, s, time.Minute)
	busy(t, s)
	if err := gone.Extend(context.Background(), time.Minute); !errors.Is(err, throttle.ErrLost) {
		t.Fatalf("a seat that somebody else has is extended: %v", err)
	}
	if err := gone.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	busy(t, s)
}

func extendedSeatIsHeld(t *testing.T, s throttle.Store, c Clock) {
	a, _ := lease(t, s, time.Second), lease(t, s, time.Minute)
	for range 3 {
		c.Sleep(600 * time.Millisecond)
		if err := a.Extend(context.Background(), time.Second); err != nil {
			t.Fatal(err)
		}
	}
	busy(t, s)
}

func seatsForMany(t *testing.T, s throttle.Store, _ Clock) {
	var wg sync.WaitGroup
	var inside, worst atomic.Int64
	for i := range 8 {
		wg.Go(func() {
			for range 100 {
				l, err := s.Lease(context.Background(), fmt.Sprint("k", i%2), 3, time.Minute)
				if err != nil {
					continue
				}
				if n := inside.Add(1); n > worst.Load() {
					worst.Store(n)
				}
				inside.Add(-1)
				_ = l.Release(context.Background())
			}
		})
	}
	wg.Wait()
	if worst.Load() > 6 {
		t.Errorf("%d seats of 6", worst.Load())
	}
	for i := range 2 {
		for range 3 {
			if _, err := s.Lease(context.Background(), fmt.Sprint("k", i), 3, time.Minute); err != nil {
				t.Errorf("a seat was lost: %v", err)
			}
		}
	}
}
