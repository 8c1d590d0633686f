package dns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/miekg/dns"
)

// zones answers from zone files in memory, as an authoritative server does: aliases, wildcards (RFC 4592), and the
// difference between a name without records and no name. Names outside all zones do not exist.
type zones struct {
	names    map[string][]dns.RR // by owner, lower case with root dot; names that only have children are here too
	servfail map[string]bool
}

// TestResolverOptions is kumo.dns.configure_test_resolver: lookups are answered from these zones, never from the
// network.
type TestResolverOptions struct {
	// Zones as text in master-file form (RFC 1035 5), usually with $ORIGIN.
	Zones []string `opt:"zones"`
	// Names for which every lookup fails as if the server were broken.
	Servfail []string `opt:"servfail"`
}

// NewZones makes a resolver of zones in master-file form (RFC 1035 5). Records without a TTL live 60 s. Errors name
// the zone by its number, from 1, and the line.
func NewZones(texts ...string) (*Resolver, error) {
	return NewTest(TestResolverOptions{Zones: texts}, Config{})
}

// NewTest is NewZones with everything that can be said.
func NewTest(opt TestResolverOptions, cfg Config) (*Resolver, error) {
	z, err := newZones(opt)
	if err != nil {
		return nil, err
	}
	// Of the hosts file only localhost remains, and not even that when a zone has it: tests are the same everywhere.
	cfg.Hosts = os.DevNull
	if _, ok := z.names["localhost."]; ok {
		cfg.Options.Options.UseHostsFile = "Never"
	}
	return newResolver(cfg, z), nil
}

func newZones(opt TestResolverOptions) (*zones, error) {
	z := &zones{names: map[string][]dns.RR{}, servfail: map[string]bool{}}
	for i, text := range opt.Zones {
		if err := z.parse(text); err != nil {
			return nil, fmt.Errorf("zone %d: %w", i+1, err)
		}
	}
	for _, name := range opt.Servfail {
		z.servfail[dns.CanonicalName(name)] = true
	}
	return z, nil
}

func (z *zones) parse(text string) error {
	p := dns.NewZoneParser(strings.NewReader(text), ".", "")
	p.SetDefaultTTL(60)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		name := dns.CanonicalName(rr.Header().Name)
		z.names[name] = append(z.names[name], rr)
		for i, end := dns.NextLabel(name, 0); !end; i, end = dns.NextLabel(name, i) {
			if _, have := z.names[name[i:]]; !have {
				z.names[name[i:]] = nil
			}
		}
	}
	return p.Err()
}

var errServfail = errors.New("the server failed (SERVFAIL)")

func (z *zones) ask(_ context.Context, name string, qtype uint16) (*dns.Msg, error) {
	if z.servfail[name] {
		return nil, errServfail
	}
	msg := new(dns.Msg)
	for range maxCNAMEs + 1 {
		rrs, ok := z.find(name)
		if !ok {
			msg.Rcode = dns.RcodeNameError
			break
		}
		next := ""
		found := false
		for _, rr := range rrs {
			rr = withOwner(rr, name)
			switch rr.Header().Rrtype {
			case qtype:
				msg.Answer = append(msg.Answer, rr)
				found = true
			case dns.TypeCNAME:
				msg.Answer = append(msg.Answer, rr)
				next = dns.CanonicalName(rr.(*dns.CNAME).Target)
			}
		}
		if found || next == "" {
			break
		}
		name = next
	}
	msg.Ns = z.soa(name)
	return msg, nil
}

// find is the records of name, those of the closest wildcard if it has none of its own.
func (z *zones) find(name string) ([]dns.RR, bool) {
	if rrs, ok := z.names[name]; ok {
		return rrs, true
	}
	for i, end := dns.NextLabel(name, 0); !end; i, end = dns.NextLabel(name, i) {
		if rrs, ok := z.names["*."+name[i:]]; ok {
			return rrs, true
		}
		if _, ok := z.names[name[i:]]; ok {
			break
		}
	}
	return nil, false
}

func withOwner(rr dns.RR, name string) dns.RR {
	if rr.Header().Name == name {
		return rr
	}
	rr = dns.Copy(rr)
	rr.Header().Name = name
	return rr
}

// soa is the SOA of the zone that name belongs to, for negative answers.
func (z *zones) soa(name string) []dns.RR {
	for i, end := 0, false; !end; i, end = dns.NextLabel(name, i) {
		for _, rr := range z.names[name[i:]] {
			if rr.Header().Rrtype == dns.TypeSOA {
				return []dns.RR{rr}
			}
		}
	}
	return nil
}
