package throttle

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Store keeps buckets and seats: in this process (Local), or shared by several nodes.
type Store interface {
	// Throttle takes n tokens from the bucket of key, which spec made (Spec.Key). An error means that the store
	// could not say; nothing was taken then.
	Throttle(ctx context.Context, key string, spec Spec, n int64) (Result, error)
	// Lease takes one of limit seats under key, for ttl unless it is extended. ErrBusy means that all are taken;
	// any other error that the store could not say.
	Lease(ctx context.Context, key string, limit int64, ttl time.Duration) (Lease, error)
}

// Lease is a seat under a limit. Its methods may be called from several goroutines.
type Lease interface {
	// Extend holds the seat for ttl from now. ErrLost means that it ran out and somebody may have taken it.
	Extend(ctx context.Context, ttl time.Duration) error
	// Release gives the seat back. Releasing twice, or after the time ran out, does nothing.
	Release(ctx context.Context) error
}

var (
	// ErrBusy says that all seats of a limit are taken.
	ErrBusy = errors.New("the limit is reached")
	// ErrLost says that a lease was not extended in time.
	ErrLost = errors.New("the lease ran out")
)

// Stores chooses between the local and the shared store. Shared is nil when throttles are not shared.
type Stores struct {
	Local  Store
	Shared Store
}

// For is the store of a spec or limit that says local or not.
func (s Stores) For(local bool) Store {
	if local || s.Shared == nil {
		return s.Local
	}
	return s.Shared
}

// Throttle is a named Spec bound to its store, for callers who take from it often.
type Throttle struct {
	Name string
	Spec Spec
	key  string
	in   Store
}

// Throttle binds a spec to its bucket.
func (s Stores) Throttle(name string, spec Spec) *Throttle {
	return &Throttle{Name: name, Spec: spec, key: spec.Key(name), in: s.For(spec.Local)}
}

// Take takes n tokens at once, or none. The nil *Throttle lets everything through.
func (t *Throttle) Take(ctx context.Context, n int64) (Result, error) {
	if t == nil || t.Spec.IsZero() {
		return Result{}, nil
	}
	return t.in.Throttle(ctx, t.key, t.Spec, n)
}

// Seat is a named limit for LeaseAll.
type Seat struct {
	Name  string
	Limit ConnLimit
}

// BusyError says which of several limits is reached. errors.Is(err, ErrBusy) is true.
type BusyError struct{ Seat Seat }

// Error names the limit and its size.
func (e *BusyError) Error() string {
	return e.Seat.Name + ": the limit of " + e.Seat.Limit.String() + " is reached"
}

// Is makes it an ErrBusy.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// LeaseAll takes one seat under each limit, the smallest limit first, or none. The lease stands for all of them.
func (s Stores) LeaseAll(ctx context.Context, ttl time.Duration, seats ...Seat) (Lease, error) {
	seats = slices.Clone(seats)
	slices.SortStableFunc(seats, func(a, b Seat) int { return a.Limit.Compare(b.Limit) })
	held := make(leases, 0, len(seats))
	for _, seat := range seats {
		l, err := s.For(seat.Limit.Local).Lease(ctx, seat.Name, seat.Limit.Limit, ttl)
		if err != nil {
			// Seats are given back even when the caller has gone.
			_ = held.Release(context.WithoutCancel(ctx))
			if errors.Is(err, ErrBusy) {
				return nil, &BusyError{seat}
			}
			return nil, err
		}
		held = append(held, l)
	}
	return held, nil
}

type leases []Lease

func (ls leases) Extend(ctx context.Context, ttl time.Duration) error {
	for _, l := range ls {
		if err := l.Extend(ctx, ttl); err != nil {
			return err
		}
	}
	return nil
}

func (ls leases) Release(ctx context.Context) error {
	var errs []error
	for _, l := range slices.Backward(ls) {
		errs = append(errs, l.Release(ctx))
	}
	return errors.Join(errs...)
}
