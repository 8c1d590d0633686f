package luahost

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// pool keeps States between calls: a stack, so that few States stay warm and the others grow old at the bottom. A
// sync.Pool would be emptied at each collection, and a State costs as much to make as 200 calls.
type pool struct {
	maxSpare atomic.Int64
	maxLive  int

	mu      sync.Mutex
	idle    []*State
	live    int             // idle, at work, or being made
	waiters []chan struct{} // calls that wait for live to fall
}

// take returns an idle State, or nil when the caller is to make one. It waits while too many are alive.
func (p *pool) take(ctx context.Context) (*State, error) {
	for {
		p.mu.Lock()
		if n := len(p.idle); n > 0 {
			s := p.idle[n-1]
			p.idle[n-1] = nil
			p.idle = p.idle[:n-1]
			p.mu.Unlock()
			return s, nil
		}
		if p.live < p.maxLive {
			p.live++
			p.mu.Unlock()
			return nil, nil
		}
		turn := make(chan struct{}, 1)
		p.waiters = append(p.waiters, turn)
		p.mu.Unlock()
		select {
		case <-turn:
		case <-ctx.Done():
			p.forget(turn)
			return nil, context.Cause(ctx)
		}
	}
}

// put gives a State back; false when there is no room for it.
func (p *pool) put(s *State) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int64(len(p.idle)) >= p.maxSpare.Load() {
		return false
	}
	p.idle = append(p.idle, s)
	p.wake()
	return true
}

// gone notes that a State was dropped, or could not be made.
func (p *pool) gone() {
	p.mu.Lock()
	p.live--
	p.wake()
	p.mu.Unlock()
}

// wake lets one waiter try again. The caller holds mu.
func (p *pool) wake() {
	if len(p.waiters) > 0 {
		p.waiters[0] <- struct{}{}
		p.waiters = p.waiters[1:]
	}
}

// forget takes back a waiter that gave up; a turn that it was given meanwhile goes to the next.
func (p *pool) forget(turn chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range p.waiters {
		if w == turn {
			p.waiters = append(p.waiters[:i:i], p.waiters[i+1:]...)
			return
		}
	}
	p.wake()
}

// expired removes States at the bottom of the stack that are older than age.
func (p *pool) expired(now time.Time, age time.Duration) []*State {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].born) >= age {
		n++
	}
	if n == 0 {
		return nil
	}
	old := append([]*State(nil), p.idle[:n]...)
	p.idle = append(p.idle[:0], p.idle[n:]...)
	return old
}

// drain removes all idle States.
func (p *pool) drain() []*State {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.idle
	p.idle = nil
	return all
}

// Count is how many States are alive, at work or not, and how many of them wait for work.
func (h *Host) Count() (alive, spare int) {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	return h.pool.live, len(h.pool.idle)
}

// Acquire borrows a State for one call. ctx bounds the wait, the policy's top level if a new State is made, and the
// call itself.
func (h *Host) Acquire(ctx context.Context) (*State, error) {
	for {
		s, err := h.pool.take(ctx)
		if err != nil {
			return nil, err
		}
		now := h.opt.Now()
		if s == nil {
			return h.make(ctx, now)
		}
		if s.edition == h.edition.Load() && now.Sub(s.born) < time.Duration(h.maxAge.Load()) {
			s.guard.arm(ctx, now, h.opt.Timeout)
			return s, nil
		}
		s.close()
	}
}

// make builds a State in the slot that take reserved.
func (h *Host) make(ctx context.Context, now time.Time) (s *State, err error) {
	defer func() {
		if err != nil {
			h.pool.gone()
		}
	}()
	s = newState(h, h.edition.Load(), now)
	s.guard.arm(ctx, now, h.opt.Timeout)
	if err := s.load(); err != nil {
		s.L.Close()
		return nil, err
	}
	return s, nil
}

// Release gives a State back after its call.
func (h *Host) Release(s *State) {
	s.uses++
	s.Scope = nil
	s.guard.disarm()
	sweep := s.uses&63 == 0
	if s.broken || s.edition != h.edition.Load() || int64(s.uses) >= h.maxUses.Load() || !h.pool.put(s) {
		s.close()
	}
	if sweep {
		for _, old := range h.pool.expired(h.opt.Now(), time.Duration(h.maxAge.Load())) {
			old.close()
		}
	}
}
