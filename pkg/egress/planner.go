package egress

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"kumo/pkg/dns"
)

// MXResolver finds the hosts of a domain (*dns.Resolver).
type MXResolver interface {
	LookupMX(ctx context.Context, domain string) (*dns.MX, error)
}

// PlannerConfig is what a planner is made of.
type PlannerConfig struct {
	Configs  Configs          // policy
	Resolver MXResolver       // the resolver
	Now      func() time.Time // default time.Now
	Epoch    func() uint64    // the configuration epoch; default: it never changes
}

// Capacities of what the planner remembers. Pools and sources have KumoMTA's names, egress_source_pools and
// egress_source_sources, and more room: they are few, small and asked for with every message.
const (
	poolMemo   = 1024
	sourceMemo = 8192
	pathMemo   = 65536
	planMemo   = 65536
)

// Planner decides where messages go. It is safe for concurrent use.
type Planner struct {
	configs  Configs
	resolver MXResolver
	now      func() time.Time
	epoch    func() uint64
	start    func() uint32 // where a new queue's round begins

	pools   *memo[*poolState]
	sources *memo[*Source]
	paths   *memo[*Path]
	plans   *memo[*planState]
}

// planState is a plan with the time for which it holds: the least of its source's, its path's and its MX's.
type planState struct {
	plan   *Plan
	source validity
	path   validity
	mx     validity
}

func (s *planState) ok(now time.Time, epoch func() uint64) bool {
	return s.source.ok(now, epoch) && s.mx.ok(now, epoch) && s.path.ok(now, epoch)
}

// NewPlanner makes a planner.
func NewPlanner(cfg PlannerConfig) *Planner {
	p := &Planner{
		configs:  cfg.Configs,
		resolver: cfg.Resolver,
		now:      cfg.Now,
		epoch:    cfg.Epoch,
		start:    rand.Uint32,
		pools:    newMemo[*poolState](poolMemo),
		sources:  newMemo[*Source](sourceMemo),
		paths:    newMemo[*Path](pathMemo),
		plans:    newMemo[*planState](planMemo),
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.epoch == nil {
		p.epoch = func() uint64 { return 0 }
	}
	return p
}

// Plan decides for one message. Plans are shared and immutable. Errors are *Failure.
func (p *Planner) Plan(ctx context.Context, req Request) (*Plan, error) {
	if req.Pool == "" {
		req.Pool = Unspecified
	}
	at := noEntry
	if req.Turn != nil && !req.Explain {
		plan, entry := p.known(&req)
		if plan != nil {
			return plan, nil
		}
		at = entry
	}
	return p.decide(ctx, req, at)
}

// noEntry says that no entry of the pool has been chosen yet.
const noEntry = -1

// known is the plan for the queue's next turn when nothing has to be asked for it: the usual case, without
// allocation. Otherwise it is nil, with the entry whose turn it was.
func (p *Planner) known(req *Request) (*Plan, int) {
	now := p.now()
	state := req.Turn.state.Load()
	if state == nil || !state.current(now, req) || len(state.plans) == 0 {
		return nil, noEntry
	}
	at := state.pool.choose(req.Turn.take())
	s := state.plans[at].Load()
	if s == nil || !s.ok(now, p.epoch) || req.Full != nil && req.Full(s.plan.Key) {
		return nil, at
	}
	return s.plan, at
}

// decide asks for what is not known. Sources whose ready queue is full are passed over while others remain.
func (p *Planner) decide(ctx context.Context, req Request, at int) (*Plan, error) {
	if req.Explain {
		return p.explain(ctx, &req)
	}
	now := p.now()
	state, err := p.turnState(ctx, now, &req)
	if err != nil {
		return nil, err
	}
	n := len(state.plans)
	switch {
	case n == 0:
		return nil, noSources(req.Queue, req.Pool)
	case at >= n || at == noEntry:
		at = state.pool.first(req.Turn)
	}
	plan, err := p.entryPlan(ctx, now, &req, state, at)
	if err != nil || req.Full == nil || n == 1 || !req.Full(plan.Key) {
		return plan, err
	}
	for i := 1; i < n; i++ {
		other, err := p.entryPlan(ctx, now, &req, state, (at+i)%n)
		if err == nil && !req.Full(other.Key) {
			return other, nil
		}
	}
	return plan, nil
}

// first is the entry whose turn it is.
func (p *poolState) first(turn *Turn) int {
	if turn == nil {
		return p.heaviest()
	}
	return p.choose(turn.take())
}

// turnState is the state of the queue's turn, a new one when something changed.
func (p *Planner) turnState(ctx context.Context, now time.Time, req *Request) (*turnState, error) {
	var old *turnState
	if req.Turn != nil {
		if old = req.Turn.state.Load(); old != nil && old.current(now, req) {
			return old, nil
		}
	}
	pool, err := p.pool(ctx, now, req.Pool)
	if err != nil {
		return nil, unresolved(req.Queue, err)
	}
	s := &turnState{pool: pool, domain: req.Queue.Effective(), protocol: req.Protocol}
	s.plans = make([]atomic.Pointer[planState], len(pool.entries))
	if req.Turn != nil {
		if old == nil {
			// Anywhere: were it always at the first source, queues of one message would all use that one.
			req.Turn.next.Store(p.start())
		}
		req.Turn.state.Store(s)
	}
	return s, nil
}

// entryPlan is the plan for one source of the pool.
func (p *Planner) entryPlan(ctx context.Context, now time.Time, req *Request, state *turnState, at int) (*Plan, error) {
	if s := state.plans[at].Load(); s != nil && s.ok(now, p.epoch) {
		return s.plan, nil
	}
	s, err := p.sharedPlan(ctx, now, req, state.pool.entries[at].Name)
	if err != nil {
		return nil, err
	}
	state.plans[at].Store(s)
	return s.plan, nil
}

// sharedPlan is the plan that all queues of the same pool, source, domain and protocol share.
func (p *Planner) sharedPlan(ctx context.Context, now time.Time, req *Request, source string) (*planState, error) {
	mx, err := p.mx(ctx, req) // outside of the memo: others must not wait for our name server without their ctx
	if err != nil {
		return nil, err
	}
	key := req.Pool + "\x00" + source + "\x00" + req.Queue.Effective() + "\x00" + req.Protocol.site()
	s, _, err := p.plans.get(key, now, p.epoch, func() (*planState, validity, error) {
		s, err := p.makePlan(ctx, now, req, source, mx)
		if err != nil {
			return nil, validity{}, err
		}
		return s, s.least(), nil
	})
	return s, err
}

// least is the validity of the whole.
func (s *planState) least() validity {
	v := s.path
	for _, o := range []validity{s.source, s.mx} {
		if v.expires.IsZero() || !o.expires.IsZero() && o.expires.Before(v.expires) {
			v.expires = o.expires
		}
	}
	return v
}

// makePlan asks for everything that a plan needs.
func (p *Planner) makePlan(ctx context.Context, now time.Time, req *Request, source string, mx *dns.MX) (*planState, error) {
	s := &planState{mx: always}
	if !mx.Expires.IsZero() {
		s.mx = until(mx.Expires)
	}
	var err error
	plan := newPlan(req, source, mx)
	plan.Source, s.source, err = p.source(ctx, now, source)
	if err != nil {
		return nil, unresolved(req.Queue, err)
	}
	plan.Path, s.path, err = p.path(ctx, now, plan)
	if err != nil {
		return nil, unresolved(req.Queue, err)
	}
	s.plan = plan
	return s, nil
}

// newPlan names the ready queue.
func newPlan(req *Request, source string, mx *dns.MX) *Plan {
	return &Plan{
		Key:           source + "->" + mx.Site + "@smtp_client",
		Site:          mx.Site,
		Pool:          req.Pool,
		RoutingDomain: req.Queue.Effective(),
		Source:        &Source{Name: source},
		Protocol:      req.Protocol,
		MX:            mx,
	}
}

// mx is where mail of the queue goes. A null MX is a Failure.
func (p *Planner) mx(ctx context.Context, req *Request) (*dns.MX, error) {
	domain := req.Queue.Effective()
	if len(req.Protocol.SMTP.MXList) > 0 {
		return req.Protocol.mx(domain), nil
	}
	mx, err := p.resolver.LookupMX(ctx, domain)
	if err != nil {
		return nil, unresolved(req.Queue, err)
	}
	if mx.IsNull {
		return nil, nullMX()
	}
	return mx, nil
}

// pool is a pool made ready. The reserved one is not looked up.
func (p *Planner) pool(ctx context.Context, now time.Time, name string) (*poolState, error) {
	s, _, err := p.pools.get(name, now, p.epoch, func() (*poolState, validity, error) {
		if name == Unspecified {
			return newPoolState(name, []PoolEntry{{Name: Unspecified, Weight: 1}}), always, nil
		}
		res, err := p.configs.EgressPool(ctx, name)
		if err != nil {
			return nil, validity{}, err
		}
		s := newPoolState(name, res.Value.Entries)
		s.expires = now.Add(res.Value.TTL.Std())
		return s, until(s.expires), nil
	})
	return s, err
}

// source is a source's definition. The reserved one is not looked up.
func (p *Planner) source(ctx context.Context, now time.Time, name string) (*Source, validity, error) {
	return p.sources.get(name, now, p.epoch, func() (*Source, validity, error) {
		if name == Unspecified {
			return &Source{Name: name}, always, nil
		}
		res, err := p.configs.EgressSource(ctx, name)
		if err != nil {
			return nil, validity{}, err
		}
		return &res.Value, until(now.Add(res.Value.TTL.Std())), nil
	})
}

// path is the path of a ready queue: all queues that feed it share the answer that policy gave for one of them.
func (p *Planner) path(ctx context.Context, now time.Time, plan *Plan) (*Path, validity, error) {
	return p.paths.get(plan.Key, now, p.epoch, func() (*Path, validity, error) {
		epoch := p.epoch() // before asking: a change while policy answers is noticed next time
		res, err := p.configs.EgressPath(ctx, plan.RoutingDomain, plan.Source.Name, plan.Site)
		if err != nil {
			return nil, validity{}, err
		}
		if res.Value.RefreshStrategy == RefreshEpoch {
			return &res.Value, validity{byEpoch: true, epoch: epoch, set: true}, nil
		}
		return &res.Value, until(now.Add(res.Value.RefreshInterval.Std())), nil
	})
}
