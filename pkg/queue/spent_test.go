package queue

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/option"
)

func accountText(name string, r *journal.Record) string {
	out := name + " " + string(r.Type) + ":"
	for _, s := range r.Spent {
		out += " " + strings.TrimSpace(fmt.Sprintf("%s %s %s", s.For, s.Cause, s.At)) + ","
	}
	if r.Wait.For > 0 {
		out += fmt.Sprintf(" then %s %s %s", r.Wait.For, r.Wait.Cause, r.Wait.At)
	}
	return strings.Trim(out, ", ")
}

// TestRecordsAccountForTime: what each record says of the time before it, and of the wait after it.
func TestRecordsAccountForTime(t *testing.T) {
	for name, c := range map[string]struct {
		config   map[string]any
		commands string
		want     string
	}{
		"at once": {
			nil, "insert a queue=q.test; settle a delivered:*",
			"a Delivery:",
		},
		"what nobody accounts for is ours": {
			nil, "insert a queue=q.test; advance 2s; settle a delivered:*",
			"a Delivery: 2s kumo",
		},
		"several recipients: the first record tells": {
			nil, "insert a queue=q.test to=x@q.test,y@q.test; advance 1s; settle a delivered:x@q.test permanent:y@q.test",
			"a Delivery: 1s kumo; a Bounce:",
		},
		"dns, while the queue is cold": {
			nil, "dns 3s; insert a queue=q.test; advance 4s; settle a delivered:*",
			"a Delivery: 3s dns, 1s kumo",
		},
		"the retry schedule, and its line": {
			map[string]any{"retry_interval": "10m"},
			"insert a queue=q.test; settle a transient:*; advance 10m; settle a transient:*; advance 20m; settle a delivered:*",
			"a TransientFailure: then 10m0s retry_interval q:retry_interval; a TransientFailure: then 20m0s retry_interval q:retry_interval; a Delivery:",
		},
		"the schedule, cut short by max_retry_interval": {
			map[string]any{"retry_interval": "10m", "max_retry_interval": "15m"},
			"insert a queue=q.test; settle a transient:*; advance 10m; settle a transient:*; advance 15m; settle a delivered:*",
			"a TransientFailure: then 10m0s retry_interval q:retry_interval; a TransientFailure: then 15m0s max_retry_interval q:max_retry_interval; a Delivery:",
		},
		"the default schedule": {
			nil, "insert a queue=q.test; settle a transient:*",
			"a TransientFailure: then 20m0s retry_interval",
		},
		"due messages wait for a slow plan": {
			map[string]any{"retry_interval": "1m"},
			"insert a queue=q.test; settle a transient:*; dns 5s; advance 2m; settle a delivered:*",
			"a TransientFailure: then 1m0s retry_interval q:retry_interval; a Delivery: 5s dns, 55s kumo",
		},
		"a full ready queue, for an arrival": {
			nil, "insert z queue=q.test; room 0; insert a queue=q.test",
			"a Delayed: then 30s max_ready ready:4",
		},
		"a full ready queue, for a due message": {
			map[string]any{"retry_interval": "1m"},
			"insert a queue=q.test; settle a transient:*; room 0; advance 80s; room 1 tell=ip-1->q.test@smtp_client; settle a delivered:*",
			"a TransientFailure: then 1m0s retry_interval q:retry_interval; a Delivery: 20s max_ready ready:4",
		},
		"max_message_rate, for an arrival": {
			map[string]any{"max_message_rate": "1/10s"},
			"insert x queue=q.test; insert y queue=q.test; insert a queue=q.test",
			"a Delayed: then 10s queue_max_message_rate q:max_message_rate",
		},
		"max_message_rate, for due messages": {
			map[string]any{"max_message_rate": "1/10s"},
			"insert a b c d queue=q.test; advance 21s; settle d delivered:*",
			"c Delayed: then 10s queue_max_message_rate q:max_message_rate; d Delayed: then 10s queue_max_message_rate q:max_message_rate; " +
				"d Delivery: 10s queue_max_message_rate q:max_message_rate, 1s kumo",
		},
		"a suspended queue": {
			nil, "suspend q.test for=1h reason=because; insert a queue=q.test",
			"a TransientFailure: then 20m0s suspended because",
		},
		"scheduled for later": {
			nil, "insert a queue=q.test due=1h; advance 1h; settle a delivered:*",
			"a Delayed: then 1h0m0s scheduled; a Delivery:",
		},
		"put off by a ready queue": {
			nil, "insert a queue=q.test; settle a delayed:*:30s; advance 30s; settle a delivered:*",
			"a Delayed: then 30s retry_interval; a Delivery:",
		},
		"policy is broken": {
			nil, "policy broken; insert a queue=q.test; policy whole; advance 1m; settle a delivered:*",
			"a Delayed: then 1m0s no_configuration; a Delivery:",
		},
		"too old": {
			map[string]any{"max_age": "10m"},
			"insert a queue=q.test; settle a transient:*",
			"a TransientFailure: then 20m0s retry_interval; a Expiration:",
		},
		"the process starts again": {
			map[string]any{"retry_interval": "1m"},
			"insert a queue=q.test; settle a transient:*; restart shift=-5m; advance 2s; settle a delivered:*",
			"a TransientFailure: then 1m0s retry_interval q:retry_interval; a Delivery: 2s kumo",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				l := option.Layer{}
				for k, v := range c.config {
					l[k] = option.Setting{Value: v, Origin: option.Origin{Kind: option.KindLua, At: "q:" + k}}
				}
				w.config["*"] = l
				w.launch()
				synctest.Wait()
				for command := range strings.SplitSeq(c.commands, "; ") {
					if f := strings.Fields(command); f[0] == "settle" && w.offered[f[1]] == nil {
						t.Fatalf("%s: it was not offered; so far: %v", command, w.accounts)
					}
					w.run(t, command)
				}
				if got := strings.Join(w.accounts, "; "); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
				w.stop()
			})
		})
	}
}

// TestAttemptsAreCharged: what a try took goes into its record, and only what is left over is ours.
func TestAttemptsAreCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.launch()
		synctest.Wait()
		w.run(t, "insert a queue=q.test to=x@q.test,y@q.test")
		m := w.offered["a"]
		m.Spent = []message.Span{{Cause: message.WaitConnectionLimit, At: "p:1", For: time.Second}}
		time.Sleep(10 * time.Second)
		w.queues.Settle(t.Context(), m, []message.Attempt{
			{Outcome: message.Retried, Spent: []message.Span{{Cause: message.SpentConnect, At: "mx1", For: 2 * time.Second}}},
			{Outcome: message.Delivered, Recipients: m.Recipients[:1:1], Spent: []message.Span{{Cause: message.SpentDot, At: "mx2", For: 3 * time.Second}}},
			{
				Outcome: message.Delayed, Recipients: m.Recipients[1:2:2], Reason: message.MessageRateThrottle, Delay: time.Minute,
				Wait: &message.Span{Cause: message.WaitMessageRate, At: "p:2"},
			},
		})
		want := "a TransientFailure: 1s connection_limit p:1, 4s kumo, 2s connect mx1; a TransientFailure:; " +
			"a Delivery: 3s remote_dot mx2; a Delayed: then 1m0s max_message_rate p:2"
		if got := strings.Join(w.accounts, "; "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		w.stop()
	})
}

// TestLate: what keeps due messages can be asked about while it does.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.launch()
		synctest.Wait()
		w.run(t, "insert a queue=q.test")
		w.run(t, "settle a transient:*")
		due := time.Now().Add(20 * time.Minute)
		w.run(t, "room 0")
		w.run(t, "advance 19m")
		if late := w.queues.Late("q.test", due); late != nil {
			t.Errorf("it is not due, and waits for %v", late)
		}
		w.run(t, "advance 90s")
		want := []message.Span{{Cause: message.WaitMaxReady, At: "ready:4", For: 30 * time.Second}}
		if late := w.queues.Late("q.test", due); fmt.Sprint(late) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", late, want)
		}
		if late := w.queues.Late("nosuch.test", due); late != nil {
			t.Errorf("a queue that is not there: %v", late)
		}
		w.stop()
	})
}
