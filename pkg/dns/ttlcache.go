package dns

import (
	"context"
	"sync"
	"time"
)

// ttlCache keeps answers, failures among them, each for its own time, with one load per key at a time.
type ttlCache[V any] struct {
	size int
	now  func() time.Time

	mu      sync.RWMutex
	items   map[string]ttlItem[V]
	loading map[string]*ttlLoad[V]
}

type ttlItem[V any] struct {
	val     V
	err     error
	expires time.Time
}

type ttlLoad[V any] struct {
	done chan struct{}
	val  V
	err  error
}

func newTTLCache[V any](size int, now func() time.Time) *ttlCache[V] {
	return &ttlCache[V]{size: size, now: now, items: map[string]ttlItem[V]{}, loading: map[string]*ttlLoad[V]{}}
}

// peek is what the cache holds for key.
func (c *ttlCache[V]) peek(key string) (V, error, bool) {
	c.mu.RLock()
	it, ok := c.items[key]
	c.mu.RUnlock()
	if !ok || !c.now().Before(it.expires) {
		var zero V
		return zero, nil, false
	}
	return it.val, it.err, true
}

// get is what the cache holds for key, else what load makes of it. A caller whose ctx ends leaves; the load goes on
// for the others. load says how long its result may be kept.
func (c *ttlCache[V]) get(ctx context.Context, key string, load func(context.Context) (V, time.Duration, error)) (V, error) {
	if v, err, ok := c.peek(key); ok {
		return v, err
	}
	c.mu.Lock()
	l, ok := c.loading[key]
	if !ok {
		l = &ttlLoad[V]{done: make(chan struct{})}
		c.loading[key] = l
		go c.run(context.WithoutCancel(ctx), key, l, load)
	}
	c.mu.Unlock()
	select {
	case <-l.done:
		return l.val, l.err
	case <-ctx.Done():
		var zero V
		return zero, ctx.Err()
	}
}

func (c *ttlCache[V]) run(ctx context.Context, key string, l *ttlLoad[V], load func(context.Context) (V, time.Duration, error)) {
	var ttl time.Duration
	l.val, ttl, l.err = load(ctx)
	c.mu.Lock()
	delete(c.loading, key)
	if ttl > 0 {
		for old := range c.items {
			if len(c.items) < c.size {
				break
			}
			delete(c.items, old)
		}
		c.items[key] = ttlItem[V]{l.val, l.err, c.now().Add(ttl)}
	}
	c.mu.Unlock()
	close(l.done)
}
