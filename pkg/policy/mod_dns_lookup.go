package policy

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/dns"
	"kumo/pkg/luahost"
)

const rblSince = "2025.12.02-67ee9e96"

// lookupFuncs are the functions of kumo.dns that ask.
func lookupFuncs() []luahost.Func {
	return []luahost.Func{
		{Name: "lookup_mx", Args: "(domain [, resolver])", Returns: "table", Doc: "The hosts that take mail for a domain: domain_name, hosts in order, by_pref, site_name, is_mx and is_domain_literal. A domain that does not exist is an error.", Example: `local ok, mx = pcall(kumo.dns.lookup_mx, '[127.0.0.1]')
print(ok and mx.site_name)`, Go: dnsLookupMX},
		{Name: "lookup_addr", Args: "(name [, resolver [, strategy]])", Returns: "list of strings", Since: "2023.08.22-4d895015", Doc: "The addresses of a host. strategy is an ip_lookup_strategy, Ipv4AndIpv6 if there is none. A name that does not exist is an error.", Example: `print(kumo.dns.lookup_addr('localhost')[1])`, Go: dnsLookupAddr},
		{Name: "lookup_ptr", Args: "(ip [, resolver])", Returns: "list of strings", Since: "2025.10.06-5ec871ab", Doc: "The names of an address.", Example: `local ok, names = pcall(kumo.dns.lookup_ptr, '127.0.0.1')`, Go: func(l *lua.LState) int {
			ip, r := ipArg(l), resolverArg(l, 2)
			names, err := r.LookupPTR(luahost.From(l).Context(), ip)
			return pushAnswers(l, "lookup_ptr", names, err)
		}},
		{Name: "lookup_txt", Args: "(name [, resolver])", Returns: "list of strings", Since: "2024.09.02-c5476b89", Doc: "The TXT records of a name. A name that does not exist is an error.", Example: `local ok, records = pcall(kumo.dns.lookup_txt, 'example.invalid')`, Go: func(l *lua.LState) int {
			name, r := l.CheckString(1), resolverArg(l, 2)
			texts, err := r.LookupTXT(luahost.From(l).Context(), name)
			return pushAnswers(l, "lookup_txt", texts, err)
		}},
		{Name: "rbl_lookup", Args: "(ip, base_domain [, resolver])", Returns: "string, string", Since: rblSince, Doc: "Looks an address up in a blocklist: the address that it answers and the reason, both nil when it is not listed. The address may have a port.", Example: `local ok, ip, reason = pcall(kumo.dns.rbl_lookup, '127.0.0.2:25', 'rbl.invalid')`, Go: dnsRBL},
		{Name: "reverse_ip", Args: "(ip)", Returns: "string", Since: rblSince, Doc: "The parts of an address the other way round, as blocklists have them.", Example: `assert(kumo.dns.reverse_ip '127.0.0.2' == '2.0.0.127')`, Go: func(l *lua.LState) int {
			return text(l, reverseIP(ipArg(l)))
		}},
		{Name: "ptr_host", Args: "(ip)", Returns: "string", Since: rblSince, Doc: "The name under which an address has its PTR records.", Example: `assert(kumo.dns.ptr_host '127.0.0.2' == '2.0.0.127.in-addr.arpa')`, Go: func(l *lua.LState) int {
			ip := ipArg(l)
			if ip.Is4() {
				return text(l, reverseIP(ip)+".in-addr.arpa")
			}
			return text(l, reverseIP(ip)+".ip6.arpa")
		}},
	}
}

// ipArg is argument 1 as an address, with or without a port and brackets.
func ipArg(l *lua.LState) netip.Addr {
	s := l.CheckString(1)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		l.ArgError(1, fmt.Sprintf("%q is no IP address", clip(s)))
	}
	return a.Unmap().WithZone("")
}

// reverseIP has the bytes of IPv4 and the half bytes of IPv6, the last one first.
func reverseIP(a netip.Addr) string {
	var parts []string
	b := a.AsSlice()
	for i := len(b) - 1; i >= 0; i-- {
		if a.Is4() {
			parts = append(parts, fmt.Sprint(b[i]))
			continue
		}
		parts = append(parts, fmt.Sprintf("%x.%x", b[i]&15, b[i]>>4))
	}
	return strings.Join(parts, ".")
}

// names is what answers lookups: one resolver, or several that are asked in turn.
type names []*dns.Resolver

// first asks one resolver after the other until one knows the name.
func first[T any](n names, ask func(*dns.Resolver) (T, error)) (v T, err error) {
	for _, r := range n {
		if v, err = ask(r); err == nil || !dns.IsNotFound(err) {
			return v, err
		}
	}
	return v, err
}

func (n names) LookupPTR(ctx context.Context, ip netip.Addr) ([]string, error) {
	return first(n, func(r *dns.Resolver) ([]string, error) { return r.LookupPTR(ctx, ip) })
}

func (n names) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return first(n, func(r *dns.Resolver) ([]string, error) { return r.LookupTXT(ctx, name) })
}

func (n names) LookupIP(ctx context.Context, name string, s dns.IPStrategy) ([]netip.Addr, error) {
	return first(n, func(r *dns.Resolver) ([]netip.Addr, error) { return r.LookupIP(ctx, name, s) })
}

func (n names) LookupMX(ctx context.Context, domain string) (*dns.MX, error) {
	return first(n, func(r *dns.Resolver) (*dns.MX, error) { return r.LookupMX(ctx, domain) })
}

// UseResolver says who answers kumo.dns.lookup_…; until then the resolver is that of the system, or the one that init
// has configured so far.
func (p *Policy) UseResolver(r *dns.Resolver) { p.resolver.Store(r) }

// resolverArg is the resolver that argument n names, or the one for everything.
func resolverArg(l *lua.LState, n int) names {
	s := luahost.From(l)
	p := of(s)
	if name := l.OptString(n, ""); name != "" {
		if r, ok := p.resolvers.Load(name); ok {
			return r.(names)
		}
		l.ArgError(n, fmt.Sprintf("no resolver is called %q: kumo.dns.define_resolver in init makes one", clip(name)))
	}
	if r := p.resolver.Load(); r != nil {
		return names{r}
	}
	var setup *Setup
	if scope, ok := s.Scope.(*initScope); ok {
		setup = scope.setup
	}
	r, err := setup.NewResolver(dns.Config{})
	if err != nil {
		luahost.Fail(l, fmt.Errorf("resolver: %w", err))
	}
	return names{r}
}

// NewResolver makes the resolver that the setup asks for, or that of the system.
func (s *Setup) NewResolver(cfg dns.Config) (*dns.Resolver, error) {
	switch {
	case s != nil && s.TestResolver != nil:
		cfg.Limits = s.DNSLimits
		return dns.NewTest(s.TestResolver.Value, cfg)
	case s != nil && s.Resolver != nil:
		cfg.Limits, cfg.Options = s.DNSLimits, s.Resolver.Value
		return dns.New(cfg)
	case s != nil:
		cfg.Limits = s.DNSLimits
	}
	return dns.System("", cfg)
}

func pushAnswers(l *lua.LState, function string, answers []string, err error) int {
	if err != nil {
		luahost.Fail(l, fmt.Errorf("kumo.dns.%s: %w", function, err))
	}
	l.Push(luahost.ToLua(l, answers))
	return 1
}

func dnsLookupAddr(l *lua.LState) int {
	name, r, strategy := l.CheckString(1), resolverArg(l, 2), dns.IPStrategy(l.OptString(3, string(dns.Ipv4AndIpv6)))
	switch strategy {
	case dns.Ipv4AndIpv6, dns.Ipv4Only, dns.Ipv6Only, dns.Ipv4ThenIpv6, dns.Ipv6ThenIpv4:
	default:
		l.ArgError(3, fmt.Sprintf("%q: expected Ipv4AndIpv6, Ipv4Only, Ipv6Only, Ipv4ThenIpv6 or Ipv6ThenIpv4", clip(string(strategy))))
	}
	addrs, err := r.LookupIP(luahost.From(l).Context(), name, strategy)
	return pushAnswers(l, "lookup_addr", addrTexts(addrs), err)
}

func addrTexts(addrs []netip.Addr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}

func dnsLookupMX(l *lua.LState) int {
	domain, r := l.CheckString(1), resolverArg(l, 2)
	mx, err := r.LookupMX(luahost.From(l).Context(), domain)
	if err != nil {
		luahost.Fail(l, fmt.Errorf("kumo.dns.lookup_mx: %w", err))
	}
	t := l.CreateTable(0, 6)
	t.RawSetString("domain_name", lua.LString(mx.Domain))
	t.RawSetString("site_name", lua.LString(mx.Site))
	t.RawSetString("is_mx", lua.LBool(mx.IsMX))
	t.RawSetString("is_domain_literal", lua.LBool(mx.IsLiteral))
	t.RawSetString("hosts", hostTable(l, mx.Hosts))
	prefs := l.CreateTable(0, len(mx.ByPref))
	for _, p := range mx.ByPref {
		prefs.RawSet(lua.LNumber(p.Value), hostTable(l, p.Hosts))
	}
	t.RawSetString("by_pref", prefs)
	l.Push(t)
	return 1
}

func hostTable(l *lua.LState, hosts []dns.Host) *lua.LTable {
	t := l.CreateTable(len(hosts), 0)
	for _, h := range hosts {
		if h.Name == "" {
			t.Append(lua.LString(h.Addr.String()))
			continue
		}
		t.Append(lua.LString(h.Name))
	}
	return t
}

func dnsRBL(l *lua.LState) int {
	ip, base, r := ipArg(l), l.CheckString(2), resolverArg(l, 3)
	ctx, name := luahost.From(l).Context(), reverseIP(ip)+"."+strings.TrimSuffix(base, ".")
	addrs, err := r.LookupIP(ctx, name, dns.Ipv4Only)
	if dns.IsNotFound(err) || err == nil && len(addrs) == 0 {
		l.Push(lua.LNil)
		l.Push(lua.LNil)
		return 2
	}
	if err != nil {
		luahost.Fail(l, fmt.Errorf("kumo.dns.rbl_lookup: %w", err))
	}
	l.Push(lua.LString(addrs[0].String()))
	texts, err := r.LookupTXT(ctx, name)
	if err != nil || len(texts) == 0 {
		l.Push(lua.LNil)
		return 2
	}
	l.Push(lua.LString(strings.Join(texts, " ")))
	return 2
}
