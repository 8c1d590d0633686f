package egress

import (
	"context"
	"net"
	"net/netip"
)

// Target is one address to try. Name is the host's name with its trailing dot, or the text of the address.
type Target struct {
	Name string
	Addr netip.AddrPort
}

// String is `host./10.0.0.1`, as responses and logs show it.
func (t Target) String() string { return t.Name + "/" + t.Addr.Addr().String() }

// Dialer turns plans into connections.
type Dialer struct{}

// Targets lists the addresses to try for one session, in order. Errors are *Failure.
func (d *Dialer) Targets(ctx context.Context, plan *Plan) ([]Target, error) { panic("skeleton") }

// Dial connects to one target: bound to the source's address, within the path's connect_timeout.
func (d *Dialer) Dial(ctx context.Context, plan *Plan, t Target) (net.Conn, error) {
	panic("skeleton")
}

// EhloDomain is the name for EHLO: the path's, else the source's, else hostname.
func (p *Plan) EhloDomain(hostname string) string {
	if p.Path.EhloDomain != "" {
		return p.Path.EhloDomain
	}
	if p.Source.EhloDomain != "" {
		return p.Source.EhloDomain
	}
	return hostname
}
