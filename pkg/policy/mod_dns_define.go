package policy

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/dns"
	"kumo/pkg/luahost"
	"kumo/pkg/option"
)

// defineFuncs are the functions of kumo.dns that say how to ask.
func defineFuncs() []luahost.Func {
	return []luahost.Func{
		{Name: "define_resolver", Args: "(name, config)", Since: rblSince, Doc: "A resolver of its own under a name, for the functions that take one. config is { Hickory = { name_servers = … } } (Unbound means the same), { Test = { zones = … } }, HickorySystemConfig, or { Aggregate = { … } } with a list of these, which are asked in turn. Only in init.", Example: `kumo.on('init', function()
  kumo.dns.define_resolver('rbl', { Hickory = { name_servers = { '127.0.0.1:53' } } })
end)`, Go: dnsDefine},
		{Name: "set_mx_timeout", Args: "(duration)", Since: "2025.03.19-1d3f1f67", Doc: "How long the lookup of a domain's MX may take with everything in it: 5 seconds if it is not called.", Example: `kumo.on('pre_init', function() kumo.dns.set_mx_timeout '10s' end)`, Go: func(l *lua.LState) int {
			inSetup(l, "dns.set_mx_timeout").DNSLimits.MXTimeout = durationArg(l, 1).Std()
			return 0
		}},
		{Name: "set_mx_negative_cache_ttl", Args: "(duration)", Since: "2025.03.19-1d3f1f67", Doc: "How long it is believed that a domain does not exist: 5 minutes if it is not called.", Example: `kumo.on('pre_init', function() kumo.dns.set_mx_negative_cache_ttl '1m' end)`, Go: func(l *lua.LState) int {
			inSetup(l, "dns.set_mx_negative_cache_ttl").DNSLimits.MXNegativeTTL = durationArg(l, 1).Std()
			return 0
		}},
		{Name: "set_mx_concurrency_limit", Args: "(limit)", Since: "2025.05.06-b29689af", Doc: "How many MX lookups may be under way at once: 128 if it is not called.", Example: `kumo.on('pre_init', function() kumo.dns.set_mx_concurrency_limit(256) end)`, Go: func(l *lua.LState) int {
			n := l.CheckInt(1)
			if n < 1 || n > 100_000 {
				l.ArgError(1, "a number from 1 to 100000 expected")
			}
			inSetup(l, "dns.set_mx_concurrency_limit").DNSLimits.MXConcurrency = n
			return 0
		}},
	}
}

// inSetup is the setup of a function that only pre_init and init may call.
func inSetup(l *lua.LState, name string) *Setup { return inInit(l, name).setup }

// durationArg is an argument that is a duration above zero: a number of seconds or a text.
func durationArg(l *lua.LState, n int) option.Duration {
	v, err := luahost.ToGo(l.CheckAny(n))
	var d option.Duration
	if err == nil {
		err = d.DecodeOption(v)
	}
	if err != nil {
		l.ArgError(n, err.Error())
	}
	if d <= 0 {
		l.ArgError(n, "a duration above zero expected")
	}
	return d
}

func dnsDefine(l *lua.LState) int {
	inInit(l, "dns.define_resolver")
	name := l.CheckString(1)
	r := resolverOf(l, l.CheckAny(2), 0)
	if _, twice := of(luahost.From(l)).resolvers.LoadOrStore(name, r); twice {
		luahost.Fail(l, fmt.Errorf("kumo.dns.define_resolver: a resolver called %q is defined already", clip(name)))
	}
	return 0
}

const shapesOfResolvers = "expected { Hickory = … }, { Unbound = … }, { Test = … }, { Aggregate = … } or HickorySystemConfig"

// resolverOf makes what one of the shapes says.
func resolverOf(l *lua.LState, v lua.LValue, depth int) names {
	var r *dns.Resolver
	var err error
	switch x := v.(type) {
	case lua.LString:
		if x != "HickorySystemConfig" {
			luahost.Fail(l, fmt.Errorf("kumo.dns.define_resolver: %q: %s", clip(string(x)), shapesOfResolvers))
		}
		r, err = dns.System("", dns.Config{})
	case *lua.LTable:
		return resolverShape(l, x, depth)
	default:
		luahost.Fail(l, fmt.Errorf("kumo.dns.define_resolver: a %s: %s", v.Type(), shapesOfResolvers))
	}
	if err != nil {
		luahost.Fail(l, fmt.Errorf("kumo.dns.define_resolver: %w", err))
	}
	return names{r}
}

func resolverShape(l *lua.LState, t *lua.LTable, depth int) names {
	shape, v := t.Next(lua.LNil)
	inner, ok := v.(*lua.LTable)
	if k, _ := t.Next(shape); !ok || k != lua.LNil {
		luahost.Fail(l, fmt.Errorf("kumo.dns.define_resolver: %s", shapesOfResolvers))
	}
	var r *dns.Resolver
	var err error
	call := option.Origin{Kind: option.KindLua, At: luahost.Where(l)}
	layer := option.Layer{}
	if ok && shape != lua.LString("Aggregate") {
		if layer, err = layerOf(inner, "define_resolver", call); err != nil {
			luahost.Fail(l, err)
		}
	}
	switch shape.String() {
	case "Hickory", "Unbound":
		opt := resolve(l, resolverSchema, "define_resolver", call, layer)
		r, err = dns.New(dns.Config{Options: opt.Value})
	case "Test":
		opt := resolve(l, testResolverSchema, "define_resolver", call, layer)
		r, err = dns.NewTest(opt.Value, dns.Config{})
	case "Aggregate":
		return aggregate(l, inner, depth)
	default:
		luahost.Fail(l, fmt.Errorf("kumo.dns.define_resolver: %q: %s", clip(shape.String()), shapesOfResolvers))
	}
	if err != nil {
		luahost.Fail(l, fmt.Errorf("kumo.dns.define_resolver: %w", err))
	}
	return names{r}
}

// aggregate takes a list of shapes, and shapes by their names beside it, which are asked first.
func aggregate(l *lua.LState, t *lua.LTable, depth int) names {
	if depth > 0 {
		luahost.Fail(l, fmt.Errorf("kumo.dns.define_resolver: an Aggregate within an Aggregate"))
	}
	var out names
	t.ForEach(func(k, v lua.LValue) {
		if _, named := k.(lua.LString); named {
			one := l.NewTable()
			one.RawSet(k, v)
			out = append(out, resolverOf(l, one, depth+1)...)
		}
	})
	for i := 1; i <= t.Len(); i++ {
		out = append(out, resolverOf(l, t.RawGetInt(i), depth+1)...)
	}
	if len(out) == 0 {
		luahost.Fail(l, fmt.Errorf("kumo.dns.define_resolver: an Aggregate of nothing"))
	}
	return out
}
