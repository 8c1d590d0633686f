package throttle

import (
	"math"
	"sync/atomic"
	"time"
)

// Result is what a throttle said.
type Result struct {
	Throttled  bool
	Limit      int64         // tokens that a full bucket holds: max_burst+1
	Remaining  int64         // tokens that may be taken now
	ResetAfter time.Duration // until the bucket is full again
	RetryAfter time.Duration // until as many tokens will be there; 0 when not throttled; Never when they never will
}

// Never is the RetryAfter of a Take of more tokens than the bucket holds.
const Never = time.Duration(math.MaxInt64)

// Limiter is one GCRA bucket. It is safe for concurrent use and never blocks.
type Limiter struct {
	base      time.Time // start of the time scale
	interval  int64     // ns between tokens, rounded up: rather a trifle slower than faster
	tolerance int64     // ns that the bucket may run ahead: interval * (max_burst+1)
	size      int64
	tat       atomic.Int64 // theoretical arrival time of the next token, in ns after base
}

// NewLimiter makes a full bucket. now is the caller's clock at this moment.
func NewLimiter(s Spec, now time.Time) *Limiter {
	interval := (int64(s.Period) + s.Limit - 1) / s.Limit
	size := s.MaxBurst + 1
	if size > math.MaxInt64/4/interval {
		size = math.MaxInt64 / 4 / interval
	}
	return &Limiter{base: now, interval: interval, tolerance: interval * size, size: size}
}

// Take takes n tokens at once, or none. n below 1 only looks.
func (l *Limiter) Take(now time.Time, n int64) Result {
	n = max(n, 0)
	t := l.at(now)
	for {
		old := l.tat.Load()
		// A bucket never runs further ahead than its tolerance. If this one seems to, the clock was set back: then it
		// counts as empty, which neither lets more through nor waits for the time that was lost.
		tat := min(max(old, t), t+l.tolerance)
		if n > l.size {
			return l.refuse(t, tat, Never)
		}
		next := tat + n*l.interval
		if over := next - l.tolerance - t; over > 0 {
			l.settle(old, tat, t)
			return l.refuse(t, tat, time.Duration(over))
		}
		if n == 0 || l.tat.CompareAndSwap(old, next) {
			return l.state(t, next)
		}
	}
}

// at is now on the scale of the bucket, kept within 146 years of its start, where sums cannot overflow.
func (l *Limiter) at(now time.Time) int64 {
	return min(max(int64(now.Sub(l.base)), math.MinInt64/2), math.MaxInt64/2)
}

// settle keeps what a clock that was set back has made of the bucket, so that it refills from there.
func (l *Limiter) settle(old, tat, t int64) {
	if old > t+l.tolerance {
		l.tat.CompareAndSwap(old, tat)
	}
}

func (l *Limiter) state(t, tat int64) Result {
	return Result{
		Limit:      l.size,
		Remaining:  (l.tolerance - (tat - t)) / l.interval,
		ResetAfter: time.Duration(tat - t),
	}
}

func (l *Limiter) refuse(t, tat int64, retry time.Duration) Result {
	r := l.state(t, tat)
	r.Throttled, r.RetryAfter = true, retry
	return r
}

// full tells that the bucket is as good as a new one.
func (l *Limiter) full(now time.Time) bool { return l.tat.Load() <= l.at(now) }

// ahead is how far the bucket is from being full.
func (l *Limiter) ahead(now time.Time) int64 { return l.tat.Load() - l.at(now) }
