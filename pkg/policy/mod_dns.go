package policy

import (
	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/dns"
	"kumo/pkg/luahost"
	"kumo/pkg/option"
)

// The schemas of resolvers.
var (
	resolverSchema     = option.SchemaOf[dns.ResolverOptions]()
	testResolverSchema = option.SchemaOf[dns.TestResolverOptions]()
)

var dnsModule = luahost.Module{
	Name: "kumo.dns",
	Doc:  "Name resolution.",
	Funcs: append([]luahost.Func{
		{Name: "configure_resolver", Args: "{ name_servers=, … }", Since: "2023.08.22-4d895015", Doc: "Which name servers to ask. Without it /etc/resolv.conf says. Only in init.", Example: `kumo.on('init', function()
  kumo.dns.configure_resolver { name_servers = { '127.0.0.1:53' } }
end)`, Go: dnsConfigureResolver},
		{Name: "configure_test_resolver", Args: "{ zone, … }", Doc: "Answers all lookups from zone texts, for tests. Only in init.", Example: `kumo.on('init', function()
  kumo.dns.configure_test_resolver { [[
$ORIGIN example.com.
@  600 MX 10 mx
mx 600 A 127.0.0.1
]] }
end)`, Go: dnsConfigureTestResolver},
	}, append(lookupFuncs(), defineFuncs()...)...),
}

func dnsConfigureResolver(l *lua.LState) int {
	scope := inInit(l, "dns.configure_resolver")
	layer, call := layerArg(l, "configure_resolver")
	r := resolve(l, resolverSchema, "configure_resolver", call, layer)
	scope.setup.Resolver = &r
	return 0
}

// dnsConfigureTestResolver takes a list of zones, as KumoMTA does, or a table with zones and servfail.
func dnsConfigureTestResolver(l *lua.LState) int {
	scope := inInit(l, "dns.configure_test_resolver")
	call := option.Origin{Kind: option.KindLua, At: luahost.Where(l)}
	layer := option.Layer{}
	if t, ok := l.Get(1).(*lua.LTable); ok && t.Len() > 0 {
		zones, err := luahost.ToGo(t)
		if err != nil {
			luahost.Fail(l, err)
		}
		layer["zones"] = option.Setting{Value: zones, Origin: call}
	} else {
		layer, call = layerArg(l, "configure_test_resolver")
	}
	r := resolve(l, testResolverSchema, "configure_test_resolver", call, layer)
	scope.setup.TestResolver = &r
	return 0
}
