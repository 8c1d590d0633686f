package throttle_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"kumo/pkg/throttle"
	"kumo/pkg/throttle/throttletest"
)

func TestLocalConforms(t *testing.T) {
	throttletest.Store(t, func(*testing.T) (throttle.Store, throttletest.Clock) {
		c := throttletest.NewVirtual()
		return throttle.NewLocal(c.Now), c
	})
}

func spec(t testing.TB, text string) throttle.Spec {
	t.Helper()
	s, err := throttle.ParseSpec(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// drain takes single tokens until it is refused.
func drain(l *throttle.Limiter, now time.Time) (n int64) {
	for !l.Take(now, 1).Throttled {
		n++
	}
	return n
}

func TestRateIsKept(t *testing.T) {
	for _, text := range []string{"1/s", "3/s", "7/m", "1000/s,max_burst=0", "999983/d", "1000000/s", "1/d,max_burst=5"} {
		s := spec(t, text)
		c := throttletest.NewVirtual()
		l := throttle.NewLimiter(s, c.Now())
		rnd := rand.New(rand.NewPCG(1, 2))
		start := c.Now()
		got := int64(0)
		for range 20_000 {
			c.Sleep(time.Duration(rnd.Int64N(int64(s.Period)/s.Limit*2 + 2)))
			if !l.Take(c.Now(), 1).Throttled {
				got++
			}
			most := s.MaxBurst + 1 + int64(float64(c.Now().Sub(start))/float64(s.Period)*float64(s.Limit))
			if got > most {
				t.Fatalf("%s: %d tokens in %s, at most %d allowed", text, got, c.Now().Sub(start), most)
			}
		}
		if least := int64(0.5 * float64(c.Now().Sub(start)) / float64(s.Period) * float64(s.Limit)); got < least {
			t.Errorf("%s: only %d tokens where %d were to be had", text, got, least)
		}
	}
}

// F57: the clock steps an hour during a throttle window.
func TestClockSteps(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, 365 * 24 * time.Hour, -365 * 24 * time.Hour, 876_000 * time.Hour, -876_000 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			c := throttletest.NewVirtual()
			l := throttle.NewLimiter(spec(t, "60/m,max_burst=59"), c.Now())
			got := drain(l, c.Now())
			c.Sleep(step)
			got += drain(l, c.Now())
			for range 60 {
				c.Sleep(time.Second)
				got += drain(l, c.Now())
			}
			// One burst, one for the step at most, and a minute's tokens.
			if got > 180 {
				t.Errorf("%d tokens in a minute with one step: more than one window above", got)
			}
			if got < 120 {
				t.Errorf("only %d tokens: the step closed the bucket", got)
			}
		})
	}
}

func TestStepBackAndForth(t *testing.T) {
	c := throttletest.NewVirtual()
	l := throttle.NewLimiter(spec(t, "10/s,max_burst=9"), c.Now())
	drain(l, c.Now())
	for range 20 {
		c.Sleep(-time.Hour)
		if n := drain(l, c.Now()); n != 0 {
			t.Fatalf("setting the clock back gave %d tokens", n)
		}
	}
	c.Sleep(time.Second)
	if n := drain(l, c.Now()); n != 10 {
		t.Errorf("%d tokens a second after, want 10", n)
	}
}

func TestLimiterResult(t *testing.T) {
	c := throttletest.NewVirtual()
	l := throttle.NewLimiter(spec(t, "1/s,max_burst=4"), c.Now())
	if r := l.Take(c.Now(), 5); r != (throttle.Result{Limit: 5, ResetAfter: 5 * time.Second}) {
		t.Errorf("%+v", r)
	}
	c.Sleep(1500 * time.Millisecond)
	want := throttle.Result{Throttled: true, Limit: 5, Remaining: 1, ResetAfter: 3500 * time.Millisecond, RetryAfter: 500 * time.Millisecond}
	if r := l.Take(c.Now(), 2); r != want {
		t.Errorf("%+v", r)
	}
}

func TestStoresChooseAndBind(t *testing.T) {
	c := throttletest.NewVirtual()
	local, shared := throttle.NewLocal(c.Now), throttle.NewLocal(c.Now)
	s := throttle.Stores{Local: local, Shared: shared}
	ctx := context.Background()
	for _, text := range []string{"1/s,max_burst=0", "local:1/s,max_burst=0"} {
		th := s.Throttle("x", spec(t, text))
		if r, err := th.Take(ctx, 1); r.Throttled || err != nil {
			t.Errorf("%s: %+v %v", text, r, err)
		}
		if r, _ := s.Throttle("x", spec(t, text)).Take(ctx, 1); !r.Throttled {
			t.Errorf("%s: the same name has two buckets", text)
		}
	}
	if r, _ := s.Throttle("x", spec(t, "2/s,max_burst=0")).Take(ctx, 1); r.Throttled {
		t.Error("a changed spec keeps the old bucket")
	}
	a, _ := local.Keys()
	b, _ := shared.Keys()
	if a != 1 || b != 2 {
		t.Errorf("%d local and %d shared buckets", a, b)
	}
	var none *throttle.Throttle
	if r, err := none.Take(ctx, 1); r.Throttled || err != nil {
		t.Error("no throttle throttles")
	}
	if (throttle.Stores{Local: local}).For(false) != throttle.Store(local) {
		t.Error("without a shared store everything is local")
	}
}

func TestLeaseAllTakesAllOrNone(t *testing.T) {
	c := throttletest.NewVirtual()
	local := throttle.NewLocal(c.Now)
	s := throttle.Stores{Local: local}
	ctx := context.Background()
	seats := []throttle.Seat{{"big", throttle.ConnLimit{Limit: 10}}, {"small", throttle.ConnLimit{Limit: 1}}, {"mid", throttle.ConnLimit{Limit: 2, Local: true}}}
	held, err := s.LeaseAll(ctx, time.Minute, seats...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.LeaseAll(ctx, time.Minute, seats...)
	var busy *throttle.BusyError
	if !errors.As(err, &busy) || !errors.Is(err, throttle.ErrBusy) || busy.Seat.Name != "small" {
		t.Fatalf("second: %v", err)
	}
	if err.Error() != "small: the limit of 1 is reached" {
		t.Error(err)
	}
	if _, err := s.LeaseAll(ctx, time.Minute, seats[0], throttle.Seat{Name: "zero"}); !errors.Is(err, throttle.ErrBusy) {
		t.Error(err)
	}
	for name, want := range map[string]int{"big": 1, "mid": 1, "small": 1, "zero": 0} {
		if n := local.InUse(name); n != want {
			t.Errorf("%s: %d seats in use, want %d", name, n, want)
		}
	}
	if err := held.Extend(ctx, time.Hour); err != nil {
		t.Error(err)
	}
	if err := held.Release(ctx); err != nil {
		t.Error(err)
	}
	if _, limits := local.Keys(); limits != 0 {
		t.Errorf("%d limits are left", limits)
	}
}

func TestFullBucketsAreForgotten(t *testing.T) {
	c := throttletest.NewVirtual()
	l := throttle.NewLocal(c.Now)
	s := spec(t, "1/s")
	for i := range 100_000 {
		_, _ = l.Throttle(context.Background(), fmt.Sprint("k", i), s, 1)
		c.Sleep(time.Millisecond)
	}
	// A bucket is full again after a second, so about 1,000 matter at any time.
	if n, _ := l.Keys(); n > 8_000 {
		t.Errorf("%d buckets are kept where 1,000 matter", n)
	}
}

func TestBucketsAreBounded(t *testing.T) {
	c := throttletest.NewVirtual()
	l := throttle.NewLocal(c.Now)
	l.Bound(4096)
	s := spec(t, "1/d")
	ctx := context.Background()
	for i := range 20_000 {
		c.Sleep(time.Second)
		_, _ = l.Throttle(ctx, fmt.Sprint(i), s, 1)
	}
	if n, _ := l.Keys(); n > 4096 || n < 3000 {
		t.Errorf("%d buckets, at most 4096 allowed and most of them wanted", n)
	}
}

func BenchmarkLimiterTake(b *testing.B) {
	b.ReportAllocs()
	now := time.Now()
	l := throttle.NewLimiter(spec(b, "1000000/s"), now)
	for b.Loop() {
		now = now.Add(time.Microsecond)
		l.Take(now, 1)
	}
}

func BenchmarkThrottleTake(b *testing.B) {
	b.ReportAllocs()
	t := throttle.Stores{Local: throttle.NewLocal(nil)}.Throttle("kumomta.max_message_rate.x", spec(b, "1000000/s"))
	ctx := context.Background()
	for b.Loop() {
		_, _ = t.Take(ctx, 1)
	}
}

func BenchmarkLease(b *testing.B) {
	b.ReportAllocs()
	s := throttle.Stores{Local: throttle.NewLocal(nil)}
	ctx := context.Background()
	seat := throttle.Seat{Name: "kumomta.connection_limit.x", Limit: throttle.ConnLimit{Limit: 10}}
	for b.Loop() {
		l, _ := s.LeaseAll(ctx, time.Minute, seat)
		_ = l.Release(ctx)
	}
}
