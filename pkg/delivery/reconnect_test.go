package delivery

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"kumo/pkg/egress"
)

func TestReconnectStrategies(t *testing.T) {
	lose := func(p *peer) { p.hello("PIPELINING"); p.hear(); p.Close() }
	keep := func(p *peer) { p.hello("PIPELINING"); p.take(false); p.take(true); p.wait() }
	lost, kept := `Transient "MAIL FROM" 451 a@test`, `Delivered "." 250 a@test`
	again := `Retried "MAIL FROM" 451 a@test; `
	for _, c := range []struct {
		strategy egress.ReconnectStrategy
		tryNext  bool
		scripts  []func(*peer)
		want     []string
		dials    string
	}{
		{egress.ConnectNextHost, false, []func(*peer){lose, keep}, []string{lost, kept, kept}, "mx1.test. mx2.test."},
		{egress.ConnectNextHost, false, []func(*peer){lose, nil, keep}, []string{lost, kept}, "mx1.test. mx2.test. mx3.test."},
		{egress.ConnectNextHost, false, []func(*peer){lose, lose}, []string{lost, lost + "!"}, "mx1.test. mx2.test."},
		{egress.ConnectNextHost, false, []func(*peer){lose, nil}, []string{lost, "+!"}, "mx1.test. mx2.test."},
		{egress.ReconnectSameHost, false, []func(*peer){lose, keep}, []string{lost, lost, lost}, "mx1.test. mx1.test. mx1.test."},
		{egress.TerminateSession, false, []func(*peer){lose, keep}, []string{lost + "!"}, "mx1.test."},
		{egress.ConnectNextHost, true, []func(*peer){lose, keep}, []string{again + kept, kept}, "mx1.test. mx2.test."},
		{egress.ConnectNextHost, true, []func(*peer){lose, nil, lose}, []string{again + lost + "!"}, "mx1.test. mx2.test. mx3.test."},
		{egress.TerminateSession, true, []func(*peer){lose, keep}, []string{again + kept}, "mx1.test. mx2.test."},
	} {
		t.Run(fmt.Sprintf("%s try=%v n=%d", c.strategy, c.tryNext, len(c.scripts)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &fakeDialer{scripts: c.scripts}
				s := mustOpen(t, d, testPlan(func(p *egress.Path) { p.ReconnectStrategy = c.strategy; p.TryNextHostOnTransportError = c.tryNext }))
				for _, want := range c.want {
					m := testMessage("a@test")
					res := s.Deliver(t.Context(), m)
					onceEach(t, m, res)
					if got := outcomes(m, res); got != want {
						t.Errorf("got %s, want %s", got, want)
					}
				}
				s.Close()
				d.running.Wait()
				if got := strings.Join(d.dials, " "); got != c.dials {
					t.Errorf("dialled %s, want %s", got, c.dials)
				}
			})
		})
	}
}

// TestTryNextHostTakesTheRest: recipients that were decided stay so; the others go to the next host, once.
func TestTryNextHostTakesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		d := &fakeDialer{scripts: []func(*peer){
			func(p *peer) { p.hello("PIPELINING"); group(p); p.say("250 ok", "550 no a") },
			func(p *peer) {
				p.hello("PIPELINING")
				for range 3 {
					heard = append(heard, p.hear())
				}
				p.say("250 ok", "250 ok", "354 go")
				p.text()
				p.say("250 done")
				p.wait()
			},
		}}
		s := mustOpen(t, d, testPlan(func(p *egress.Path) { p.TryNextHostOnTransportError = true }))
		m := testMessage("a@test", "b@test")
		res := s.Deliver(t.Context(), m)
		onceEach(t, m, res)
		if got := outcomes(m, res); got != `Permanent "RCPT TO" 550 a@test; Retried "RCPT TO" 451 b@test; Delivered "." 250 b@test` || heard[1] != "RCPT TO:<b@test>" {
			t.Errorf("got %s after %v", got, heard)
		}
		if a, b := res.Attempts[1].Route, res.Attempts[2].Route; a.PeerName != "mx1.test." || b.PeerName != "mx2.test." || a.SessionID == b.SessionID {
			t.Errorf("the attempts were at %+v and %+v", a, b)
		}
		s.Close()
		d.running.Wait()
	})
}

// TestBatchLosesConnection: when a batch costs the connection, the recipients of later batches go on at the next host
// or wait.
func TestBatchLosesConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := func(p *peer) {
			p.hello("PIPELINING")
			for range 3 {
				p.hear()
			}
			p.say("250 ok", "550 no", "354 go")
			p.wait()
		}
		d := &fakeDialer{scripts: []func(*peer){first, first}}
		s := mustOpen(t, d, testPlan(func(p *egress.Path) { p.MaxRecipientsPerBatch = 1 }))
		m := testMessage("a@test", "b@test", "c@test")
		res := s.Deliver(t.Context(), m)
		onceEach(t, m, res)
		if got := outcomes(m, res); got != `Permanent "RCPT TO" 550 a@test; Permanent "RCPT TO" 550 b@test; Transient "" 451 c@test!` {
			t.Errorf("got %s", got)
		}
		s.Close()
		d.running.Wait()
	})
}
