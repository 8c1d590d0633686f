package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Target is one address to try. Name is the host's name with its trailing dot, or the text of the address.
type Target struct {
	Name string
	Addr netip.AddrPort
}

// String is `host./10.0.0.1`, as responses and logs show it.
func (t Target) String() string { return t.Name + "/" + t.Addr.Addr().String() }

// IPResolver finds the addresses of a host (*dns.Resolver).
type IPResolver interface {
	LookupIP(ctx context.Context, name string, strategy IPStrategy) ([]netip.Addr, error)
}

// DialFunc opens a TCP connection to addr, from local unless that is the zero Addr. ctx bounds it.
type DialFunc func(ctx context.Context, local netip.Addr, addr netip.AddrPort) (net.Conn, error)

// DialerConfig is what a dialer is made of.
type DialerConfig struct {
	Resolver IPResolver
	Dial     DialFunc // default: the network
	// Shuffle orders the hosts of one preference level anew for each session; default: at random.
	Shuffle func(n int, swap func(i, j int))
}

// Dialer turns plans into connections. It is safe for concurrent use.
type Dialer struct {
	resolver IPResolver
	dial     DialFunc
	shuffle  func(n int, swap func(i, j int))
}

// Dial connects to one target: bound to the source's address, within the path's connect_timeout. The error is a
// *DialError.
func (d *Dialer) Dial(ctx context.Context, plan *Plan, t Target) (net.Conn, error) {
	ctx, stop := context.WithTimeout(ctx, plan.Path.ConnectTimeout.Std())
	defer stop()
	conn, err := d.dial(ctx, plan.Source.SourceAddress, t.Addr)
	if err != nil {
		return nil, &DialError{Target: t, Source: plan.Source, Err: err}
	}
	return conn, nil
}

// dialNet is the network.
func dialNet(ctx context.Context, local netip.Addr, addr netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
	}
	return d.DialContext(ctx, "tcp", addr.String())
}

// DialError is a connection that could not be opened. It is never the message's fault.
type DialError struct {
	Target Target
	Source *Source
	Err    error
}

// Error names target, source and remedy.
func (e *DialError) Error() string {
	switch {
	case e.Unplumbed():
		return fmt.Sprintf("connect to %s: source_address %s of egress source %s is not an address of this machine: add it to an interface, or correct the source",
			e.Target, e.Source.SourceAddress, e.Source.Name)
	case e.Timeout():
		return fmt.Sprintf("connect to %s port %d: no answer within connect_timeout", e.Target, e.Target.Addr.Port())
	}
	err := e.Err
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // the rest repeats the addresses
	}
	return fmt.Sprintf("connect to %s port %d: %v", e.Target, e.Target.Addr.Port(), err)
}

func (e *DialError) Unwrap() error { return e.Err }

// Unplumbed reports that the source's address does not belong to this machine (EADDRNOTAVAIL).
func (e *DialError) Unplumbed() bool {
	return e.Source.SourceAddress.IsValid() && errors.Is(e.Err, syscall.EADDRNOTAVAIL)
}

// Timeout reports that the peer did not answer in time.
func (e *DialError) Timeout() bool {
	var ne net.Error
	return errors.Is(e.Err, context.DeadlineExceeded) || errors.As(e.Err, &ne) && ne.Timeout()
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
