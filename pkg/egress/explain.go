package egress

import (
	"context"

	"kumo/pkg/option"
)

// explain plans with fresh answers of policy and with the trace of every option. It takes no turn, and shows the
// source with the largest weight.
func (p *Planner) explain(ctx context.Context, req *Request) (*Plan, error) {
	pool, err := p.explainPool(ctx, req.Pool)
	if err != nil {
		return nil, unresolved(req.Queue, err)
	}
	state := newPoolState(req.Pool, pool.Value.Entries)
	if len(state.entries) == 0 {
		return nil, noSources(req.Queue, req.Pool)
	}
	mx, err := p.mx(ctx, req)
	if err != nil {
		return nil, err
	}
	name := state.entries[state.heaviest()].Name
	plan := newPlan(req, name, mx)
	source, err := p.explainSource(ctx, name)
	if err != nil {
		return nil, unresolved(req.Queue, err)
	}
	path, err := p.configs.EgressPath(ctx, plan.RoutingDomain, name, plan.Site)
	if err != nil {
		return nil, unresolved(req.Queue, err)
	}
	plan.Source, plan.Path = &source.Value, &path.Value
	plan.Trace = []PlanTrace{
		{Object: "egress_pool", Name: req.Pool, Fields: pool.Trace},
		{Object: "egress_source", Name: name, Fields: source.Trace},
		{Object: "egress_path", Name: plan.Key, Fields: path.Trace},
	}
	return plan, nil
}

func (p *Planner) explainPool(ctx context.Context, name string) (option.Resolved[Pool], error) {
	if name != Unspecified {
		return p.configs.EgressPool(ctx, name)
	}
	entries := []PoolEntry{{Name: Unspecified, Weight: 1}}
	return option.Resolved[Pool]{Value: Pool{Name: name, Entries: entries}, Trace: reserved}, nil
}

func (p *Planner) explainSource(ctx context.Context, name string) (option.Resolved[Source], error) {
	if name != Unspecified {
		return p.configs.EgressSource(ctx, name)
	}
	return option.Resolved[Source]{Value: Source{Name: name}, Trace: reserved}, nil
}

// reserved explains pool and source "unspecified": there is nothing to set.
var reserved = option.Trace{{Name: "name", Value: Unspecified, Origin: option.Origin{Kind: option.KindDefault}}}
