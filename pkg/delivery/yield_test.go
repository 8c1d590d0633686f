package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/egress"
)

// TestYield: a session that is told to yield gives its message back at once, unless its text is on its way.
func TestYield(t *testing.T) {
	slow := 30 * time.Second
	for name, c := range map[string]struct {
		script func(*peer)
		want   string // outcome; "unsent" when the message is given back
		after  time.Duration
	}{
		"before MAIL is answered": {func(p *peer) { p.hello(); p.hear(); p.wait() }, "unsent", 0},
		"before RCPT is answered": {func(p *peer) { p.hello(); p.hear(); p.say("250 ok"); p.hear(); p.wait() }, "unsent", 0},
		"before DATA is answered": {func(p *peer) {
			p.hello("PIPELINING")
			group(p)
			p.say("250 ok", "250 ok", "250 ok")
			p.wait()
		}, "unsent", 0},
		"a recipient is decided": {func(p *peer) {
			p.hello("PIPELINING")
			group(p)
			p.say("250 ok", "550 5.1.1 no a")
			p.wait()
		}, `Permanent "RCPT TO" 550 a@test; Delayed "" 421 b@test!`, 0},
		"the text is on its way": {func(p *peer) {
			p.hello("PIPELINING")
			group(p)
			p.say("250 ok", "250 ok", "250 ok", "354 go")
			p.text()
			time.Sleep(slow)
			p.say("250 2.0.0 queued")
			p.wait()
		}, `Delivered "." 250 a@test b@test`, slow - time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &fakeDialer{scripts: []func(*peer){c.script}}
				s := mustOpen(t, d, testPlan())
				m := testMessage("a@test", "b@test")
				var yielded time.Time
				time.AfterFunc(time.Second, func() {
					yielded = time.Now()
					s.(egress.Yielding).Yield()
				})
				res := s.Deliver(t.Context(), m)
				took := time.Since(yielded)
				if res.Unsent != (c.want == "unsent") {
					t.Fatalf("unsent %v", res.Unsent)
				}
				if !res.Unsent {
					onceEach(t, m, res)
					if got := outcomes(m, res); got != c.want {
						t.Errorf("got %s, want %s", got, c.want)
					}
				}
				if took != c.after {
					t.Errorf("took %s more, want %s", took, c.after)
				}
				if res := s.Deliver(t.Context(), testMessage("c@test")); !res.Unsent || !res.Done {
					t.Errorf("takes another message: %+v", res)
				}
				s.Close()
				d.running.Wait()
			})
		})
	}
}

// TestYieldWhileReconnecting cuts a connection that is being opened in the middle of a session.
func TestYieldWhileReconnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDialer{scripts: []func(*peer){
			func(p *peer) { p.hello("PIPELINING"); p.hear(); p.Close() },
			func(p *peer) { p.wait() }, // no banner
		}}
		s := mustOpen(t, d, testPlan(func(p *egress.Path) { p.TryNextHostOnTransportError = true }))
		time.AfterFunc(time.Second, s.(egress.Yielding).Yield)
		began := time.Now()
		s.Deliver(t.Context(), testMessage("a@test"))
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %s", took)
		}
		s.Close()
		d.running.Wait()
	})
}
