package throttle

import (
	"context"
	"sync"
	"time"
)

// seats are the leases of one process by key.
type seats struct {
	mu   sync.Mutex
	held map[string]*row
}

// row is the leases under one key.
type row struct{ leases []*localLease }

// localLease is one seat. at is its place in the row, -1 when it is given back or lost.
type localLease struct {
	in      *Local
	key     string
	at      int
	expires time.Time
}

// Lease takes a seat of this process. Seats whose time ran out are given to others only when they are needed.
func (l *Local) Lease(_ context.Context, key string, limit int64, ttl time.Duration) (Lease, error) {
	now := l.now()
	l.seats.mu.Lock()
	defer l.seats.mu.Unlock()
	r := l.seats.held[key]
	if r == nil {
		r = &row{}
	}
	if int64(len(r.leases)) >= limit {
		r.expire(now)
	}
	if int64(len(r.leases)) >= limit {
		return nil, ErrBusy
	}
	lease := &localLease{in: l, key: key, at: len(r.leases), expires: now.Add(ttl)}
	r.leases = append(r.leases, lease)
	l.seats.held[key] = r
	return lease, nil
}

// InUse is how many seats are taken under key, those that ran out and were not needed since included.
func (l *Local) InUse(key string) int {
	l.seats.mu.Lock()
	defer l.seats.mu.Unlock()
	if r := l.seats.held[key]; r != nil {
		return len(r.leases)
	}
	return 0
}

func (r *row) expire(now time.Time) {
	for i := len(r.leases) - 1; i >= 0; i-- {
		if l := r.leases[i]; !now.Before(l.expires) {
			r.remove(l)
		}
	}
}

// remove puts the last lease in the place of l.
func (r *row) remove(l *localLease) {
	last := len(r.leases) - 1
	r.leases[l.at] = r.leases[last]
	r.leases[l.at].at = l.at
	r.leases[last] = nil
	r.leases = r.leases[:last]
	l.at = -1
}

// Extend holds the seat for ttl from now. A seat whose time ran out but which nobody needed is still held.
func (l *localLease) Extend(_ context.Context, ttl time.Duration) error {
	now := l.in.now()
	l.in.seats.mu.Lock()
	defer l.in.seats.mu.Unlock()
	if l.at < 0 {
		return ErrLost
	}
	l.expires = now.Add(ttl)
	return nil
}

// Release gives the seat back.
func (l *localLease) Release(context.Context) error {
	l.in.seats.mu.Lock()
	defer l.in.seats.mu.Unlock()
	if l.at < 0 {
		return nil
	}
	r := l.in.seats.held[l.key]
	r.remove(l)
	if len(r.leases) == 0 {
		delete(l.in.seats.held, l.key)
	}
	return nil
}
