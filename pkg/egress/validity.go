package egress

import (
	"context"
	"time"

	"kumo/pkg/cache"
)

// validity says how long something holds: until a time, and while the configuration epoch stays where that counts.
type validity struct {
	expires time.Time // zero: for ever
	byEpoch bool
	epoch   uint64
}

func (v *validity) ok(now time.Time, epoch func() uint64) bool {
	if v.byEpoch && v.epoch != epoch() {
		return false
	}
	return v.expires.IsZero() || now.Before(v.expires)
}

// until is a validity that ends at a time.
func until(t time.Time) validity { return validity{expires: t} }

// soonest is the validity of what rests on all of vs, of which one at most is by epoch.
func soonest(vs ...validity) validity {
	var out validity
	for _, v := range vs {
		if out.expires.IsZero() || !v.expires.IsZero() && v.expires.Before(out.expires) {
			out.expires = v.expires
		}
		if v.byEpoch {
			out.byEpoch, out.epoch = true, v.epoch
		}
	}
	return out
}

// kept is a value with its validity.
type kept[V any] struct {
	val   V
	valid validity
}

// store keeps what policy said, by name. Failures are not kept.
type store[V any] struct {
	*cache.Cache[string, kept[V]]
	epoch func() uint64
}

func newStore[V any](set *cache.Set, name string, size int, epoch func() uint64) store[V] {
	return store[V]{cache.New[string, kept[V]](set, name, cache.Options{Capacity: size}), epoch}
}

// get is what is kept for key while it is valid, else what load says; one load per key at a time.
func (s store[V]) get(ctx context.Context, now time.Time, key string, load func(context.Context) (kept[V], error)) (kept[V], error) {
	timed := func(ctx context.Context) (kept[V], time.Duration, error) {
		k, err := load(ctx)
		switch {
		case err != nil:
			return k, -1, err
		case k.valid.expires.IsZero():
			return k, 0, nil
		case !now.Before(k.valid.expires):
			return k, -1, nil
		}
		return k, k.valid.expires.Sub(now), nil
	}
	k, err := s.GetOrLoad(ctx, key, timed)
	if err != nil || !k.valid.byEpoch || k.valid.epoch == s.epoch() {
		return k, err
	}
	s.Delete(key)
	return s.GetOrLoad(ctx, key, timed)
}
