package delivery

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
)

// hostile are scripts that end before there is mail: each must fail to open in bounded (virtual) time, with a reason.
// Faults F69 to F72, F76, F77, F79, F80, F81, F83.
var hostileAtOpen = []struct {
	name   string
	path   func(*egress.Path)
	script func(*peer)
	reason string // part of the cause
	within time.Duration
}{
	{"refuses", nil, nil, "mx1.test./10.0.0.1: connection refused", time.Second},
	{"closes at once", nil, func(*peer) {}, "banner: the peer closed the connection", time.Second},
	{"never a word", nil, func(p *peer) { p.wait() }, "banner: timed out", 61 * time.Second},
	{"a byte per 10 s", nil, func(p *peer) {
		for {
			if _, err := p.Write([]byte("2")); err != nil {
				return
			}
			time.Sleep(10 * time.Second)
		}
	}, "banner: timed out", 61 * time.Second},
	{"banner 421", nil, func(p *peer) { p.say("421 4.3.2 busy"); p.wait() }, "banner: 421 4.3.2 busy", 3 * time.Second},
	{"banner 554", nil, func(p *peer) { p.say("554-no", "554 service"); p.wait() }, "banner: 554 no service", 3 * time.Second},
	{"banner 250", nil, func(p *peer) { p.say("250 hm"); p.wait() }, "banner: 250 hm", 3 * time.Second},
	{"endless line", nil, func(p *peer) { flood(p, "2") }, "longer than 1000 octets", time.Second},
	{"endless reply", nil, func(p *peer) { flood(p, "220-x\r\n") }, "more than 100 lines", time.Second},
	{"mixed codes", nil, func(p *peer) { p.say("220-a", "550 b") }, "different codes", time.Second},
	{"code 000", nil, func(p *peer) { p.say("000 x") }, `bad reply "000 x"`, time.Second},
	{"code 999", nil, func(p *peer) { p.say("999 x") }, `bad reply "999 x"`, time.Second},
	{"code 99", nil, func(p *peer) { p.say("99 x") }, `bad reply "99 x"`, time.Second},
	{"letters", nil, func(p *peer) { p.say("abc") }, `bad reply "abc"`, time.Second},
	{"empty line", nil, func(p *peer) { p.say("") }, `bad reply ""`, time.Second},
	{"NUL and 0xff", nil, func(p *peer) { p.say("\x00\xff\x1b[2J") }, `bad reply "\x00\xff\x1b[2J"`, time.Second},
	{"HTTP", nil, func(p *peer) { p.say("HTTP/1.1 400 Bad Request") }, "bad reply", time.Second},
	{"stops in the reply", nil, func(p *peer) { p.say("220-a"); p.wait() }, "banner: timed out", 61 * time.Second},
	{"closes in EHLO", nil, func(p *peer) { p.say("220 x"); p.hear() }, "EHLO: the peer closed the connection", time.Second},
	{"silent at EHLO", nil, func(p *peer) { p.say("220 x"); p.wait() }, "EHLO: timed out", 301 * time.Second},
	{"EHLO 421", nil, func(p *peer) { p.say("220 x"); p.hear(); p.say("421 4.3.2 no"); p.wait() }, "EHLO: 421 4.3.2 no", 3 * time.Second},
	{"EHLO 450", nil, func(p *peer) { p.say("220 x"); p.hear(); p.say("450 4.7.1 later"); p.wait() }, "EHLO: 450 4.7.1 later", 3 * time.Second},
	{"EHLO and HELO refused", nil, func(p *peer) {
		p.say("220 x")
		p.hear()
		p.say("502 what")
		p.hear()
		p.say("550 5.7.1 go away")
		p.wait()
	}, "HELO: 550 5.7.1 go away", 3 * time.Second},
	{"10^5 EHLO lines", nil, func(p *peer) { p.say("220 x"); p.hear(); flood(p, "250-X-THING\r\n") }, "more than 100 lines", time.Second},
	{"pre-sent answers", nil, func(p *peer) { p.say("220 x", "250-x", "250 PIPELINING"); p.wait() }, "EHLO: the peer answered before it was asked", time.Second},
	{"STARTTLS stripped", required, func(p *peer) { p.hello("PIPELINING"); p.wait() }, "enable_tls is Required, but the host does not offer STARTTLS", 3 * time.Second},
	{"STARTTLS refused", required, func(p *peer) { p.hello("STARTTLS"); p.hear(); p.say("454 4.7.0 not now"); p.wait() }, "STARTTLS: 454 4.7.0 not now", 3 * time.Second},
	{"STARTTLS 421", nil, func(p *peer) { p.hello("STARTTLS"); p.hear(); p.say("421 4.7.0 bye"); p.wait() }, "STARTTLS: 421 4.7.0 bye", 3 * time.Second},
	{"STARTTLS with planted text", nil, func(p *peer) { p.hello("STARTTLS"); p.hear(); p.say("220 go", "250 planted"); p.wait() }, "STARTTLS: the peer answered before it was asked", time.Second},
	{"planted text and reconnect", reconnectClear, func(p *peer) { p.hello("STARTTLS"); p.hear(); p.say("220 go", "250 planted"); p.wait() }, "STARTTLS: the peer answered before it was asked", time.Second},
	{"handshake stalls", nil, func(p *peer) { p.hello("STARTTLS"); p.hear(); p.say("220 go"); p.wait() }, "STARTTLS: timed out", 6 * time.Second},
	{"handshake is garbage", nil, func(p *peer) {
		p.hello("STARTTLS")
		p.hear()
		p.say("220 go")
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = io.Copy(io.Discard, p.Conn) })
		defer reading.Wait()
		p.say(strings.Repeat("garbage ", 10))
	}, "STARTTLS: TLS handshake", 6 * time.Second},
	{"handshake is closed", nil, func(p *peer) {
		p.hello("STARTTLS")
		p.hear()
		p.say("220 go")
		_, _ = p.in.ReadByte()
	}, "STARTTLS: TLS handshake", 6 * time.Second},
}

func required(p *egress.Path)       { p.EnableTLS = egress.TLSRequired }
func reconnectClear(p *egress.Path) { p.OpportunisticTLSReconnectOnFailedHandshake = true }

// flood writes piece for ever, as far as the other side lets it: at most 64 MiB.
func flood(p *peer, piece string) {
	block := []byte(strings.Repeat(piece, 4096))
	for sent := 0; sent < 64<<20; sent += len(block) {
		if _, err := p.Write(block); err != nil {
			return
		}
	}
	panic("the client read 64 MiB")
}

func TestHostileAtOpen(t *testing.T) {
	for _, c := range hostileAtOpen {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &fakeDialer{scripts: []func(*peer){c.script}}
				var changes []func(*egress.Path)
				if c.path != nil {
					changes = append(changes, c.path)
				}
				start := time.Now()
				s, err := open(t, d, testPlan(changes...))
				var f *egress.Failure
				if !errors.As(err, &f) {
					t.Fatalf("opened %v, %v", s, err)
				}
				if f.Outcome != message.Transient || f.Reply.String() != "451 4.4.1 No answer from any hosts listed in MX" {
					t.Errorf("failure %v %s", f.Outcome, f.Reply)
				}
				if !strings.Contains(f.Cause.Error(), c.reason) {
					t.Errorf("cause %q, want something about %q", f.Cause, c.reason)
				}
				if took := time.Since(start); took > c.within {
					t.Errorf("took %s", took)
				}
				d.running.Wait()
			})
		})
	}
}

// TestNextHost: every host that fails to open is followed by the next, in order.
func TestNextHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDialer{}
		for _, c := range hostileAtOpen {
			if c.path == nil {
				d.scripts = append(d.scripts, c.script)
			}
		}
		d.scripts = append(d.scripts, func(p *peer) { p.hello("PIPELINING"); p.take(false); p.wait() })
		s := mustOpen(t, d, testPlan())
		m := testMessage("a@test")
		res := s.Deliver(t.Context(), m)
		if got := outcomes(m, res); got != `Delivered "." 250 a@test` {
			t.Errorf("got %s", got)
		}
		if len(d.dials) != len(d.scripts) {
			t.Errorf("dialled %d of %d targets", len(d.dials), len(d.scripts))
		}
		s.Close()
		d.running.Wait()
	})
}

// hostileInMail are scripts that begin with a good hello, so that Open succeeds. want is the outcome of the first
// message, a batch of a@test and b@test. Faults F73 to F78, F84.
var hostileInMail = []struct {
	name   string
	script func(*peer)
	want   string
	text   string // part of the first response
	within time.Duration
}{
	{"closes in MAIL", func(p *peer) { p.hear() }, `Transient "MAIL FROM" 451 a@test b@test!`, "mx1.test./10.0.0.1: MAIL: the peer closed the connection", time.Second},
	{"closes in RCPT", func(p *peer) { group(p); p.say("250 ok") }, `Transient "RCPT TO" 451 a@test b@test!`, "closed the connection", time.Second},
	{"closes after one RCPT", func(p *peer) { group(p); p.say("250 ok", "550 5.1.1 no a") }, `Permanent "RCPT TO" 550 a@test; Transient "RCPT TO" 451 b@test!`, "no a", time.Second},
	{"closes in DATA", func(p *peer) { group(p); p.say("250 ok", "250 ok", "250 ok") }, `Transient "DATA" 451 a@test b@test!`, "closed the connection", time.Second},
	{"closes in the text", func(p *peer) { group(p); p.say("250 ok", "250 ok", "250 ok", "354 go"); p.hear() }, `Transient "." 451 a@test b@test!`, "KumoMTA internal: ", time.Second},
	{"closes after the dot", func(p *peer) { group(p); p.say("250 ok", "250 ok", "250 ok", "354 go"); p.text() }, `Transient "." 451 a@test b@test!`, ".: the peer closed the connection", time.Second},
	{"silent at MAIL", func(p *peer) { p.wait() }, `Transient "MAIL FROM" 451 a@test b@test!`, "MAIL: timed out", 301 * time.Second},
	{"silent after the dot", func(p *peer) { group(p); p.say("250 ok", "250 ok", "250 ok", "354 go"); p.wait() }, `Transient "." 451 a@test b@test!`, ".: timed out", 301 * time.Second},
	{"stops reading the text", func(p *peer) { group(p); p.say("250 ok", "250 ok", "250 ok", "354 go"); time.Sleep(time.Hour) }, `Transient "." 451 a@test b@test!`, ".: timed out", 301 * time.Second},
	{"421 at MAIL", func(p *peer) { group(p); p.say("421 4.7.0 slow down"); p.wait() }, `Transient "MAIL FROM" 421 a@test b@test!`, "slow down", time.Second},
	{"421 at RCPT", func(p *peer) { group(p); p.say("250 ok", "250 ok", "421 4.7.0 enough"); p.wait() }, `Transient "RCPT TO" 421 a@test b@test!`, "enough", time.Second},
	{"421 at DATA", func(p *peer) { group(p); p.say("250 ok", "250 ok", "250 ok", "421 4.7.0 enough"); p.wait() }, `Transient "DATA" 421 a@test b@test!`, "enough", time.Second},
	{"421 after the dot", func(p *peer) {
		group(p)
		p.say("250 ok", "250 ok", "250 ok", "354 go")
		p.text()
		p.say("421 4.7.0 enough")
		p.wait()
	}, `Transient "." 421 a@test b@test!`, "enough", time.Second},
	{"354 to MAIL", func(p *peer) { group(p); p.say("354 go"); p.wait() }, `Transient "MAIL FROM" 451 a@test b@test!`, "unexpected reply: 354", time.Second},
	{"354 to RCPT", func(p *peer) { group(p); p.say("250 ok", "354 go"); p.wait() }, `Transient "RCPT TO" 451 a@test b@test!`, "unexpected reply: 354", time.Second},
	{"250 instead of 354", func(p *peer) { group(p); p.say("250 ok", "250 ok", "250 ok", "250 ok"); p.wait() }, `Transient "DATA" 451 a@test b@test!`, "unexpected reply: 250", time.Second},
	{"354 instead of the end", func(p *peer) {
		group(p)
		p.say("250 ok", "250 ok", "250 ok", "354 go")
		p.text()
		p.say("354 more")
		p.wait()
	}, `Transient "." 451 a@test b@test!`, "unexpected reply: 354", time.Second},
	{"354 without recipients", func(p *peer) {
		group(p)
		p.say("250 ok", "550 5.1.1 no a", "550 5.1.1 no b", "354 go")
		if b, err := p.in.ReadByte(); err != io.EOF {
			panic("the client went on with " + string(b))
		}
	}, `Permanent "RCPT TO" 550 a@test; Permanent "RCPT TO" 550 b@test!`, "no a", time.Second},
	{"354 after refused MAIL", func(p *peer) {
		group(p)
		p.say("550 5.7.1 not you", "503 x", "503 x", "354 go")
		if b, err := p.in.ReadByte(); err != io.EOF {
			panic("the client went on with " + string(b))
		}
	}, `Permanent "MAIL FROM" 550 a@test b@test!`, "not you", time.Second},
	{"garbage at MAIL", func(p *peer) { group(p); p.say("\x00\xff"); p.wait() }, `Transient "MAIL FROM" 451 a@test b@test!`, `bad reply "\x00\xff"`, time.Second},
	{"endless reply at the end", func(p *peer) {
		group(p)
		p.say("250 ok", "250 ok", "250 ok", "354 go")
		p.text()
		flood(p, "250-x\r\n")
	}, `Transient "." 451 a@test b@test!`, "more than 100 lines", time.Second},
	{"answers the text with the 354", func(p *peer) {
		group(p)
		p.say("250 ok", "250 ok", "250 ok", "354 go", "250 2.0.0 got it")
		p.wait()
	}, `Transient "DATA" 451 a@test b@test!`, "answered before it was asked", time.Second},
	{"452 and 250", func(p *peer) {
		group(p)
		p.say("250 ok", "452 4.5.3 too many", "250 ok", "354 go")
		p.text()
		p.say("250 2.0.0 done")
		p.wait()
	}, `Transient "RCPT TO" 452 a@test; Delivered "." 250 b@test`, "too many", time.Second},
	{"552 and 550", func(p *peer) {
		group(p)
		p.say("250 ok", "552 5.5.3 too many", "550 5.1.1 no", "503 5.5.1 no recipients")
		p.wait()
	}, `Transient "RCPT TO" 552 a@test; Permanent "RCPT TO" 550 b@test`, "too many", time.Second},
	{"552 at the end", func(p *peer) {
		group(p)
		p.say("250 ok", "250 ok", "250 ok", "354 go")
		p.text()
		p.say("552 5.3.4 too big")
		p.wait()
	}, `Permanent "." 552 a@test b@test`, "too big", time.Second},
	{"DATA refused", func(p *peer) { group(p); p.say("250 ok", "250 ok", "250 ok", "451 4.3.0 disk"); p.wait() }, `Transient "DATA" 451 a@test b@test`, "disk", time.Second},
	{"MAIL refused", func(p *peer) { group(p); p.say("451 4.7.1 greylisted", "503 x", "503 x", "503 x"); p.wait() }, `Transient "MAIL FROM" 451 a@test b@test`, "greylisted", time.Second},
	{"multi-line end", func(p *peer) {
		group(p)
		p.say("250-2.1.0 ok", "250 2.1.0 ok", "250 ok", "250 ok", "354-x", "354 go")
		p.text()
		p.say("250-2.0.0 one", "250-2.0.0 two\x1b", "250 2.0.0 three \xff")
		p.wait()
	}, `Delivered "." 250 a@test b@test`, "one\ntwo \nthree \ufffd", time.Second},
}

// group reads MAIL, two RCPT and DATA.
func group(p *peer) {
	for range 4 {
		p.hear()
	}
}

func TestHostileInMail(t *testing.T) {
	for _, c := range hostileInMail {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &fakeDialer{scripts: []func(*peer){func(p *peer) { p.hello("PIPELINING"); c.script(p) }}}
				s := mustOpen(t, d, testPlan())
				m := testMessage("a@test", "b@test")
				start := time.Now()
				res := s.Deliver(t.Context(), m)
				onceEach(t, m, res)
				if got := outcomes(m, res); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
				if len(res.Attempts) > 0 && !strings.Contains(res.Attempts[0].Response.Text, c.text) {
					t.Errorf("response %q, want something about %q", res.Attempts[0].Response.Text, c.text)
				}
				if took := time.Since(start); took > c.within {
					t.Errorf("took %s", took)
				}
				s.Close()
				d.running.Wait()
			})
		})
	}
}

// TestStepByStep: a conversation without PIPELINING goes command by command, and an open transaction is always reset.
func TestStepByStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		d := &fakeDialer{scripts: []func(*peer){func(p *peer) {
			p.hello("8BITMIME")
			step := func(reply string) { log = append(log, p.hear()); p.say(reply) }
			step("250 ok")
			step("250 ok")
			step("550 5.1.1 no b")
			step("354 go")
			log = append(log, p.text())
			p.say("250 2.0.0 done")
			step("250 flushed")
			step("450 4.2.0 not now")
			step("250 flushed")
			step("250 ok")
			step("550 no")
			step("550 no")
			step("221 bye")
		}}}
		s := mustOpen(t, d, testPlan())
		m := testMessage("a@test", "b@test")
		want := []string{
			`Permanent "RCPT TO" 550 b@test; Delivered "." 250 a@test`,
			`Transient "MAIL FROM" 450 a@test b@test`,
			`Permanent "RCPT TO" 550 a@test; Permanent "RCPT TO" 550 b@test`,
		}
		for _, w := range want {
			res := s.Deliver(t.Context(), m)
			onceEach(t, m, res)
			if got := outcomes(m, res); got != w {
				t.Errorf("got  %s\nwant %s", got, w)
			}
		}
		s.Close()
		d.running.Wait()
		got := strings.Join(log, "|")
		if got != "MAIL FROM:<from@sender.test>|RCPT TO:<a@test>|RCPT TO:<b@test>|DATA|"+sampleText+
			"|RSET|MAIL FROM:<from@sender.test>|RSET|MAIL FROM:<from@sender.test>|RCPT TO:<a@test>|RCPT TO:<b@test>|QUIT" {
			t.Errorf("the peer heard %s", got)
		}
	})
}
