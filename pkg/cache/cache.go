package cache

import (
	"context"
	"errors"
	"hash/maphash"
	"sync/atomic"
	"time"
)

// Options say how a cache behaves.
type Options struct {
	Capacity  int           // entries; 0 = DefaultCapacity of the name, or 1024 when the name has none
	TTL       time.Duration // for entries put with a TTL of 0; 0 = they stay until there is no room
	OldestOut bool          // drop what was put longest ago, not what was used longest ago
}

// shardsFrom is the capacity from which a cache is split.
const (
	shardsFrom = 4096
	manyShards = 16
)

// ErrPanicked is what those who waited for a load get when it panicked.
var ErrPanicked = errors.New("the load that was waited for panicked")

// Cache maps keys to values for a time. It is safe for concurrent use. Values are shared: do not change them.
type Cache[K comparable, V any] struct {
	name    string
	now     func() time.Time
	ttl     time.Duration
	seed    maphash.Seed
	shards  []shard[K, V]
	cap     atomic.Int64
	waiting atomic.Int64
}

// New makes a cache in s. The nil *Set makes one that is not measured, on the real clock.
func New[K comparable, V any](s *Set, name string, o Options) *Cache[K, V] {
	if o.Capacity == 0 {
		o.Capacity = 1024
		if n, ok := DefaultCapacity(name); ok {
			o.Capacity = n
		}
	}
	c := &Cache[K, V]{name: name, now: time.Now, ttl: o.TTL, seed: maphash.MakeSeed()}
	n := 1
	if o.Capacity >= shardsFrom {
		n = manyShards
	}
	c.shards = make([]shard[K, V], n)
	for i := range c.shards {
		c.shards[i].init(o.OldestOut)
	}
	c.Resize(o.Capacity)
	if s != nil {
		c.now = s.now
		s.add(c)
	}
	return c
}

func (c *Cache[K, V]) shard(k K) *shard[K, V] {
	if len(c.shards) == 1 {
		return &c.shards[0]
	}
	return &c.shards[maphash.Comparable(c.seed, k)%manyShards]
}

// Get returns the value of k. An entry that holds an error (see GetOrLoad) is not found.
func (c *Cache[K, V]) Get(k K) (V, bool) {
	s := c.shard(k)
	now := c.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.find(k, now); e != nil && e.err == nil {
		return e.val, true
	}
	var zero V
	return zero, false
}

// Put sets the value of k for ttl: 0 means the cache's TTL, below 0 that nothing is kept.
func (c *Cache[K, V]) Put(k K, v V, ttl time.Duration) {
	expires, keep := c.expiry(ttl)
	if !keep {
		return
	}
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flights, k)
	s.put(k, v, nil, expires)
}

// expiry is when an entry's time runs out; the zero time is never.
func (c *Cache[K, V]) expiry(ttl time.Duration) (time.Time, bool) {
	if ttl == 0 {
		ttl = c.ttl
	}
	if ttl == 0 {
		return time.Time{}, true
	}
	return c.now().Add(ttl), ttl > 0
}

// Load makes the value of a key and says how long it is good for: 0 means the cache's TTL, below 0 that it is not
// kept. An error with a ttl above zero is kept and returned for that time.
type Load[V any] func(ctx context.Context) (v V, ttl time.Duration, err error)

// flight is a load that is under way.
type flight[V any] struct {
	done chan struct{}
	val  V
	err  error
	void bool // the loader's own context ended: somebody else has to load
}

// GetOrLoad returns the value of k, loading it when there is none. ctx is the loader's and bounds the wait of others
// only by their own. The error is load's, or ctx's. load must not ask for k itself.
func (c *Cache[K, V]) GetOrLoad(ctx context.Context, k K, load Load[V]) (V, error) {
	s := c.shard(k)
	now := c.now()
	for {
		s.mu.Lock()
		if e := s.find(k, now); e != nil {
			s.mu.Unlock()
			return e.val, e.err
		}
		f := s.flights[k]
		if f == nil {
			return c.load(ctx, s, k, load)
		}
		s.mu.Unlock()
		c.waiting.Add(1)
		var zero V
		select {
		case <-f.done:
			c.waiting.Add(-1)
		case <-ctx.Done():
			c.waiting.Add(-1)
			return zero, context.Cause(ctx)
		}
		if !f.void {
			return f.val, f.err
		}
		if ctx.Err() != nil {
			return zero, context.Cause(ctx)
		}
		now = c.now()
	}
}

// load runs load for all who ask for k. It is entered with s locked.
func (c *Cache[K, V]) load(ctx context.Context, s *shard[K, V], k K, load Load[V]) (V, error) {
	f := &flight[V]{done: make(chan struct{}), err: ErrPanicked}
	s.flights[k] = f
	s.mu.Unlock()
	ttl := time.Duration(-1)
	defer func() { c.land(s, k, f, ttl) }()
	v, life, err := load(ctx)
	f.val, f.err = v, err
	f.void = err != nil && ctx.Err() != nil
	if err == nil || (life > 0 && !f.void) {
		ttl = life
	}
	return v, err
}

// land keeps what a load made and wakes those who wait.
func (c *Cache[K, V]) land(s *shard[K, V], k K, f *flight[V], ttl time.Duration) {
	expires, keep := c.expiry(ttl)
	s.mu.Lock()
	current := s.flights[k] == f
	if current {
		delete(s.flights, k)
	}
	s.count.populated++
	if f.err != nil {
		s.count.errors++
	}
	if keep && current {
		s.put(k, f.val, f.err, expires)
	}
	s.mu.Unlock()
	close(f.done)
}

// Delete drops k. A load of it that is under way leaves nothing behind.
func (c *Cache[K, V]) Delete(k K) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[k]; e != nil {
		s.drop(e)
	}
	delete(s.flights, k)
}

// Purge drops everything. Loads that are under way leave nothing behind.
func (c *Cache[K, V]) Purge() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.clear()
		s.mu.Unlock()
	}
}

// Resize changes the capacity and drops what no longer has room. A capacity of 0 keeps nothing.
func (c *Cache[K, V]) Resize(capacity int) {
	capacity = max(capacity, 0)
	c.cap.Store(int64(capacity))
	each := (capacity + len(c.shards) - 1) / len(c.shards)
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.cap = each
		s.trim()
		s.mu.Unlock()
	}
}

// Len is the number of entries, those whose time ran out and that nobody asked for since included.
func (c *Cache[K, V]) Len() int { return c.Stats().Len }

// Stats is what the cache did so far.
func (c *Cache[K, V]) Stats() Stats {
	st := Stats{Name: c.name, Capacity: int(c.cap.Load()), Waiting: int(c.waiting.Load())}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		st.Len += len(s.entries)
		st.add(&s.count)
		s.mu.Unlock()
	}
	return st
}
