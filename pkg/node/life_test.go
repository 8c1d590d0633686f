package node

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func after(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

// entries reads records, a line each: seconds after noon, type, and the fields that matter as JSON.
func entries(t *testing.T, text string) []journal.Entry {
	t.Helper()
	var out []journal.Entry
	for line := range strings.Lines(strings.TrimSpace(text)) {
		var secs float64
		var kind string
		if _, err := fmt.Sscan(line, &secs, &kind); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		e := journal.Entry{
			Type: journal.Type(kind), EventTime: after(secs), Created: noon.Unix(), Queue: "acme@dest.test",
			Recipients: []string{"you@dest.test"},
		}
		if _, fields, ok := strings.Cut(line, "{"); ok {
			if err := json.Unmarshal([]byte("{"+fields), &e); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		out = append(out, e)
	}
	return out
}

func orderOfKind(t *testing.T, kind string, secs float64, c spool.Command) spool.Order {
	t.Helper()
	o, err := spool.NewCommand(kind, "op kumo", c, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.ID, o.Created = fmt.Sprintf("%032x", int(secs)), after(secs)
	return o
}

// told is the sums of a life on one line, the causes in the order of their times.
func told(l *Life) string {
	var out []string
	for _, s := range l.Steps {
		if s.Record == "" {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%.1f %s %s", time.Duration(s.For).Seconds(), s.Cause, s.Where)))
		}
	}
	return l.State + ": " + strings.Join(out, "; ")
}

func TestLives(t *testing.T) {
	all := spool.Command{Match: spool.Match{All: true}, Reason: "why not"}
	some := spool.Command{Match: spool.Match{ByID: true}}
	row := func(state, order string, due float64) *spool.Row {
		r := &spool.Row{Queue: "acme@dest.test", Recipients: []string{"you@dest.test"}, Created: noon, State: state, Order: order}
		if due > 0 {
			r.Due = after(due)
		}
		return r
	}
	for name, c := range map[string]struct {
		log    string
		row    *spool.Row
		now    float64
		runs   []Run
		orders []spool.Order
		want   string
		lost   float64 // unexplained seconds
	}{
		"delivered at once": {
			log:  "0 Reception\n0.003 Delivery",
			want: "delivered: ",
			lost: 0.003,
		},
		"slow host": {
			log:  "0 Reception\n5.01 Delivery {\"spent\":[{\"cause\":\"connect\",\"at\":\"mx/1\",\"for\":1},{\"cause\":\"remote_dot\",\"at\":\"mx/1\",\"for\":4}]}",
			want: "delivered: 0.0 unexplained; 1.0 connect mx/1; 4.0 remote_dot mx/1",
			lost: 0.01,
		},
		"retry, with the line that sets it": {
			log: `0 Reception
				1 TransientFailure {"spent":[{"cause":"dns","for":1}],"wait":{"cause":"retry_interval","at":"init.lua:7","for":1200}}
				1203 Delivery {"spent":[{"cause":"max_message_rate","at":"p.lua:3","for":2}]}`,
			want: "delivered: 1.0 dns; 1200.0 retry_interval init.lua:7; 2.0 max_message_rate p.lua:3",
		},
		"daemon down when it was due": {
			log: `0 Reception
				0 TransientFailure {"wait":{"cause":"retry_interval","for":60}}
				300 Delivery {"spent":[{"cause":"kumo","for":1}]}`,
			runs: []Run{{Start: after(-10), End: after(50)}, {Start: after(299)}},
			want: "delivered: 60.0 retry_interval; 239.0 daemon_down; 1.0 kumo",
		},
		"killed with the message in hand": {
			log:  "0 Reception\n100 Delivery",
			runs: []Run{{Start: after(-10), End: after(20), Killed: true}, {Start: after(99.99)}},
			want: "delivered: 20.0 unexplained; 80.0 daemon_down; 0.0 unexplained",
			lost: 20.01,
		},
		"held, after it was due, by an order that names ids": {
			log: `0 Reception
				0 TransientFailure {"wait":{"cause":"retry_interval","for":10}}
				100 Delivery`,
			orders: []spool.Order{orderOfKind(t, spool.OrderHold, 5, some), orderOfKind(t, spool.OrderRelease, 99, some)},
			want:   "delivered: 10.0 retry_interval; 90.0 held 00000000000000000000000000000005",
		},
		"not held by an order that names other ids": {
			log: `0 Reception
				0 TransientFailure {"wait":{"cause":"retry_interval","for":10}}
				100 Delivery`,
			orders: []spool.Order{orderOfKind(t, spool.OrderHold, 5, some), orderOfKind(t, spool.OrderRelease, 50, some)},
			want:   "delivered: 10.0 retry_interval; 90.0 unexplained",
			lost:   90,
		},
		"not held by an order about another queue": {
			log: `0 Reception
				0 TransientFailure {"wait":{"cause":"retry_interval","for":10}}
				100 Delivery`,
			orders: []spool.Order{
				orderOfKind(t, spool.OrderHold, 5, spool.Command{Match: spool.Match{Domain: "other.test"}}),
				orderOfKind(t, spool.OrderRelease, 99, all),
			},
			want: "delivered: 10.0 retry_interval; 90.0 unexplained",
			lost: 90,
		},
		"requeued before its time": {
			log: `0 Reception
				0 TransientFailure {"wait":{"cause":"retry_interval","at":"x:1","for":1200}}
				100 Delivery {"spent":[{"cause":"kumo","for":1}]}`,
			orders: []spool.Order{orderOfKind(t, spool.OrderRequeue, 99, all)},
			want:   "delivered: 99.0 retry_interval x:1; 1.0 kumo",
		},
		"bounced and brought back": {
			log: `0 Reception
				0 TransientFailure {"wait":{"cause":"retry_interval","for":100}}
				10 AdminBounce {"response":{"code":551,"content":"KumoMTA internal: bounced by order 00000000000000000000000000000009: x"}}
				40 AdminUndo
				100 Delivery`,
			orders: []spool.Order{orderOfKind(t, spool.OrderBounce, 9, all)},
			want:   "delivered: 10.0 retry_interval; 30.0 trashed 00000000000000000000000000000009; 60.0 retry_interval",
		},
		"held now": {
			log:    "0 Reception\n0 TransientFailure {\"wait\":{\"cause\":\"retry_interval\",\"for\":10}}",
			row:    row(spool.StateHeld, "00000000000000000000000000000005", 10),
			now:    60,
			orders: []spool.Order{orderOfKind(t, spool.OrderHold, 5, all)},
			want:   "held: 5.0 retry_interval; 55.0 held 00000000000000000000000000000005",
		},
		"waits now": {
			log:  "0 Reception\n0 TransientFailure {\"wait\":{\"cause\":\"max_retry_interval\",\"at\":\"x:1\",\"for\":100}}",
			row:  row(spool.StateScheduled, "", 100),
			now:  60,
			runs: []Run{{Start: after(-1)}},
			want: "scheduled: 60.0 max_retry_interval x:1",
		},
		"due for long, and nobody runs": {
			log:  "0 Reception\n0 TransientFailure {\"wait\":{\"cause\":\"retry_interval\",\"for\":100}}",
			row:  row(spool.StateScheduled, "", 100),
			now:  160,
			runs: []Run{{Start: after(-1), End: after(50)}},
			want: "scheduled: 100.0 retry_interval; 60.0 daemon_down",
		},
		"in the daemon's hands": {
			log:  "0 Reception",
			row:  row(spool.StateScheduled, "", 0),
			now:  60,
			runs: []Run{{Start: after(-1)}},
			want: "scheduled: 60.0 unexplained",
			lost: 60,
		},
		"the index is behind the log": {
			log:  "0 Reception\n0.5 Delivery {\"spent\":[{\"cause\":\"dns\",\"for\":0.5}]}",
			row:  row(spool.StateScheduled, "", 0),
			now:  1,
			want: "delivered: 0.5 dns",
		},
		"one recipient is still here": {
			log: `0 Reception {"recipient":["you@dest.test","me@dest.test"]}
				1 Delivery {"recipient":"me@dest.test","spent":[{"cause":"remote_dot","for":1}]}
				1 TransientFailure {"wait":{"cause":"retry_interval","for":60}}`,
			row:  row(spool.StateScheduled, "", 61),
			now:  31,
			want: "scheduled: 1.0 remote_dot; 30.0 retry_interval",
		},
		"recipients ended in different ways": {
			log:  "0 Reception\n0 Delivery {\"recipient\":\"a@x\"}\n0 Bounce {\"recipient\":\"b@x\"}",
			want: LifeMixed + ": ",
		},
		"the log begins later": {
			log:  "50 Delivery {\"spent\":[{\"cause\":\"dns\",\"for\":10}]}",
			want: "delivered: 40.0 unexplained; 10.0 dns",
			lost: 40,
		},
		"no end": {
			log:  "0 Reception",
			want: LifeGone + ": ",
		},
		"the spool alone": {
			row:  row(spool.StateScheduled, "", 30),
			now:  10,
			want: "scheduled: 10.0 scheduled",
		},
		"two logs have every record": {
			log: `0 Reception {"meta":{}}
				0 Reception
				5 Delivery {"session_id":"x","spent":[{"cause":"dns","for":5}]}
				5 Delivery {"session_id":"x","spent":[{"cause":"dns","for":5}]}`,
			want: "delivered: 5.0 dns",
		},
		"two hosts in one try": {
			log: `0 Reception
				5 TransientFailure {"session_id":"x","spent":[{"cause":"dns","for":2}]}
				5 TransientFailure {"session_id":"y","spent":[{"cause":"dns","for":3}],"wait":{"cause":"retry_interval","for":9}}
				14 Delivery`,
			want: "delivered: 5.0 dns; 9.0 retry_interval",
		},
		"more is said to be spent than there was time": {
			log:  "0 Reception\n2 Delivery {\"spent\":[{\"cause\":\"dns\",\"for\":3},{\"cause\":\"connect\",\"for\":1}]}",
			want: "delivered: 1.5 dns; 0.5 connect",
		},
		"KumoMTA's own log": {
			log: `0 Reception
				2 TransientFailure {"response":{"code":451,"content":"try later"}}
				1202 Delayed {"response":{"code":451,"content":"KumoMTA internal: ip->mx@smtp_client throttled message rate, delay=10s"}}
				1212 Delivery`,
			want: "delivered: 2.0 unexplained; 1200.0 retry_interval; 10.0 max_message_rate",
			lost: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := facts{now: after(c.now), row: c.row, runs: c.runs, orders: c.orders}
			for _, e := range entries(t, c.log) {
				f.add(e)
			}
			l := f.tell()
			if got := told(l); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if d := time.Duration(l.Unexplained) - time.Duration(c.lost*float64(time.Second)); d.Abs() > time.Millisecond {
				t.Errorf("unexplained %v, want %v s", time.Duration(l.Unexplained), c.lost)
			}
			whole(t, l)
		})
	}
}

// whole fails unless the sums of a life are the life.
func whole(t *testing.T, l *Life) {
	t.Helper()
	var sum Seconds
	for _, s := range l.Sums {
		sum += s.For
	}
	if d := time.Duration(sum - l.Total); d.Abs() > time.Millisecond {
		t.Errorf("the parts are %v together, the whole is %v", time.Duration(sum), time.Duration(l.Total))
	}
	for i := 1; i < len(l.Steps); i++ {
		if l.Steps[i].At.Before(l.Steps[i-1].At) {
			t.Errorf("step %d comes before the one before it: %+v", i, l.Steps[i])
		}
	}
}

// TestRandomLives: whatever records, runs and orders there are, every moment is told once.
func TestRandomLives(t *testing.T) {
	causes := []message.Cause{message.WaitRetry, message.WaitMessageRate, message.SpentDNS, message.WaitSuspended, message.WaitHeld}
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		f := facts{now: after(2000)}
		clock := 0.0
		for range r.IntN(12) {
			e := journal.Entry{
				Type: journal.Types()[r.IntN(len(journal.Types()))], EventTime: after(clock), Created: noon.Unix(), Queue: "q.test",
				Recipients: []string{"a@q.test", "b@q.test"}[:1+r.IntN(2)],
			}
			for range r.IntN(3) {
				e.Spent = append(e.Spent, journal.Span{Cause: causes[r.IntN(len(causes))], For: time.Duration(r.IntN(1e10))})
			}
			if r.IntN(2) == 0 {
				e.Wait = &journal.Span{Cause: causes[r.IntN(len(causes))], For: time.Duration(r.IntN(1e11))}
			}
			f.records = append(f.records, e)
			clock += float64(r.IntN(3)) * r.Float64() * 50
		}
		for up := r.Float64() * 100; r.IntN(3) > 0; up += 50 {
			f.runs = append(f.runs, Run{Start: after(up), End: after(up + 49*r.Float64()), Killed: r.IntN(2) == 0})
		}
		kinds := []string{spool.OrderHold, spool.OrderRelease, spool.OrderSuspend, spool.OrderResume, spool.OrderBounce, spool.OrderUndo, spool.OrderRequeue}
		for k := range r.IntN(5) {
			o := orderOfKind(t, kinds[r.IntN(len(kinds))], float64(k*60), spool.Command{Match: spool.Match{All: true, ByID: r.IntN(2) == 0}})
			f.orders = append(f.orders, o)
		}
		if r.IntN(2) == 0 {
			states := []string{spool.StateScheduled, spool.StateHeld, spool.StateTrashed}
			f.row = &spool.Row{Created: noon, Queue: "q.test", Recipients: []string{"a@q.test"}, State: states[r.IntN(3)], Due: after(r.Float64() * 3000)}
		}
		if len(f.records) == 0 && f.row == nil {
			continue
		}
		whole(t, f.tell())
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestHurried: a wait is cut short by an order that tried the message again; neither an end that is no try nor what
// took back an order about others counts.
func TestHurried(t *testing.T) {
	other := orderOfKind(t, spool.OrderBounce, 90, spool.Command{Match: spool.Match{Domain: "other.test"}})
	undo := orderOfKind(t, spool.OrderUndo, 100, spool.Command{Order: other.ID})
	requeue := orderOfKind(t, spool.OrderRequeue, 99, spool.Command{Match: spool.Match{All: true}})
	for name, c := range map[string]struct {
		end    string
		orders []spool.Order
		want   string
	}{
		"requeue":             {"Delivery", []spool.Order{requeue}, "cut short: requeue by op kumo"},
		"undo about others":   {"Delivery", []spool.Order{other, undo}, ""},
		"bounced, not tried":  {"AdminBounce", []spool.Order{requeue}, ""},
		"undo of lost orders": {"Delivery", []spool.Order{undo}, "cut short: undo by op kumo"},
	} {
		f := facts{orders: c.orders, records: entries(t, "0 Reception\n0 TransientFailure {\"wait\":{\"cause\":\"retry_interval\",\"for\":1200}}\n100 "+c.end)}
		var got string
		for _, s := range f.tell().Steps {
			if s.Cause == message.WaitRetry {
				got = s.Note
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestSecondsInJSON(t *testing.T) {
	b, err := json.Marshal(Seconds(1234567 * time.Microsecond))
	if err != nil || string(b) != "1.235" {
		t.Errorf("%s, %v", b, err)
	}
	var s Seconds
	if err := json.Unmarshal(b, &s); err != nil || time.Duration(s) != 1235*time.Millisecond {
		t.Errorf("%v, %v", time.Duration(s), err)
	}
}
