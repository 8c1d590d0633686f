package dns

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// LookupMX finds the hosts that take mail for domain, which may be an address literal and may end in ":port" (which
// then holds for every host and shows in the site name). The result is shared and immutable.
//
//   - A null MX (RFC 7505) is an answer: IsNull.
//   - Without MX records the domain itself is the host (RFC 5321 5.1): IsMX is false. Its addresses are not looked
//     up here.
//   - localhost, and names of the hosts file that have no MX, are their own host.
//
// A hit in the cache costs no allocation when domain is in lower case. The error is *Error, or ctx's.
func (r *Resolver) LookupMX(ctx context.Context, domain string) (*MX, error) {
	if mx, ok := r.mx.Get(domain); ok {
		r.metrics.hit.Inc()
		return mx, nil
	}
	t, err := parseTarget(domain)
	if err != nil {
		return nil, &Error{Name: domain, Type: "MX", Kind: Invalid, Cause: err}
	}
	if t.name == "" {
		return literalMX(domain, t), nil
	}
	loaded := false
	mx, err := r.mx.GetOrLoad(ctx, t.name, func(ctx context.Context) (*MX, time.Duration, error) {
		loaded = true
		return r.measuredMX(ctx, t.name)
	})
	if !loaded {
		r.metrics.hit.Inc()
	}
	if err != nil || t.port == 0 {
		return mx, err
	}
	return r.mx.GetOrLoad(ctx, domain, func(context.Context) (*MX, time.Duration, error) {
		return mx.withPort(t.port), max(mx.Expires.Sub(r.now()), minTTL), nil
	})
}

// literalMX is the MX of an address literal: the address is host and site.
func literalMX(domain string, t target) *MX {
	hosts := []Host{{Addr: t.addr, Port: t.port}}
	return &MX{
		Domain:    domain,
		ByPref:    []Pref{{Hosts: hosts}},
		Site:      SiteName(hosts),
		IsLiteral: true,
		Hosts:     hosts,
	}
}

// measuredMX is loadMX with its metrics.
func (r *Resolver) measuredMX(ctx context.Context, name string) (*MX, time.Duration, error) {
	r.metrics.miss.Inc()
	r.metrics.inProgress.Inc()
	defer r.metrics.inProgress.Dec()
	mx, ttl, err := r.loadMX(ctx, name)
	if err != nil {
		r.metrics.fail.Inc()
	} else {
		r.metrics.ok.Inc()
	}
	return mx, ttl, err
}

// loadMX asks for the MX of a canonical name, within the limits on time and number.
func (r *Resolver) loadMX(ctx context.Context, name string) (*MX, time.Duration, error) {
	addrs, local := r.fromHosts(name)
	if local && len(addrs) > 0 && strings.IndexByte(name, '.') < 0 || isLocalhost(name) && r.hosts != nil {
		return r.ownHost(name, minTTL), minTTL, nil
	}
	if !r.slot(ctx) {
		return nil, -1, &Error{Name: name, Type: "MX", Kind: Temporary, Cause: errBusy}
	}
	defer func() { <-r.slots }()
	ctx, stop := context.WithTimeout(ctx, r.limits.MXTimeout)
	defer stop()
	a, err := resolve(ctx, r.backend, name+".", dns.TypeMX)
	var e *Error
	switch {
	case err == nil:
		return r.newMX(name, a)
	case local:
		return r.ownHost(name, minTTL), minTTL, nil
	case errors.As(err, &e) && e.Kind == NoData:
		ttl := r.keep(a.duration(), err)
		return r.ownHost(name, ttl), ttl, nil
	case IsNotFound(err):
		return nil, r.limits.MXNegativeTTL, err
	}
	return nil, r.limits.MXTransientTTL, err
}

// slot waits for its turn to look up an MX, as long as a lookup may take.
func (r *Resolver) slot(ctx context.Context) bool {
	select {
	case r.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(r.limits.MXTimeout)
	defer timer.Stop()
	select {
	case r.slots <- struct{}{}:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// errBusy is not kept: it says nothing about the domain.
var errBusy = errors.New("too many MX lookups are under way (set_mx_concurrency_limit)")

var errNoHost = errors.New("none of the MX records names a host")

// newMX makes an MX of MX records.
func (r *Resolver) newMX(name string, a answer) (*MX, time.Duration, error) {
	prefs, null := a.exchanges()
	if len(prefs) == 0 && !null {
		err := &Error{Name: name, Type: "MX", Kind: Temporary, Cause: errNoHost}
		return nil, r.limits.MXTransientTTL, err
	}
	ttl := r.keep(a.duration(), nil)
	mx := r.stamped(name, ttl)
	mx.IsMX, mx.IsNull, mx.ByPref = true, null, prefs
	for _, p := range prefs {
		mx.Hosts = append(mx.Hosts, p.Hosts...)
	}
	if !null {
		mx.Site = SiteName(mx.Hosts)
	}
	return mx, ttl, nil
}

// ownHost is the MX of a domain without MX records: itself.
func (r *Resolver) ownHost(name string, ttl time.Duration) *MX {
	mx := r.stamped(name, ttl)
	mx.Hosts = []Host{{Name: name + "."}}
	mx.ByPref = []Pref{{Hosts: mx.Hosts}}
	mx.Site = SiteName(mx.Hosts)
	return mx
}

func (r *Resolver) stamped(name string, ttl time.Duration) *MX {
	return &MX{Domain: name + ".", TTL: uint32(ttl / time.Second), Expires: r.now().Add(ttl)}
}

// withPort is mx with a port on every host.
func (mx *MX) withPort(port uint16) *MX {
	c := *mx
	c.Hosts, c.ByPref = nil, nil
	for _, p := range mx.ByPref {
		hosts := make([]Host, len(p.Hosts))
		for i, h := range p.Hosts {
			h.Port = port
			hosts[i] = h
		}
		c.ByPref = append(c.ByPref, Pref{p.Value, hosts})
		c.Hosts = append(c.Hosts, hosts...)
	}
	if !mx.IsNull {
		c.Site = SiteName(c.Hosts)
	}
	return &c
}
