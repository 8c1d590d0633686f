package delivery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"time"

	"kumo/pkg/egress"
)

// Dialer finds and reaches the hosts of a plan; egress.Dialer is one.
type Dialer interface {
	// Targets lists the addresses to try for one session, in order. Errors are *egress.Failure.
	Targets(ctx context.Context, plan *egress.Plan) ([]egress.Target, error)
	// Dial connects to one of them from the plan's source, within its connect_timeout.
	Dial(ctx context.Context, plan *egress.Plan, t egress.Target) (net.Conn, error)
}

// Options are what carriers need of the node.
type Options struct {
	Dialer   Dialer
	Hostname string           // our name in EHLO where neither path nor source has an ehlo_domain
	Roots    *x509.CertPool   // certificate authorities; nil: the bundle of the system
	Now      func() time.Time // for remember_broken_tls; nil: time.Now
}

// Carriers has a carrier for every protocol.
type Carriers struct {
	smtp *SMTP
}

// New makes the carriers.
func New(o Options) *Carriers { return &Carriers{smtp: NewSMTP(o)} }

// Carrier is the carrier for the protocol of plan.
func (c *Carriers) Carrier(*egress.Plan) egress.Carrier { return c.smtp }

// SMTP is the carrier of ESMTP (RFC 5321). It is safe for concurrent use; its sessions belong to one goroutine each.
type SMTP struct {
	dialer   Dialer
	hostname string
	roots    *x509.CertPool
	tickets  tls.ClientSessionCache
	broken   *brokenTLS
}

// ticketCache is how many hosts' TLS session tickets are kept: resuming saves the peer and us most of a handshake.
const ticketCache = 1024

// NewSMTP makes the SMTP carrier.
func NewSMTP(o Options) *SMTP {
	now := o.Now
	if now == nil {
		now = time.Now
	}
	return &SMTP{
		dialer:   o.Dialer,
		hostname: o.Hostname,
		roots:    o.Roots,
		tickets:  tls.NewLRUClientSessionCache(ticketCache),
		broken:   newBrokenTLS(now),
	}
}
