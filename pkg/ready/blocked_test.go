package ready

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/message"
)

func spansText(spans []message.Span) string {
	out := make([]string, len(spans))
	for i, s := range spans {
		out[i] = strings.TrimSpace(fmt.Sprintf("%s %s %s", s.For, s.Cause, s.At))
	}
	return strings.Join(out, "; ")
}

// Opening is what the scripted peer says of the opening of its sessions: DNS, and most of the time TLS.
func (p *peer) Opening() []message.Span {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.w.connect < 4*message.LeastSpan {
		return nil
	}
	return []message.Span{{Cause: message.SpentDNS, At: "d", For: p.w.connect / 4}, {Cause: message.SpentTLS, At: "h", For: p.w.connect / 2}}
}

// TestWaitsAreExplained: each message says what it waited for in the ready queue, and the parts are the whole.
func TestWaitsAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		commands string
		want     map[string]string
	}{
		"nothing worth saying": {
			"path idle_timeout=5s, offer 1, advance 4ms",
			map[string]string{"m1": ""},
		},
		"the connection is being opened": {
			"path idle_timeout=5s, connect-takes 2s, offer 2, advance 3s, offer 1",
			map[string]string{
				"m1": "500ms dns d; 1s tls h; 500ms kumo", "m2": "500ms dns d; 1s tls h; 500ms kumo", "m3": "",
			},
		},
		"one that comes late waits for the rest of the opening": {
			"path idle_timeout=5s, connect-takes 2s, offer 1, advance 1s, offer 1, advance 2s",
			map[string]string{"m1": "500ms dns d; 1s tls h; 500ms kumo", "m2": "250ms dns d; 500ms tls h; 250ms kumo"},
		},
		"connection_limit": {
			"path connection_limit=1, deliver-takes 10s, offer 3, advance 40s",
			map[string]string{"m1": "", "m2": "10s connection_limit p:1", "m3": "20s connection_limit p:1"},
		},
		"busy connections, until another one is worth it": {
			"path idle_timeout=5s, deliver-takes 10s, offer 2, advance 40s",
			map[string]string{"m1": "", "m2": "500ms busy_connections"},
		},
		"max_message_rate, of the session's message and of those behind it": {
			"path max_message_rate=1/2s connection_limit=1, offer 4, advance 10s",
			map[string]string{
				"m1": "", "m2": "", "m3": "2s max_message_rate p:3", "m4": "4s max_message_rate p:3",
			},
		},
		"max_message_rate, with several sessions": {
			"path max_message_rate=1/2s idle_timeout=30s, deliver-takes 100ms, offer 6, advance 20s",
			map[string]string{"m1": "", "m2": "", "m4": "100ms busy_connections; 3.9s max_message_rate p:3"},
		},
		"max_connection_rate": {
			"path max_connection_rate=1/3s max_deliveries_per_connection=1, offer 3, advance 10s",
			map[string]string{"m1": "", "m2": "", "m3": "3s max_connection_rate p:2"},
		},
		"a site that refuses, and the pauses after": {
			"path idle_timeout=5s, open refused, offer 2, advance 900ms, open ok, advance 5s",
			map[string]string{"m1": "", "m2": "1s connection_failures"},
		},
		"a site that does not answer": {
			"path idle_timeout=5s, open refused, connect-takes 20s, offer 1, advance 30s",
			map[string]string{"m1": "20s kumo"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				for command := range strings.SplitSeq(c.commands, ", ") {
					w.run(command)
				}
				for m, want := range c.want {
					if got, ok := w.spent[m]; !ok || got != want {
						t.Errorf("%s: got %q (settled: %v), want %q", m, got, ok, want)
					}
				}
				w.stop()
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

// TestFind: what waits and what is being sent can be asked about before any record tells.
func TestFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run("path connection_limit=1")
		w.run("deliver-takes 10s")
		w.run("offer 2")
		id := func(n string) (id message.ID) {
			copy(id[:], n)
			return id
		}
		w.run("advance 4s")
		if f, ok := w.queues.Find(id("1")); !ok || !f.Sent || f.Site != w.plan.Key || spansText(f.Spent) != "4s sending "+w.plan.Key {
			t.Errorf("the one that is being sent: %+v, %v", f, ok)
		}
		if f, ok := w.queues.Find(id("2")); !ok || f.Sent || spansText(f.Spent) != "4s connection_limit p:1" {
			t.Errorf("the one that waits: %+v, %v", f, ok)
		}
		w.run("advance 9s")
		if f, ok := w.queues.Find(id("2")); !ok || spansText(f.Spent) != "10s connection_limit p:1; 3s sending "+w.plan.Key {
			t.Errorf("the one that has waited: %+v, %v", f, ok)
		}
		if f, ok := w.queues.Find(id("1")); ok {
			t.Errorf("the one that was sent: %+v", f)
		}
		w.run("advance 20s")
		if f, ok := w.queues.Find(id("2")); ok {
			t.Errorf("nobody is there any more: %+v", f)
		}
		if w.spent["m2"] != "10s connection_limit p:1" {
			t.Errorf("asking has changed the account: %s", w.spent["m2"])
		}
		w.stop()
		time.Sleep(2 * time.Hour)
	})
}
