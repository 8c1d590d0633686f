package policy

import (
	"context"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/egress"
	"kumo/pkg/luahost"
	"kumo/pkg/option"
)

// builtIn is the origin of the pool and the source that need no definition.
var builtIn = option.Origin{Kind: "built-in"}

// EgressPool asks get_egress_pool. The pool "unspecified" is built in; any other that the policy does not know is an
// error, for mail must not leave from an address that nobody chose.
func (p *Policy) EgressPool(ctx context.Context, name string) (option.Resolved[egress.Pool], error) {
	if name == egress.Unspecified {
		return poolSchema.Resolve("make_egress_pool", option.NewLayer(map[string]any{
			"name": name, "entries": []any{map[string]any{"name": egress.Unspecified}},
		}, builtIn))
	}
	return named(ctx, p, evEgressPool, "make_egress_pool", poolSchema, name, func(v egress.Pool) string { return v.Name })
}

// EgressSource asks get_egress_source, with the same rules as EgressPool.
func (p *Policy) EgressSource(ctx context.Context, name string) (option.Resolved[egress.Source], error) {
	if name == egress.Unspecified {
		return sourceSchema.Resolve("make_egress_source", option.NewLayer(map[string]any{"name": name}, builtIn))
	}
	return named(ctx, p, evEgressSource, "make_egress_source", sourceSchema, name, func(v egress.Source) string { return v.Name })
}

// EgressPath asks get_egress_path_config. Without an answer the defaults hold.
func (p *Policy) EgressPath(ctx context.Context, routingDomain, source, site string) (option.Resolved[egress.Path], error) {
	if !p.host.Has(evEgressPath) {
		return pathSchema.Resolve("make_egress_path")
	}
	s, err := p.host.Acquire(ctx)
	if err != nil {
		return option.Resolved[egress.Path]{}, err
	}
	defer p.host.Release(s)
	r, some, err := ask(s, evEgressPath, "make_egress_path", pathSchema, lua.LString(routingDomain), lua.LString(source), lua.LString(site))
	if err == nil && !some {
		return pathSchema.Resolve("make_egress_path")
	}
	return r, err
}

// named asks for an object that must exist under the name asked for.
func named[T any](ctx context.Context, p *Policy, id luahost.EventID, what string, schema *option.Schema[T], name string, nameOf func(T) string) (option.Resolved[T], error) {
	none := option.Resolved[T]{}
	unknown := func(why string) error {
		return fmt.Errorf("%s %q is not defined: %s", what[len("make_"):], name, why)
	}
	if !p.host.Has(id) {
		return none, unknown("the policy does not handle " + p.host.EventName(id))
	}
	s, err := p.host.Acquire(ctx)
	if err != nil {
		return none, err
	}
	defer p.host.Release(s)
	r, some, err := ask(s, id, what, schema, lua.LString(name))
	if err != nil {
		return none, err
	}
	if !some {
		return none, unknown(fmt.Sprintf("%s (%s) returned nothing for it", s.EventName(id), s.HandlerAt(id)))
	}
	if got := nameOf(r.Value); got != name {
		return none, unknown(fmt.Sprintf("%s (%s) returned one named %q", s.EventName(id), s.HandlerAt(id), got))
	}
	return r, nil
}
