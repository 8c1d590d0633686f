package delivery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// quitTimeout bounds the goodbye to a peer that may not care to answer.
const quitTimeout = 2 * time.Second

// Open connects to the first target of plan that takes us. The error is a *egress.Failure: of the dialer, when there
// is nothing to connect to, else 451 4.4.1 with every host's reason as its cause. Failures to connect are always
// transient and belong to no message.
func (c *SMTP) Open(ctx context.Context, plan *egress.Plan) (egress.Session, error) {
	s := &session{smtp: c, plan: plan, path: plan.Path}
	began := time.Now()
	targets, err := c.dialer.Targets(ctx, plan)
	s.took(message.SpentDNS, plan.RoutingDomain, began)
	if err != nil {
		return nil, unreached(err, s.spent)
	}
	s.targets = targets
	if err := s.connect(ctx); err != nil {
		return nil, &egress.Failure{
			Outcome: message.Transient,
			Reason:  message.TooManyConnectionFailures,
			Reply:   smtp.NewReply(451, "4.4.1", "No answer from any hosts listed in MX"),
			Cause:   err,
			Spent:   s.spent,
		}
	}
	s.opening = s.bill()
	return s, nil
}

// unreached adds to a failure of the dialer what it took to find out.
func unreached(err error, spent []message.Span) error {
	var f *egress.Failure
	if len(spent) == 0 || !errors.As(err, &f) {
		return err
	}
	g := *f
	g.Spent = spent
	return &g
}

// HostErrors are the reasons why no host took us, one per host in the order of trying.
type HostErrors []error

func (h HostErrors) Error() string {
	texts := make([]string, len(h))
	for i, err := range h {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (h HostErrors) Unwrap() []error { return h }

// HostError is why one host did not take us: `host./10.0.0.1: connection refused`.
type HostError struct {
	Target egress.Target
	Err    error
}

func (e *HostError) Error() string { return e.Target.String() + ": " + hostReason(e.Err) }

func (e *HostError) Unwrap() error { return e.Err }

// hostReason is err without the names that HostError has said already.
func hostReason(err error) string {
	var dial *egress.DialError
	if !errors.As(err, &dial) || dial.Unplumbed() {
		return err.Error()
	}
	var sys syscall.Errno
	switch {
	case dial.Timeout():
		return "no answer within connect_timeout"
	case errors.As(dial.Err, &sys):
		return sys.Error()
	}
	return dial.Err.Error()
}

// refusal is a reply that ends a connection before there was mail.
type refusal struct{ reply smtp.Reply }

func (r *refusal) Error() string { return r.reply.Command + ": " + r.reply.String() }

// connect tries the targets that are left, in order.
func (s *session) connect(ctx context.Context) error {
	var why HostErrors
	for s.next < len(s.targets) {
		t := s.targets[s.next]
		s.current = s.next
		s.next++
		err := s.connectTo(ctx, t)
		if err == nil {
			return nil
		}
		why = append(why, &HostError{t, err})
		if ctx.Err() != nil {
			return why
		}
	}
	if len(why) == 0 {
		return errors.New("there is no host to connect to")
	}
	return why
}

// connectTo connects to one target; a second time without TLS where the path wants that after a failed handshake.
func (s *session) connectTo(ctx context.Context, t egress.Target) error {
	mode := s.path.EnableTLS
	useTLS := mode != egress.TLSDisabled
	if !mode.Required() && s.path.RememberBrokenTLS > 0 && s.smtp.broken.has(s.plan.Site) {
		useTLS = false
	}
	err := s.greet(ctx, t, useTLS)
	if mode.Required() || !brokenHandshake(err) {
		return err
	}
	if s.path.RememberBrokenTLS > 0 {
		s.smtp.broken.add(s.plan.Site, s.path.RememberBrokenTLS.Std())
	}
	if s.path.OpportunisticTLSReconnectOnFailedHandshake && ctx.Err() == nil {
		return s.greet(ctx, t, false)
	}
	return err
}

// brokenHandshake reports that STARTTLS was begun and led nowhere. An answer planted behind the 220 is not that: it
// smells of an attack, which must not be rewarded with clear text.
func brokenHandshake(err error) bool {
	var e *smtp.ConnError
	return errors.As(err, &e) && e.Stage == "STARTTLS" &&
		(e.Kind == smtp.KindTLS || e.Kind == smtp.KindTimeout || e.Kind == smtp.KindClosed)
}

// greet dials and talks up to the point where mail can be sent.
func (s *session) greet(ctx context.Context, t egress.Target, useTLS bool) error {
	began := time.Now()
	nc, err := s.smtp.dialer.Dial(ctx, s.plan, t)
	s.took(message.SpentConnect, t.String(), began)
	if err != nil {
		return err
	}
	c := smtp.NewConn(nc)
	stop := context.AfterFunc(ctx, c.Abort)
	err = s.hello(c, t, useTLS)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	s.waited(c, t)
	if err != nil {
		c.Quit(quitTimeout)
		return err
	}
	s.conn, s.used, s.dirty = c, false, false
	s.pipe = s.path.EnablePipelining && c.Caps.Pipelining
	s.route = message.Route{
		Site:      s.plan.Key,
		Pool:      s.plan.Pool,
		Source:    s.plan.Source.Name,
		Provider:  s.path.ProviderName,
		Protocol:  "ESMTP",
		PeerName:  t.Name,
		PeerAddr:  t.Addr.Addr(),
		LocalAddr: localAddr(nc),
		TLS:       c.TLS,
		SessionID: message.NewSessionID(),
	}
	return nil
}

// hello takes the banner, says EHLO and does what enable_tls says.
func (s *session) hello(c *smtp.Conn, t egress.Target, useTLS bool) error {
	r, err := c.Read("banner", s.path.BannerTimeout.Std())
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return &refusal{r}
	}
	if err := s.ehlo(c); err != nil {
		return err
	}
	if useTLS && c.Caps.StartTLS {
		config := smtp.ClientTLS(t.Name, s.path.EnableTLS.Verify(), s.smtp.roots, s.smtp.tickets)
		r, err = c.StartTLS(config, s.path.StarttlsTimeout.Std())
		switch {
		case err != nil:
			return err
		case c.TLS != nil:
			return s.ehlo(c)
		case r.Code == 421:
			return &refusal{r}
		}
	}
	if s.path.EnableTLS.Required() && c.TLS == nil {
		if r.Command == "STARTTLS" {
			return &refusal{r}
		}
		return fmt.Errorf("enable_tls is %s, but the host does not offer STARTTLS", s.path.EnableTLS)
	}
	return nil
}

// ehlo says EHLO, and HELO to a host that does not know it.
func (s *session) ehlo(c *smtp.Conn) error {
	name, timeout := s.plan.EhloDomain(s.smtp.hostname), s.path.EhloTimeout.Std()
	r, err := c.Ehlo(name, timeout)
	if err == nil && r.Permanent() {
		r, err = c.Helo(name, timeout)
	}
	if err != nil {
		return err
	}
	if r.Code != 250 {
		return &refusal{r}
	}
	return nil
}

func localAddr(nc net.Conn) netip.AddrPort {
	if a, ok := nc.LocalAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
