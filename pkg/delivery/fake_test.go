package delivery

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kumo/pkg/dns"
	"kumo/pkg/egress"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/option"
)

// peer is the server's side of a scripted conversation. A failing step ends the script, as a closed connection ends
// a server.
type peer struct {
	net.Conn
	in *bufio.Reader
}

// hung is how a script ends when the other side is gone.
type hung struct{ err error }

func newPeer(c net.Conn) *peer { return &peer{c, bufio.NewReader(c)} }

// say writes lines, each with CRLF.
func (p *peer) say(lines ...string) {
	if _, err := io.WriteString(p, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		panic(hung{err})
	}
}

// hear reads one command.
func (p *peer) hear() string {
	line, err := p.in.ReadString('\n')
	if err != nil {
		panic(hung{err})
	}
	return strings.TrimRight(line, "\r\n")
}

// text reads a message up to its end mark, undoing dot-stuffing.
func (p *peer) text() string {
	var b strings.Builder
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			panic(hung{err})
		}
		if line == ".\r\n" {
			return b.String()
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

// wait blocks until the other side closes.
func (p *peer) wait() { _, _ = io.Copy(io.Discard, p.in) }

func (p *peer) hello(caps ...string) {
	p.say("220 fake.test ESMTP")
	p.hear()
	lines := append([]string{"fake.test"}, caps...)
	for i := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		lines[i] = "250" + sep + lines[i]
	}
	p.say(lines...)
}

// take serves one transaction with one recipient in a group; rset tells that RSET comes first.
func (p *peer) take(rset bool) string {
	n := 3
	if rset {
		n++
	}
	for range n {
		p.hear()
	}
	if rset {
		p.say("250 2.0.0 flushed")
	}
	p.say("250 2.1.0 sender", "250 2.1.5 recipient", "354 go")
	text := p.text()
	p.say("250 2.0.0 queued as 1")
	return text
}

// serve runs a script; the other side going away is a normal end.
func serve(c net.Conn, script func(*peer)) {
	defer c.Close()
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(hung); !ok {
				panic(r)
			}
		}
	}()
	script(newPeer(c))
}

// fakeDialer has one script per target; a nil script refuses the connection. Beyond that it counts.
type fakeDialer struct {
	scripts []func(*peer)
	tcp     bool // real sockets instead of pipes
	names   []string

	mu      sync.Mutex
	dials   []string
	running sync.WaitGroup
}

func (d *fakeDialer) Targets(context.Context, *egress.Plan) ([]egress.Target, error) {
	var out []egress.Target
	for i := range d.scripts {
		name := fmt.Sprintf("mx%d.test.", i+1)
		if i < len(d.names) {
			name = d.names[i]
		}
		out = append(out, egress.Target{Name: name, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 25)})
	}
	return out, nil
}

func (d *fakeDialer) Dial(_ context.Context, plan *egress.Plan, t egress.Target) (net.Conn, error) {
	d.mu.Lock()
	d.dials = append(d.dials, t.Name)
	d.mu.Unlock()
	script := d.scripts[t.Addr.Addr().As4()[3]-1]
	if script == nil {
		return nil, &egress.DialError{Target: t, Source: plan.Source, Err: errors.New("connection refused")}
	}
	ours, theirs := net.Pipe()
	if d.tcp {
		ours, theirs = tcpPair()
	}
	d.running.Go(func() { serve(theirs, script) })
	return ours, nil
}

// tcpPair is a connection over loopback.
func tcpPair() (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b, err = l.Accept()
		if err != nil {
			panic(err)
		}
	}()
	a, err2 := net.Dial("tcp", l.Addr().String())
	if err2 != nil {
		panic(err2)
	}
	<-done
	return a, b
}

func testPlan(change ...func(*egress.Path)) *egress.Plan {
	second := option.Duration(time.Second)
	path := &egress.Path{
		MaxRecipientsPerBatch: 100,
		ConnectTimeout:        60 * second, BannerTimeout: 60 * second, EhloTimeout: 300 * second,
		MailFromTimeout: 300 * second, RcptToTimeout: 300 * second, DataTimeout: 300 * second, DataDotTimeout: 300 * second,
		RsetTimeout: 5 * second, StarttlsTimeout: 5 * second, IdleTimeout: 5 * second,
		EnableTLS: egress.TLSOpportunistic, EnablePipelining: true, EnableRset: true,
		ReconnectStrategy: egress.ConnectNextHost, ProviderName: "prov",
	}
	for _, f := range change {
		f(path)
	}
	return &egress.Plan{
		Key: "src->mx.test@smtp_client", Site: "mx.test", Pool: "pool", RoutingDomain: "test",
		Source: &egress.Source{Name: "src"}, Path: path, MX: &dns.MX{Domain: "test."},
	}
}

const sampleText = "Subject: hello\r\n\r\n.dot\r\ntext\r\n..\r\n"

func testMessage(to ...string) *message.Message {
	m := &message.Message{Sender: mail.Restore("from@sender.test")}
	for _, r := range to {
		m.Recipients = append(m.Recipients, mail.Restore(r))
	}
	m.SetData([]byte(sampleText))
	return m
}

// open opens a session to scripts.
func open(t *testing.T, d *fakeDialer, plan *egress.Plan) (egress.Session, error) {
	t.Helper()
	return New(Options{Dialer: d, Hostname: "client.test"}).Carrier(plan).Open(t.Context(), plan)
}

func mustOpen(t *testing.T, d *fakeDialer, plan *egress.Plan) egress.Session {
	t.Helper()
	s, err := open(t, d, plan)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// outcomes writes a result in short: `Delivered "." 250 a@b; Transient "RCPT TO" 452 c@d`, with + for "unsent" and ! for "done".
func outcomes(m *message.Message, res egress.Result) string {
	names := []string{"Delivered", "Transient", "Permanent", "Delayed", "Retried"}
	var out []string
	for _, a := range res.Attempts {
		to := a.Recipients
		if to == nil {
			to = m.Recipients
		}
		s := fmt.Sprintf("%s %q %d", names[a.Outcome], a.Response.Command, a.Response.Code)
		for _, r := range to {
			s += " " + r.String()
		}
		out = append(out, s)
	}
	s := strings.Join(out, "; ")
	if res.Unsent {
		s += "+"
	}
	if res.Done {
		s += "!"
	}
	return s
}

// onceEach fails unless the attempts of a result name every recipient exactly once, those apart that were followed by
// another.
func onceEach(t *testing.T, m *message.Message, res egress.Result) {
	t.Helper()
	if res.Unsent {
		if len(res.Attempts) > 0 {
			t.Errorf("an unsent message has attempts: %s", outcomes(m, res))
		}
		return
	}
	count := make(map[mail.Address]int)
	for _, a := range res.Attempts {
		to := a.Recipients
		if to == nil {
			to = m.Recipients
		}
		for _, r := range to {
			if a.Outcome != message.Retried {
				count[r]++
			}
		}
	}
	for _, r := range m.Recipients {
		if count[r] != 1 {
			t.Errorf("recipient %s has %d outcomes: %s", r, count[r], outcomes(m, res))
		}
	}
}
