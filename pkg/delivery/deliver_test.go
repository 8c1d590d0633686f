package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"kumo/pkg/egress"
	"kumo/pkg/kumotest"
	"kumo/pkg/mail"
	"kumo/pkg/message"
)

// sinkDialer connects to a server that is not ours and keeps what we write.
type sinkDialer struct {
	addr string
	name string
	mu   sync.Mutex
	wire bytes.Buffer
	n    int
}

type tap struct {
	net.Conn
	d *sinkDialer
}

func (c *tap) Write(b []byte) (int, error) {
	c.d.mu.Lock()
	c.d.wire.Write(b)
	c.d.n++
	c.d.mu.Unlock()
	return c.Conn.Write(b)
}

func (d *sinkDialer) Targets(context.Context, *egress.Plan) ([]egress.Target, error) {
	return []egress.Target{{Name: d.name, Addr: netip.MustParseAddrPort(d.addr)}}, nil
}

func (d *sinkDialer) Dial(ctx context.Context, _ *egress.Plan, t egress.Target) (net.Conn, error) {
	var nd net.Dialer
	c, err := nd.DialContext(ctx, "tcp", t.Addr.String())
	if err != nil {
		return nil, err
	}
	return &tap{c, d}, nil
}

func openSink(t *testing.T, sink *kumotest.Sink, plan *egress.Plan) (egress.Session, *sinkDialer) {
	t.Helper()
	d := &sinkDialer{addr: sink.Addr, name: "sink.test."}
	s, err := New(Options{Dialer: d, Hostname: "client.test"}).Carrier(plan).Open(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, d
}

// deliverAll expects every recipient of m to be served.
func deliverAll(t *testing.T, s egress.Session, m *message.Message) {
	t.Helper()
	res := s.Deliver(t.Context(), m)
	onceEach(t, m, res)
	for _, a := range res.Attempts {
		if a.Outcome != message.Delivered || a.Response.Code != 250 || a.Response.Command != "." {
			t.Errorf("outcome %s: %s", outcomes(m, res), a.Response)
		}
	}
}

func TestDeliverToForeignServer(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			sink := kumotest.NewSink(t, secure)
			plan := testPlan(func(p *egress.Path) { p.EnableTLS = egress.TLSOpportunisticInsecure; p.MaxRecipientsPerBatch = 2 })
			s, _ := openSink(t, sink, plan)
			bodies := []string{
				sampleText,
				"",
				".\r\n",
				".",
				"Subject: no end",
				"Subject: dots\r\n\r\n" + strings.Repeat("..\r\n.x\r\n", 10_000),
				"Subject: large\r\n\r\n" + strings.Repeat(strings.Repeat("y", 70)+"\r\n", 20_000),
				"Subject: 8bit\r\n\r\ngrüße\r\n",
				"Subject: one long line\r\n\r\n" + strings.Repeat("z", 1800) + "\r\n",
			}
			for _, body := range bodies {
				m := testMessage("a@test", "b@test", "c@test")
				m.SetData([]byte(body))
				deliverAll(t, s, m)
			}
			got := sink.Wait(t, 2*len(bodies))
			for i, body := range bodies {
				want := body
				if want != "" && !strings.HasSuffix(want, "\n") {
					want += "\r\n"
				}
				for j, to := range []string{"[a@test b@test]", "[c@test]"} {
					m := got[2*i+j]
					if string(m.Data) != want || m.From != "from@sender.test" || fmt.Sprint(m.To) != to {
						t.Errorf("body %.20q arrived from %s for %v as %.60q", body, m.From, m.To, m.Data)
					}
				}
			}
		})
	}
}

func TestWireFormOnTheWire(t *testing.T) {
	sink := kumotest.NewSink(t, false)
	s, d := openSink(t, sink, testPlan())
	for _, to := range []string{`"a b"@test`, `"a@b"@test`, `"q\"uote\\"@test`, `"x > NOTIFY=NEVER <"@test`, "用户@例え.test", "o'hara+x=y@[10.0.0.1]"} {
		a, err := mail.ParseAddress(to, true)
		if err != nil {
			t.Fatal(err)
		}
		m := testMessage()
		m.Recipients = []mail.Address{a}
		res := s.Deliver(t.Context(), m)
		onceEach(t, m, res)
		if !strings.Contains(d.wire.String(), "RCPT TO:<"+to+">\r\n") {
			t.Errorf("%s is not on the wire as it is: %q", to, d.wire.String())
		}
		if mail.NeedsUTF8(a) != strings.Contains(d.wire.String(), "SMTPUTF8") {
			t.Errorf("%s: SMTPUTF8 is wrong in %q", to, d.wire.String())
		}
		d.wire.Reset()
	}
	m := testMessage("a@test")
	m.Sender = mail.Address{}
	deliverAll(t, s, m)
	if !strings.Contains(d.wire.String(), "MAIL FROM:<>") {
		t.Errorf("null sender: %q", d.wire.String())
	}
}

// TestTwoWrites: MAIL, RCPT and DATA go in one write, the text with its end mark in another.
func TestTwoWrites(t *testing.T) {
	sink := kumotest.NewSink(t, false)
	s, d := openSink(t, sink, testPlan())
	deliverAll(t, s, testMessage("a@test"))
	before := d.n
	deliverAll(t, s, testMessage("a@test", "b@test"))
	if d.n-before != 2 {
		t.Errorf("%d writes for a message", d.n-before)
	}
}

func TestPartialRefusalByForeignServer(t *testing.T) {
	sink := kumotest.NewSink(t, false)
	sink.Rcpt = func(to string) error {
		switch to {
		case "full@test":
			return &gosmtp.SMTPError{Code: 452, EnhancedCode: gosmtp.EnhancedCode{4, 5, 3}, Message: "too many"}
		case "gone@test":
			return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
		}
		return nil
	}
	s, _ := openSink(t, sink, testPlan())
	m := testMessage("full@test", "good@test", "gone@test")
	res := s.Deliver(t.Context(), m)
	onceEach(t, m, res)
	want := `Transient "RCPT TO" 452 full@test; Permanent "RCPT TO" 550 gone@test; Delivered "." 250 good@test`
	if got := outcomes(m, res); got != want {
		t.Errorf("got %s", got)
	}
	if res.Attempts[0].Reason != message.TooManyRecipients {
		t.Errorf("reason %s", res.Attempts[0].Reason)
	}
	m = testMessage("gone@test")
	if got := outcomes(m, s.Deliver(t.Context(), m)); got != `Permanent "RCPT TO" 550 gone@test` {
		t.Errorf("got %s", got)
	}
	deliverAll(t, s, testMessage("good@test"))
}

func TestRoute(t *testing.T) {
	sink := kumotest.NewSink(t, true)
	s, _ := openSink(t, sink, testPlan(func(p *egress.Path) { p.EnableTLS = egress.TLSRequiredInsecure }))
	m := testMessage("a@test")
	r := s.Deliver(t.Context(), m).Attempts[0].Route
	if r.Site != "src->mx.test@smtp_client" || r.Pool != "pool" || r.Source != "src" || r.Provider != "prov" || r.Protocol != "ESMTP" ||
		r.PeerName != "sink.test." || r.PeerAddr != netip.MustParseAddr("127.0.0.1") || r.LocalAddr.Addr() != r.PeerAddr || len(r.SessionID) != 36 {
		t.Errorf("route %+v", r)
	}
	if r.TLS == nil || r.TLS.ProtocolVersion != "TLSv1.3" || !strings.HasPrefix(r.TLS.Cipher, "TLS_") || fmt.Sprint(r.TLS.PeerSubject) != "[CN=sink.test]" {
		t.Errorf("TLS %+v", r.TLS)
	}
}

func TestIdleDisconnects(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*peer)
	}{
		{"closed", func(p *peer) { p.Close() }},
		{"421 and closed", func(p *peer) { p.say("421 4.4.2 idle too long"); p.Close() }},
		{"pre-sent answers", func(p *peer) { p.say("250 ok", "250 ok") }},
		{"reset", func(p *peer) { _ = p.Conn.(*net.TCPConn).SetLinger(0); p.Close() }},
		{"closed on MAIL", func(p *peer) { p.hear(); p.Close() }},
		{"421 on RSET", func(p *peer) { p.hear(); p.say("421 4.4.2 idle too long") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			served := make(chan struct{})
			d := &fakeDialer{tcp: true, scripts: []func(*peer){func(p *peer) {
				p.hello("PIPELINING")
				p.take(false)
				c.end(p)
				close(served)
				p.wait()
			}}}
			s := mustOpen(t, d, testPlan())
			deliverAll(t, s, testMessage("a@test"))
			if !strings.Contains(c.name, " on ") {
				<-served
			}
			m := testMessage("b@test")
			if got := outcomes(m, s.Deliver(t.Context(), m)); got != "+!" {
				t.Errorf("got %s", got)
			}
			s.Close()
			d.running.Wait()
		})
	}
}

// TestPreSentAnswers is fault F73 on a fresh connection, where it counts as an attempt: a host that always does it
// must not be tried for ever.
func TestPreSentAnswers(t *testing.T) {
	said := make(chan struct{})
	d := &fakeDialer{tcp: true, scripts: []func(*peer){func(p *peer) {
		p.hello("PIPELINING")
		p.say("250 ok", "250 ok", "354 go", "250 2.0.0 got it")
		close(said)
		p.wait()
	}}}
	s, err := open(t, d, testPlan())
	if err == nil { // else it came together with the answer to EHLO
		<-said
		m := testMessage("a@test")
		res := s.Deliver(t.Context(), m)
		if got := outcomes(m, res); got != `Transient "MAIL FROM" 451 a@test!` {
			t.Errorf("got %s: %s", got, res.Attempts[0].Response)
		}
		s.Close()
	}
	d.running.Wait()
}

// TestIdleOverTLS: TLS session tickets that wait in the socket do not make an idle connection suspect.
func TestIdleOverTLS(t *testing.T) {
	sink := kumotest.NewSink(t, true)
	plan := testPlan(func(p *egress.Path) { p.EnableTLS = egress.TLSRequiredInsecure })
	d := &plainDialer{sinkDialer{addr: sink.Addr, name: "sink.test."}}
	c := New(Options{Dialer: d, Hostname: "client.test"}).Carrier(plan)
	for range 3 { // the later ones resume
		s, err := c.Open(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			deliverAll(t, s, testMessage("a@test"))
		}
		s.Close()
	}
}

// plainDialer gives real sockets, which Check can look into.
type plainDialer struct{ sinkDialer }

func (d *plainDialer) Dial(ctx context.Context, p *egress.Plan, t egress.Target) (net.Conn, error) {
	c, err := d.sinkDialer.Dial(ctx, p, t)
	if err != nil {
		return nil, err
	}
	return c.(*tap).Conn, nil
}

func TestEightBitChecks(t *testing.T) {
	wide := mail.Restore("用户@test")
	for _, c := range []struct {
		caps   string
		body   string
		to     mail.Address
		ignore bool
		want   string
	}{
		{"8BITMIME", "ü\r\n", mail.Restore("a@test"), false, "MAIL FROM:<from@sender.test> BODY=8BITMIME"},
		{"SIZE", "ü\r\n", mail.Restore("a@test"), false, "554 5.6.3"},
		{"SIZE 10", "ü\r\n", mail.Restore("a@test"), true, "MAIL FROM:<from@sender.test> SIZE=4"},
		{"SMTPUTF8", "x\r\n", wide, false, "MAIL FROM:<from@sender.test> SMTPUTF8"},
		{"8BITMIME", "x\r\n", wide, false, "553 5.6.7"},
		{"8BITMIME", "x\r\n", wide, true, "MAIL FROM:<from@sender.test>"},
		{"SIZE -1", "x\r\n", mail.Restore("a@test"), false, "MAIL FROM:<from@sender.test> SIZE=3"},
		{"SIZE 1000000000000000000000000000000", "", mail.Restore("a@test"), false, "MAIL FROM:<from@sender.test>"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var heard string
			d := &fakeDialer{scripts: []func(*peer){func(p *peer) {
				p.hello("PIPELINING", c.caps)
				heard = p.hear()
				p.hear()
				p.hear()
				p.say("250 ok", "250 ok", "354 go")
				p.text()
				p.say("250 done")
				p.wait()
			}}}
			s := mustOpen(t, d, testPlan(func(p *egress.Path) { p.Ignore8bitChecks = c.ignore }))
			m := testMessage()
			m.Recipients = []mail.Address{c.to}
			m.SetData([]byte(c.body))
			res := s.Deliver(t.Context(), m)
			onceEach(t, m, res)
			s.Close()
			d.running.Wait()
			a := res.Attempts[0]
			if a.Outcome == message.Permanent {
				heard = a.Response.String()[:9]
			}
			if heard != c.want {
				t.Errorf("%s with %q to %s: %q, want %q", c.caps, c.body, c.to, heard, c.want)
			}
		})
	}
}

// TestCancel: the end of the context ends Open and Deliver at once, and a message that got nowhere is unsent.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDialer{scripts: []func(*peer){func(p *peer) { p.hello("PIPELINING"); p.take(false); p.wait() }, func(p *peer) { p.wait() }}}
		s := mustOpen(t, d, testPlan())
		deliverAll(t, s, testMessage("a@test"))
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		start := time.Now()
		m := testMessage("a@test")
		if got := outcomes(m, s.Deliver(ctx, m)); got != "+!" {
			t.Errorf("got %s", got)
		}
		if got := outcomes(m, s.Deliver(ctx, m)); got != "+!" {
			t.Errorf("got %s", got)
		}
		d.scripts[0] = nil
		if _, err := New(Options{Dialer: d, Hostname: "c.test"}).Carrier(nil).Open(ctx, testPlan()); err == nil {
			t.Error("opened after the end")
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %s", took)
		}
		d.running.Wait()
	})
}

// TestCancelAfterwards: a context that ends after Deliver has returned does no harm to the session.
func TestCancelAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDialer{scripts: []func(*peer){func(p *peer) { p.hello("PIPELINING"); p.take(false); p.take(true); p.wait() }}}
		ctx, stop := context.WithCancel(t.Context())
		s, err := New(Options{Dialer: d, Hostname: "c.test"}).Carrier(nil).Open(ctx, testPlan())
		stop()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			ctx, stop := context.WithCancel(t.Context())
			m := testMessage("a@test")
			if got := outcomes(m, s.Deliver(ctx, m)); got != `Delivered "." 250 a@test` {
				t.Errorf("got %s", got)
			}
			stop()
			synctest.Wait()
		}
		s.Close()
		d.running.Wait()
	})
}

type lostBody struct{}

func (lostBody) Body(message.ID) ([]byte, error) { return nil, errors.New("input/output error") }

// TestUnreadableMessage is fault F31: the message waits, the connection serves the next.
func TestUnreadableMessage(t *testing.T) {
	sink := kumotest.NewSink(t, false)
	s, _ := openSink(t, sink, testPlan())
	m := &message.Message{Recipients: []mail.Address{mail.Restore("a@test")}}
	m.SetLoader(lostBody{})
	res := s.Deliver(t.Context(), m)
	onceEach(t, m, res)
	if a := res.Attempts[0]; a.Outcome != message.Transient || !strings.Contains(a.Response.Text, "input/output error") {
		t.Errorf("got %s", a.Response)
	}
	deliverAll(t, s, testMessage("a@test"))
}

func TestTargetsFailure(t *testing.T) {
	want := &egress.Failure{Outcome: message.Permanent, Reason: message.FailedDueToNullMx}
	plan := testPlan()
	_, err := New(Options{Dialer: failingDialer{want}}).Carrier(plan).Open(t.Context(), plan)
	if !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	var f *egress.Failure
	if _, err := New(Options{Dialer: failingDialer{}}).Carrier(plan).Open(t.Context(), plan); !errors.As(err, &f) || f.Outcome != message.Transient {
		t.Errorf("no targets: %v", err)
	}
}

type failingDialer struct{ f *egress.Failure }

func (d failingDialer) Targets(context.Context, *egress.Plan) ([]egress.Target, error) {
	if d.f == nil {
		return nil, nil
	}
	return nil, d.f
}

func (d failingDialer) Dial(context.Context, *egress.Plan, egress.Target) (net.Conn, error) {
	return nil, errors.New("not to be called")
}
