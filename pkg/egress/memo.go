package egress

import (
	"sync"
	"time"
)

// memo keeps what policy said, by name, with one question per name at a time. Failures are not kept.
type memo[V any] struct {
	size int

	mu    sync.Mutex
	items map[string]*memoItem[V]
}

type memoItem[V any] struct {
	mu    sync.Mutex
	val   V
	valid validity
}

// validity says how long something holds: until a time, or while the configuration epoch stays.
type validity struct {
	expires time.Time // zero: for ever
	byEpoch bool
	epoch   uint64
	set     bool
}

func (v *validity) ok(now time.Time, epoch func() uint64) bool {
	switch {
	case !v.set:
		return false
	case v.byEpoch && v.epoch != epoch():
		return false
	}
	return v.expires.IsZero() || now.Before(v.expires)
}

// until is a validity that ends at a time.
func until(t time.Time) validity { return validity{expires: t, set: true} }

// always is the validity of what is not policy's to change.
var always = validity{set: true}

func newMemo[V any](size int) *memo[V] { return &memo[V]{size: size, items: map[string]*memoItem[V]{}} }

// get is what is kept for key while it is valid, else what load says.
func (m *memo[V]) get(key string, now time.Time, epoch func() uint64, load func() (V, validity, error)) (V, validity, error) {
	it := m.item(key, now, epoch)
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.valid.ok(now, epoch) {
		return it.val, it.valid, nil
	}
	val, valid, err := load()
	if err != nil {
		return val, valid, err
	}
	it.val, it.valid = val, valid
	return val, valid, nil
}

func (m *memo[V]) item(key string, now time.Time, epoch func() uint64) *memoItem[V] {
	m.mu.Lock()
	defer m.mu.Unlock()
	if it, ok := m.items[key]; ok {
		return it
	}
	if len(m.items) >= m.size {
		m.shrink(now, epoch)
	}
	it := &memoItem[V]{}
	m.items[key] = it
	return it
}

// shrink makes room for an eighth more: what is no longer valid goes first, then chance decides.
func (m *memo[V]) shrink(now time.Time, epoch func() uint64) {
	for key, it := range m.items {
		if it.mu.TryLock() {
			if !it.valid.ok(now, epoch) {
				delete(m.items, key)
			}
			it.mu.Unlock()
		}
	}
	for key := range m.items {
		if len(m.items) <= m.size-max(1, m.size/8) {
			break
		}
		delete(m.items, key)
	}
}
