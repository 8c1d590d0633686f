package dns

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"kumo/pkg/cache"
)

// Limits are what kumo.dns.set_mx_* set. Zero values give the defaults.
type Limits struct {
	MXTimeout      time.Duration // for one MX lookup with everything that it takes; default 5 s
	MXConcurrency  int           // MX lookups at once; default 128
	MXNegativeTTL  time.Duration // how long "there is no such domain" is believed; default 5 minutes
	MXTransientTTL time.Duration // how long a lookup that got no answer is not tried again; default 30 s
}

func (l Limits) withDefaults() Limits {
	return Limits{
		MXTimeout:      cmp.Or(l.MXTimeout, 5*time.Second),
		MXConcurrency:  cmp.Or(l.MXConcurrency, 128),
		MXNegativeTTL:  cmp.Or(l.MXNegativeTTL, 5*time.Minute),
		MXTransientTTL: cmp.Or(l.MXTransientTTL, 30*time.Second),
	}
}

// Config is what a resolver is made of. Every zero value works.
type Config struct {
	Options ResolverOptions  // kumo.dns.configure_resolver
	Limits  Limits           // kumo.dns.set_mx_*
	Now     func() time.Time // default time.Now
	Hosts   string           // path of the hosts file; default /etc/hosts
	Caches  *cache.Set       // where the caches are measured and sized; its clock should be Now
	Metrics *Metrics         // default: counted and shown nowhere
}

// Bounds on how long an answer is used, whatever its TTL says: a TTL of 0 would mean one question per message, a
// huge one a mistake that nobody can take back.
const (
	minTTL = time.Second
	maxTTL = 24 * time.Hour
)

// Resolver looks names up. It is safe for concurrent use.
type Resolver struct {
	backend backend
	hosts   *hostsFile // nil: use_hosts_file is Never
	opt     LookupOptions
	limits  Limits
	metrics *Metrics
	now     func() time.Time
	slots   chan struct{} // MX lookups under way

	mx     *cache.Cache[string, *MX]          // dns_resolver_mx
	v4, v6 *cache.Cache[string, []netip.Addr] // dns_resolver_ipv4, dns_resolver_ipv6
	texts  *cache.Cache[string, []string]     // dns_resolver_text
}

func newResolver(cfg Config, b backend) *Resolver {
	cfg.Options.Options = cfg.Options.Options.orDefault()
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	set := cfg.Caches
	if set == nil {
		set = cache.NewSet(nil, now)
	}
	metrics := cfg.Metrics
	if metrics == nil {
		metrics = NewMetrics(nil)
	}
	r := &Resolver{
		backend: b,
		opt:     cfg.Options.Options,
		limits:  cfg.Limits.withDefaults(),
		metrics: metrics,
		now:     now,
		mx:      cache.New[string, *MX](set, "dns_resolver_mx", cache.Options{}),
		v4:      cache.New[string, []netip.Addr](set, "dns_resolver_ipv4", cache.Options{}),
		v6:      cache.New[string, []netip.Addr](set, "dns_resolver_ipv6", cache.Options{}),
		texts:   cache.New[string, []string](set, "dns_resolver_text", cache.Options{Capacity: cfg.Options.Options.CacheSize}),
	}
	r.slots = make(chan struct{}, r.limits.MXConcurrency)
	if r.opt.UseHostsFile != "Never" {
		r.hosts = &hostsFile{path: cmp.Or(cfg.Hosts, "/etc/hosts"), now: now}
	}
	return r
}

// keep is how long a result is kept: an answer for its TTL, "there is none" and failures as the options say.
func (r *Resolver) keep(ttl time.Duration, err error) time.Duration {
	lo, hi := minTTL, maxTTL
	switch {
	case err == nil:
		lo = cmp.Or(r.opt.PositiveMinTTL.Std(), lo)
		hi = cmp.Or(r.opt.PositiveMaxTTL.Std(), hi)
	case IsNotFound(err):
		lo = cmp.Or(r.opt.NegativeMinTTL.Std(), lo)
		hi = cmp.Or(r.opt.NegativeMaxTTL.Std(), r.limits.MXNegativeTTL)
	default:
		return r.limits.MXTransientTTL
	}
	return max(lo, min(ttl, hi))
}

// LookupTXT is the TXT records of name, the strings of each joined (RFC 7208 3.3). The result is shared.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	name, err := askable(name)
	if err != nil {
		return nil, err
	}
	return r.lookupTexts(ctx, name, dns.TypeTXT)
}

// LookupPTR is the names of an address, in lower case with the root dot. The result is shared.
func (r *Resolver) LookupPTR(ctx context.Context, addr netip.Addr) ([]string, error) {
	name, err := dns.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return nil, &Error{Name: addr.String(), Type: "PTR", Kind: Invalid, Cause: err}
	}
	return r.lookupTexts(ctx, name, dns.TypePTR)
}

func (r *Resolver) lookupTexts(ctx context.Context, name string, qtype uint16) ([]string, error) {
	return r.texts.GetOrLoad(ctx, dns.TypeToString[qtype]+" "+name, func(ctx context.Context) ([]string, time.Duration, error) {
		ctx, stop := context.WithTimeout(ctx, r.limits.MXTimeout)
		defer stop()
		a, err := resolve(ctx, r.backend, name, qtype)
		return a.texts(), r.keep(a.duration(), err), err
	})
}

// askable is the form in which names are asked for: canonical, always with the root dot.
func askable(name string) (string, error) {
	c, err := Canonical(name)
	if err != nil {
		return "", &Error{Name: name, Kind: Invalid, Cause: err}
	}
	return c + ".", nil
}

// LookupIP is the addresses of a host, IPv4 first unless strategy says otherwise. Names of the hosts file and
// localhost need no DNS. It is an error to have none. The result is shared unless it holds both families.
func (r *Resolver) LookupIP(ctx context.Context, name string, strategy IPStrategy) ([]netip.Addr, error) {
	name, err := askable(name)
	if err != nil {
		return nil, err
	}
	if addrs, ok := r.fromHosts(name); ok {
		return chosen(name, addrs, strategy)
	}
	switch strategy {
	case Ipv4Only:
		return r.family(ctx, r.v4, name, dns.TypeA)
	case Ipv6Only:
		return r.family(ctx, r.v6, name, dns.TypeAAAA)
	case Ipv4ThenIpv6, Ipv6ThenIpv4:
		return r.oneFamily(ctx, name, strategy)
	}
	return r.bothFamilies(ctx, name)
}

func (r *Resolver) fromHosts(name string) ([]netip.Addr, bool) {
	if r.hosts == nil {
		return nil, false
	}
	return r.hosts.lookup(strings.TrimSuffix(name, "."))
}

// chosen applies a strategy to addresses of both families.
func chosen(name string, addrs []netip.Addr, strategy IPStrategy) ([]netip.Addr, error) {
	var v4, v6 []netip.Addr
	for _, a := range addrs {
		if a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	out := append(v4[:len(v4):len(v4)], v6...)
	switch {
	case strategy == Ipv4Only, strategy == Ipv4ThenIpv6 && len(v4) > 0:
		out = v4
	case strategy == Ipv6Only, strategy == Ipv6ThenIpv4 && len(v6) > 0:
		out = v6
	}
	if len(out) == 0 {
		return nil, &Error{Name: strings.TrimSuffix(name, "."), Kind: NoData}
	}
	return out, nil
}

// oneFamily is the preferred family, or the other where the first has none or fails.
func (r *Resolver) oneFamily(ctx context.Context, name string, strategy IPStrategy) ([]netip.Addr, error) {
	first, second := r.lookup4, r.lookup6
	if strategy == Ipv6ThenIpv4 {
		first, second = second, first
	}
	addrs, err := first(ctx, name)
	if err == nil {
		return addrs, nil
	}
	other, err2 := second(ctx, name)
	if err2 == nil {
		return other, nil
	}
	return nil, worse(err, err2)
}

// bothFamilies asks for both at once.
func (r *Resolver) bothFamilies(ctx context.Context, name string) ([]netip.Addr, error) {
	type result struct {
		addrs []netip.Addr
		err   error
	}
	ch := make(chan result, 1)
	go func() {
		a, err := r.lookup6(ctx, name)
		ch <- result{a, err}
	}()
	v4, err4 := r.lookup4(ctx, name)
	v6 := <-ch
	if err4 != nil && v6.err != nil {
		return nil, worse(err4, v6.err)
	}
	return append(v4[:len(v4):len(v4)], v6.addrs...), nil
}

// worse is the error that leaves more hope: a name without addresses of one family may have some of the other,
// which could not be asked for.
func worse(a, b error) error {
	if IsTemporary(a) {
		return a
	}
	return b
}

func (r *Resolver) lookup4(ctx context.Context, name string) ([]netip.Addr, error) {
	return r.family(ctx, r.v4, name, dns.TypeA)
}

func (r *Resolver) lookup6(ctx context.Context, name string) ([]netip.Addr, error) {
	return r.family(ctx, r.v6, name, dns.TypeAAAA)
}

func (r *Resolver) family(ctx context.Context, c *cache.Cache[string, []netip.Addr], name string, qtype uint16) ([]netip.Addr, error) {
	return c.GetOrLoad(ctx, name, func(ctx context.Context) ([]netip.Addr, time.Duration, error) {
		ctx, stop := context.WithTimeout(ctx, r.limits.MXTimeout)
		defer stop()
		a, err := resolve(ctx, r.backend, name, qtype)
		addrs := a.addrs()
		if err == nil && len(addrs) == 0 {
			err = &Error{Name: strings.TrimSuffix(name, "."), Type: dns.TypeToString[qtype], Kind: Temporary, Cause: errNoAddr}
		}
		return addrs, r.keep(a.duration(), err), err
	})
}

var errNoAddr = errors.New("the records hold no address")
