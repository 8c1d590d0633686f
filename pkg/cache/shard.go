package cache

import (
	"sync"
	"time"
)

// entry is a node of a ring: after the root comes the newest, before it the oldest.
type entry[K comparable, V any] struct {
	key        K
	val        V
	err        error
	expires    time.Time // zero = never
	prev, next *entry[K, V]
}

// counts are kept under the shard's lock, so that counting costs nothing.
type counts struct {
	hit, miss, insert, evict, expire, populated, errors uint64
}

// shard is a part of a cache. Its methods are called with mu held.
type shard[K comparable, V any] struct {
	mu        sync.Mutex
	entries   map[K]*entry[K, V]
	flights   map[K]*flight[V]
	root      entry[K, V]
	cap       int
	oldestOut bool
	count     counts
	_         [32]byte // shards lie side by side: keep their locks on lines of their own
}

func (s *shard[K, V]) init(oldestOut bool) {
	s.oldestOut = oldestOut
	s.clear()
}

func (s *shard[K, V]) clear() {
	s.entries, s.flights = map[K]*entry[K, V]{}, map[K]*flight[V]{}
	s.root.prev, s.root.next = &s.root, &s.root
}

// find returns the live entry of k and counts.
func (s *shard[K, V]) find(k K, now time.Time) *entry[K, V] {
	e := s.entries[k]
	if e == nil {
		s.count.miss++
		return nil
	}
	if !e.expires.IsZero() && !now.Before(e.expires) {
		s.drop(e)
		s.count.expire++
		s.count.miss++
		return nil
	}
	s.count.hit++
	if !s.oldestOut && s.root.next != e {
		e.unlink()
		s.push(e)
	}
	return e
}

func (s *shard[K, V]) put(k K, v V, err error, expires time.Time) {
	s.count.insert++
	if e := s.entries[k]; e != nil {
		e.val, e.err, e.expires = v, err, expires
		e.unlink()
		s.push(e)
		return
	}
	if s.cap == 0 {
		return
	}
	e := &entry[K, V]{key: k, val: v, err: err, expires: expires}
	s.entries[k] = e
	s.push(e)
	s.trim()
}

// trim drops the oldest entries until there is room.
func (s *shard[K, V]) trim() {
	for len(s.entries) > s.cap {
		s.drop(s.root.prev)
		s.count.evict++
	}
}

func (s *shard[K, V]) drop(e *entry[K, V]) {
	e.unlink()
	delete(s.entries, e.key)
}

func (e *entry[K, V]) unlink() { e.prev.next, e.next.prev = e.next, e.prev }

func (s *shard[K, V]) push(e *entry[K, V]) {
	e.prev, e.next = &s.root, s.root.next
	e.prev.next, e.next.prev = e, e
}
