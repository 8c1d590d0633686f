package delivery

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
)

func spansText(spans []message.Span) string {
	out := make([]string, len(spans))
	for i, s := range spans {
		out[i] = strings.TrimSpace(fmt.Sprintf("%s %s %s", s.For, s.Cause, s.At))
	}
	return strings.Join(out, "; ")
}

// slowly is a peer that thinks about everything: 1 s for the banner, 2 s for EHLO, 3 s for MAIL to DATA, 4 s for the
// end of the text.
func slowly(p *peer) {
	time.Sleep(time.Second)
	p.say("220 fake.test ESMTP")
	p.hear()
	time.Sleep(2 * time.Second)
	p.say("250-fake.test", "250 PIPELINING")
	for {
		for range 3 {
			p.hear()
		}
		time.Sleep(3 * time.Second)
		p.say("250 2.1.0 sender", "250 2.1.5 recipient", "354 go")
		p.text()
		time.Sleep(4 * time.Second)
		p.say("250 2.0.0 queued as 1")
	}
}

func TestTriesSayWhatTheyTook(t *testing.T) {
	noRset := func(p *egress.Path) { p.EnableRset = false }
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDialer{scripts: []func(*peer){slowly}}
		s := mustOpen(t, d, testPlan(noRset))
		const at = " mx1.test./10.0.0.1"
		if got, want := spansText(s.(egress.Opened).Opening()), "1s remote_banner"+at+"; 2s remote_ehlo"+at; got != want {
			t.Errorf("the opening took %q, want %q", got, want)
		}
		for range 2 {
			res := s.Deliver(t.Context(), testMessage("a@test"))
			if got, want := spansText(res.Attempts[0].Spent), "3s remote_mail"+at+"; 4s remote_dot"+at; got != want {
				t.Errorf("the try took %q, want %q", got, want)
			}
		}
		s.Close()
		d.running.Wait()
	})
}

// TestFastTriesSayNothing: what is not worth saying costs no memory.
func TestFastTriesSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDialer{scripts: []func(*peer){func(p *peer) { p.hello("PIPELINING"); p.take(false); p.wait() }}}
		s := mustOpen(t, d, testPlan())
		if o := s.(egress.Opened).Opening(); o != nil {
			t.Errorf("the opening took %v", o)
		}
		if res := s.Deliver(t.Context(), testMessage("a@test")); res.Attempts[0].Spent != nil {
			t.Errorf("the try took %v", res.Attempts[0].Spent)
		}
		s.Close()
		d.running.Wait()
	})
}

// TestFailuresSayWhatTheyTook: of hosts that do not answer, and of the way from one host to the next.
func TestFailuresSayWhatTheyTook(t *testing.T) {
	const one, two = " mx1.test./10.0.0.1", " mx2.test./10.0.0.2"
	dies := func(p *peer) { p.hello("PIPELINING"); p.hear(); time.Sleep(5 * time.Second); p.Close() }
	mute := func(p *peer) { time.Sleep(time.Hour) }
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDialer{scripts: []func(*peer){mute, mute}}
		_, err := open(t, d, testPlan())
		var f *egress.Failure
		if !errors.As(err, &f) || spansText(f.Spent) != "1m0s remote_banner"+one+"; 1m0s remote_banner"+two {
			t.Errorf("hosts that are mute: %v", err)
		} else {
			d.running.Wait()
		}
		d = &fakeDialer{scripts: []func(*peer){dies, slowly}}
		s := mustOpen(t, d, testPlan(func(p *egress.Path) { p.TryNextHostOnTransportError, p.EnableRset = true, false }))
		res := s.Deliver(t.Context(), testMessage("a@test"))
		if len(res.Attempts) != 2 {
			t.Fatalf("%+v", res)
		}
		if got, want := spansText(res.Attempts[0].Spent), "5s remote_mail"+one; got != want {
			t.Errorf("the try at the host that was left took %q, want %q", got, want)
		}
		want := "1s remote_banner" + two + "; 2s remote_ehlo" + two + "; 3s remote_mail" + two + "; 4s remote_dot" + two
		if got := spansText(res.Attempts[1].Spent); got != want {
			t.Errorf("the try at the next host took %q, want %q", got, want)
		}
		s.Close()
		d.running.Wait()
	})
}

// TestLateAnswersAreOnTheBill: what comes after the last verdict of a message is not the next one's time.
func TestLateAnswersAreOnTheBill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDialer{scripts: []func(*peer){func(p *peer) {
			p.hello("PIPELINING")
			for range 3 {
				p.hear()
			}
			p.say("550 no sender")
			time.Sleep(7 * time.Second)
			p.say("503 no recipient", "503 no data")
			p.take(true)
			p.wait()
		}}}
		s := mustOpen(t, d, testPlan())
		first, second := s.Deliver(t.Context(), testMessage("a@test")), s.Deliver(t.Context(), testMessage("a@test"))
		if got := spansText(first.Attempts[0].Spent); got != "7s remote_rcpt mx1.test./10.0.0.1" {
			t.Errorf("the first took %q", got)
		}
		if got := second.Attempts[0].Spent; got != nil {
			t.Errorf("the second took %q", spansText(got))
		}
		s.Close()
		d.running.Wait()
	})
}
