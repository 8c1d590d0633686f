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
	entries := []any{map[string]any{"name": Unspecified}}
	return poolSchema.Resolve("make_egress_pool", reserved(map[string]any{"name": name, "entries": entries}))
}

func (p *Planner) explainSource(ctx context.Context, name string) (option.Resolved[Source], error) {
	if name != Unspecified {
		return p.configs.EgressSource(ctx, name)
	}
	return sourceSchema.Resolve("make_egress_source", reserved(map[string]any{"name": name}))
}

func reserved(values map[string]any) option.Layer {
	return option.NewLayer(values, option.Origin{Kind: option.KindDefault})
}
