package throttle

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// MaxKeys is how many buckets a Local holds that are not full.
const MaxKeys = 1 << 20

const shardCount = 16

// Local is the store of one process.
type Local struct {
	now    func() time.Time
	seed   maphash.Seed
	shards [shardCount]shard
	seats  seats
}

// shard holds a part of the buckets.
type shard struct {
	mu      sync.Mutex
	buckets map[string]*Limiter
	sweepAt int // how many buckets make a sweep worth while
	most    int // how many buckets there may be
}

var _ Store = (*Local)(nil)

// NewLocal makes an empty store. now is the clock; nil is time.Now.
func NewLocal(now func() time.Time) *Local {
	if now == nil {
		now = time.Now
	}
	l := &Local{now: now, seed: maphash.MakeSeed()}
	for i := range l.shards {
		s := &l.shards[i]
		s.buckets, s.sweepAt, s.most = map[string]*Limiter{}, 64, MaxKeys/shardCount
	}
	l.seats.held = map[string]*row{}
	return l
}

// Throttle takes n tokens from a bucket of this process. It never fails; the zero Spec lets
// everything through.
func (l *Local) Throttle(_ context.Context, key string, spec Spec, n int64) (Result, error) {
	if spec.IsZero() {
		return Result{}, nil
	}
	now := l.now()
	s := &l.shards[maphash.String(l.seed, key)%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[key]
	if b == nil {
		s.makeRoom(now)
		b = NewLimiter(spec, now)
		s.buckets[key] = b
	}
	return b.Take(now, n), nil
}

// makeRoom forgets full buckets, each of which is as good as none, and beyond the bound those that are nearest to it.
func (s *shard) makeRoom(now time.Time) {
	if len(s.buckets) < s.sweepAt {
		return
	}
	for k, b := range s.buckets {
		if b.full(now) {
			delete(s.buckets, k)
		}
	}
	// Room for more than one, so that the next sweep is not due at the next key.
	for len(s.buckets) > s.most/8*7 {
		s.forgetOne(now)
	}
	s.sweepAt = min(max(64, 2*len(s.buckets)), s.most)
}

// forgetOne drops the fullest of a few buckets; map order chooses which few.
func (s *shard) forgetOne(now time.Time) {
	victim, best, seen := "", int64(0), 0
	for k, b := range s.buckets {
		if a := b.ahead(now); seen == 0 || a < best {
			victim, best = k, a
		}
		if seen++; seen == 16 {
			break
		}
	}
	delete(s.buckets, victim)
}

// Keys is how many buckets and limits are in use.
func (l *Local) Keys() (buckets, limits int) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		buckets += len(s.buckets)
		s.mu.Unlock()
	}
	l.seats.mu.Lock()
	defer l.seats.mu.Unlock()
	return buckets, len(l.seats.held)
}
