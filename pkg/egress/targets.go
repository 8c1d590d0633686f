package egress

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kumo/pkg/dns"
)

// Bounds on one session's targets.
const (
	maxTargets  = 100              // addresses tried in one session
	maxLookups  = 8                // hosts looked up at once
	lookupLimit = 20 * time.Second // for the addresses of all hosts together
)

// NewDialer makes a dialer.
func NewDialer(cfg DialerConfig) *Dialer {
	d := &Dialer{resolver: cfg.Resolver, dial: cfg.Dial, shuffle: cfg.Shuffle}
	if d.dial == nil {
		d.dial = dialNet
	}
	if d.shuffle == nil {
		d.shuffle = rand.Shuffle
	}
	return d
}

// Targets lists the addresses to try for one session, in order.
//
//  1. The hosts go by preference, in a new order inside each level; an mx_list keeps its order.
//  2. Each is resolved by the path's ip_lookup_strategy; a host that fails is left out.
//  3. One address on prohibited_hosts fails the whole ready queue for good.
//  4. Addresses on skip_hosts, and those that the source's address cannot reach, are left out.
//  5. The port is the source's remote_port, else the host's, else the path's smtp_port.
//
// There is at least one target. Errors are *Failure and apply to the whole ready queue.
func (d *Dialer) Targets(ctx context.Context, plan *Plan) ([]Target, error) {
	hosts := d.hosts(plan.MX)
	addrs, cause := d.resolve(ctx, hosts, strategyFor(plan))
	if err := ctx.Err(); err != nil && cause != nil {
		return nil, zeroHosts(err)
	}
	s := selection{plan: plan}
	for i, h := range hosts {
		if f := s.add(h, addrs[i]); f != nil {
			return nil, f
		}
	}
	switch {
	case len(s.targets) > 0:
		return s.targets, nil
	case s.skipped > 0:
		return nil, skipped()
	case s.unreachable > 0:
		cause = fmt.Errorf("no host has an address of the family of source_address %s", plan.Source.SourceAddress)
	}
	return nil, zeroHosts(cause)
}

// hosts is the order of trying.
func (d *Dialer) hosts(mx *dns.MX) []dns.Host {
	hosts := make([]dns.Host, 0, len(mx.Hosts))
	for _, level := range mx.ByPref {
		from := len(hosts)
		hosts = append(hosts, level.Hosts...)
		if part := hosts[from:]; len(part) > 1 {
			d.shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
		}
	}
	return hosts
}

// strategyFor is the path's strategy, narrowed to the family that the source's address can reach.
func strategyFor(plan *Plan) IPStrategy {
	src := plan.Source.SourceAddress
	switch s := plan.Path.IPLookupStrategy; {
	case !src.IsValid(), s == dns.Ipv4Only, s == dns.Ipv6Only:
		return s
	case src.Unmap().Is4():
		return dns.Ipv4Only
	}
	return dns.Ipv6Only
}

// resolve looks the hosts up, several at a time, and returns the addresses by host, and one of the errors if there
// were any.
func (d *Dialer) resolve(ctx context.Context, hosts []dns.Host, strategy IPStrategy) ([][]netip.Addr, error) {
	ctx, stop := context.WithTimeout(ctx, lookupLimit)
	defer stop()
	addrs := make([][]netip.Addr, len(hosts))
	errs := make([]error, len(hosts))
	one := func(i int) {
		if h := hosts[i]; h.Addr.IsValid() {
			addrs[i] = []netip.Addr{h.Addr}
		} else {
			addrs[i], errs[i] = d.resolver.LookupIP(ctx, h.Name, strategy)
		}
	}
	if len(hosts) == 1 {
		one(0)
		return addrs, errs[0]
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxLookups)
	for i := range hosts {
		slots <- struct{}{}
		wg.Go(func() {
			one(i)
			<-slots
		})
	}
	wg.Wait()
	i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if i < 0 {
		return addrs, nil
	}
	return addrs, errs[i]
}

// selection collects the targets of a plan.
type selection struct {
	plan        *Plan
	targets     []Target
	skipped     int
	unreachable int
}

// add takes the addresses of a host. A prohibited one ends everything.
func (s *selection) add(h dns.Host, addrs []netip.Addr) *Failure {
	path, src := s.plan.Path, s.plan.Source
	for _, a := range addrs {
		a = a.Unmap()
		t := Target{Name: h.Name, Addr: netip.AddrPortFrom(a, cmp.Or(src.RemotePort, h.Port, path.SMTPPort))}
		if t.Name == "" {
			t.Name = a.String()
		}
		switch {
		case path.ProhibitedHosts.Contains(a):
			return prohibited(t)
		case path.SkipHosts.Contains(a):
			s.skipped++
		case src.SourceAddress.IsValid() && src.SourceAddress.Unmap().Is4() != a.Is4():
			s.unreachable++
		case len(s.targets) < maxTargets && !slices.Contains(s.targets, t):
			s.targets = append(s.targets, t)
		}
	}
	return nil
}
