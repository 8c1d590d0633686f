package egress

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"kumo/pkg/cache"
	"kumo/pkg/dns"
	"kumo/pkg/message"
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
	Caches   *cache.Set       // where the caches are measured and sized; its clock should be Now
}

// Capacities of the caches that KumoMTA has no name for.
const (
	pathCache = 65536
	planCache = 65536
)

// Planner decides where messages go. It is safe for concurrent use.
type Planner struct {
	configs  Configs
	resolver MXResolver
	now      func() time.Time
	epoch    func() uint64
	start    func() uint32 // where a new queue's round begins

	pools   store[*poolState] // egress_source_pools
	sources store[*Source]    // egress_source_sources
	paths   store[*answer]    // egress_paths, by ready queue
	plans   store[*Plan]      // egress_plans
}

// NewPlanner makes a planner.
func NewPlanner(cfg PlannerConfig) *Planner {
	p := &Planner{configs: cfg.Configs, resolver: cfg.Resolver, now: cfg.Now, epoch: cfg.Epoch, start: rand.Uint32}
	if p.now == nil {
		p.now = time.Now
	}
	if p.epoch == nil {
		p.epoch = func() uint64 { return 0 }
	}
	set := cfg.Caches
	if set == nil {
		set = cache.NewSet(nil, p.now)
	}
	p.pools = newStore[*poolState](set, "egress_source_pools", 0, p.epoch)
	p.sources = newStore[*Source](set, "egress_source_sources", 0, p.epoch)
	p.paths = newStore[*answer](set, "egress_paths", pathCache, p.epoch)
	p.plans = newStore[*Plan](set, "egress_plans", planCache, p.epoch)
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
	if s == nil || !s.valid.ok(now, p.epoch) || req.Full != nil && req.Full(s.val.Key) {
		return nil, at
	}
	return s.val, at
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
	began := p.began(req)
	pool, err := p.pool(ctx, now, req.Pool)
	p.spent(req, message.SpentPolicy, "get_egress_pool", began)
	if err != nil {
		return nil, unresolved(req.Queue, err)
	}
	s := &turnState{pool: pool, domain: req.Queue.Effective(), protocol: req.Protocol}
	s.plans = make([]atomic.Pointer[kept[*Plan]], len(pool.entries))
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
	if k := state.plans[at].Load(); k != nil && k.valid.ok(now, p.epoch) {
		return k.val, nil
	}
	k, err := p.sharedPlan(ctx, now, req, state.pool.entries[at].Name)
	if err != nil {
		return nil, err
	}
	state.plans[at].Store(&k)
	return k.val, nil
}

// sharedPlan is the plan that all queues of the same pool, source, domain and protocol share.
func (p *Planner) sharedPlan(ctx context.Context, now time.Time, req *Request, source string) (kept[*Plan], error) {
	mx, err := p.mx(ctx, req)
	if err != nil {
		return kept[*Plan]{}, err
	}
	key := req.Pool + "\x00" + source + "\x00" + req.Queue.Effective() + "\x00" + req.Protocol.site()
	began := p.began(req)
	k, err := p.plans.get(ctx, now, key, func(ctx context.Context) (kept[*Plan], error) {
		return p.makePlan(ctx, now, req, source, mx)
	})
	p.spent(req, message.SpentPolicy, "get_egress_path_config", began)
	if err != nil {
		return k, unresolved(req.Queue, err) // here, because the error may come from another queue's request
	}
	return k, nil
}

// makePlan asks for everything that a plan needs. It holds as long as all of that does.
func (p *Planner) makePlan(ctx context.Context, now time.Time, req *Request, source string, mx *dns.MX) (kept[*Plan], error) {
	plan := newPlan(req, source, mx)
	src, err := p.source(ctx, now, source)
	if err != nil {
		return kept[*Plan]{}, err
	}
	plan.Source = src.val
	path, err := p.path(ctx, now, plan)
	if err != nil {
		return kept[*Plan]{}, err
	}
	plan.Path, plan.Origins = path.val.path, path.val.origins
	return kept[*Plan]{plan, soonest(until(mx.Expires), src.valid, path.valid)}, nil
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
	began := p.began(req)
	mx, err := p.resolver.LookupMX(ctx, domain)
	p.spent(req, message.SpentDNS, domain, began)
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
	k, err := p.pools.get(ctx, now, name, func(ctx context.Context) (kept[*poolState], error) {
		if name == Unspecified {
			return kept[*poolState]{val: newPoolState(name, []PoolEntry{{Name: Unspecified, Weight: 1}})}, nil
		}
		res, err := p.configs.EgressPool(ctx, name)
		if err != nil {
			return kept[*poolState]{}, err
		}
		s := newPoolState(name, res.Value.Entries)
		s.expires = now.Add(res.Value.TTL.Std())
		return kept[*poolState]{s, until(s.expires)}, nil
	})
	return k.val, err
}

// source is a source's definition. The reserved one is not looked up.
func (p *Planner) source(ctx context.Context, now time.Time, name string) (kept[*Source], error) {
	return p.sources.get(ctx, now, name, func(ctx context.Context) (kept[*Source], error) {
		if name == Unspecified {
			return kept[*Source]{val: &Source{Name: name}}, nil
		}
		res, err := p.configs.EgressSource(ctx, name)
		return kept[*Source]{&res.Value, until(now.Add(res.Value.TTL.Std()))}, err
	})
}

// path is the path of a ready queue: all queues that feed it share the answer that policy gave for one of them.
func (p *Planner) path(ctx context.Context, now time.Time, plan *Plan) (kept[*answer], error) {
	return p.paths.get(ctx, now, plan.Key, func(ctx context.Context) (kept[*answer], error) {
		epoch := p.epoch() // before asking: a change while policy answers is noticed next time
		res, err := p.configs.EgressPath(ctx, plan.RoutingDomain, plan.Source.Name, plan.Site)
		a := &answer{&res.Value, originsOf(res.Trace)}
		if res.Value.RefreshStrategy == RefreshEpoch {
			return kept[*answer]{a, validity{byEpoch: true, epoch: epoch}}, err
		}
		return kept[*answer]{a, until(now.Add(res.Value.RefreshInterval.Std()))}, err
	})
}
