package queue

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/smtp"
)

var rewrite = flag.Bool("rewrite", false, "write what the commands say into testdata")

// runtimeClock is the runtime's time, which a synctest bubble makes virtual.
type runtimeClock struct{}

func (runtimeClock) Now() time.Time { return time.Now() }

func (runtimeClock) NewTimer(d time.Duration) (<-chan time.Time, func() bool) {
	t := time.NewTimer(d)
	return t.C, t.Stop
}

// world is a Queues among fakes that write down what they are told.
type world struct {
	queues *Queues
	orders *Orders
	launch func() // starts its Run
	stop   func() // ends it
	start  time.Time
	random float64
	epoch  uint64

	mu       sync.Mutex
	events   []event
	sorted   bool
	accounts []string                // of records: what was spent, and what is waited for
	config   map[string]option.Layer // by queue name; "*" for all others
	noConfig bool
	failure  *egress.Failure
	dns      time.Duration // what a plan takes
	room     int           // of the ready queue; -1 for plenty
	*FakeStore
	broken  bool // loads fail
	full    bool // changes fail
	sick    error
	byName  map[string]*message.Message
	names   map[message.ID]string
	offered map[string]*message.Message // waiting in a ready queue
	begun   map[string]*message.Message // in a session
	loads   int
}

type event struct {
	at   time.Duration
	text string
}

func newWorld() *world {
	w := &world{
		start: time.Now(), random: 0.5, room: -1,
		config: map[string]option.Layer{}, FakeStore: NewFakeStore(), byName: map[string]*message.Message{},
		names: map[message.ID]string{}, offered: map[string]*message.Message{}, begun: map[string]*message.Message{},
	}
	w.begin()
	return w
}

// begin makes new queues, as a restart does.
func (w *world) begin() {
	w.queues = New(Options{
		Store: w, Configs: w, Planner: w, Feed: w, Recorder: w, Clock: runtimeClock{},
		Epoch:  func() uint64 { return w.epoch },
		Random: func() float64 { return w.random },
		Sick:   w.sickness,
	})
	w.orders = NewOrders(OrdersOptions{
		Ledger: w, Queues: w.queues, Floor: w, Recorder: w, Clock: runtimeClock{}, Rebind: w.rebind,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	w.stop = func() { cancel(); <-done; <-done }
	q, o := w.queues, w.orders
	w.launch = func() {
		go func() { done <- q.Run(ctx) }()
		go func() { done <- o.Run(ctx) }()
	}
}

func (w *world) note(format string, args ...any) {
	w.events = append(w.events, event{time.Since(w.start), fmt.Sprintf(format, args...)})
}

func (w *world) QueueConfig(_ context.Context, name message.QueueName) (option.Resolved[Config], error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.noConfig {
		return option.Resolved[Config]{}, errors.New("policy is broken")
	}
	w.note("get_queue_config %s", name)
	l, ok := w.config[name.String()]
	if !ok {
		l = w.config["*"]
	}
	return schema.Resolve("make_queue_config", l)
}

func (w *world) Plan(ctx context.Context, req egress.Request) (*egress.Plan, error) {
	w.mu.Lock()
	dns := w.dns
	w.mu.Unlock()
	if dns > 0 {
		select {
		case <-time.After(dns):
			if req.Spent != nil {
				*req.Spent = message.AddSpan(*req.Spent, message.Span{Cause: message.SpentDNS, For: dns})
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure != nil {
		return nil, w.failure
	}
	return &egress.Plan{
		Key: "ip-1->" + req.Queue.Effective() + "@smtp_client", Pool: req.Pool, Origins: egress.Origins{MaxReady: "ready:4"},
	}, nil
}

func (w *world) Offer(plan *egress.Plan, m *message.Message) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := w.names[m.ID]
	if w.room == 0 {
		w.note("%s: no room in %s", name, plan.Key)
		return false
	}
	w.room--
	w.offered[name] = m
	w.note("%s: offered to %s", name, plan.Key)
	return true
}

func (w *world) Full(string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.room == 0
}

func (w *world) Record(r *journal.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rcpts := r.Recipients
	if rcpts == nil {
		rcpts = r.Msg.Recipients
	}
	text := fmt.Sprintf("%s: %s %v attempts=%d %s", w.names[r.Msg.ID], r.Type, rcpts, r.Attempts, r.Response)
	if r.Route.Site != "" || r.Route.Pool != "" {
		text += fmt.Sprintf(" [site=%s pool=%s]", r.Route.Site, r.Route.Pool)
	}
	w.note("%s", text)
	w.accounts = append(w.accounts, accountText(w.names[r.Msg.ID], r))
}

func (w *world) Update(m *message.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full {
		w.note("%s: save fails", w.names[m.ID])
		return errors.New("disk is full")
	}
	if err := w.FakeStore.Update(m); err != nil {
		return err
	}
	w.note("%s: stored due in %s attempts=%d rcpts=%v last=%q", w.names[m.ID], time.Until(m.Due), m.Attempts, m.Recipients, m.LastResponse)
	return nil
}

func (w *world) Reschedule(id message.ID, due time.Time, attempts int, response string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("%s: stored due in %s attempts=%d last=%q", w.names[id], time.Until(due), attempts, response)
	return w.FakeStore.Reschedule(id, due, attempts, response)
}

func (w *world) End(id message.ID, why journal.Type) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("%s: ended by %s", w.names[id], why)
	return w.FakeStore.End(id, why)
}

func (w *world) Take(id message.ID, stamp Stamp) (*message.Message, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loads++
	if w.broken {
		w.note("%s: load fails", w.names[id])
		return nil, errors.New("disk is broken")
	}
	return w.FakeStore.Take(id, stamp)
}

func (w *world) sickness() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sick
}

// message makes and stores one. Its name is its id.
func (w *world) message(name, queue string, due time.Time, rcpts ...string) *message.Message {
	m := &message.Message{Due: due, Sender: mail.Restore("s@example.org"), Queue: queue, Created: time.Now()}
	copy(m.ID[:], name)
	for _, r := range rcpts {
		m.Recipients = append(m.Recipients, mail.Restore(r))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Put(m, Taken)
	w.byName[name], w.names[m.ID] = m, name
	return m
}

// said is what was noted since the last time, in order of time; then in that of the text if the script says "sorted",
// because workers of several queues speak at once.
func (w *world) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out strings.Builder
	if w.sorted {
		slices.SortStableFunc(w.events, func(a, b event) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.text, b.text)) })
	}
	for _, e := range w.events {
		fmt.Fprintf(&out, "%s %s\n", e.at, e.text)
	}
	w.events = nil
	return out.String()
}

// run carries out one command.
func (w *world) run(t *testing.T, command string) string {
	word := strings.Fields(command)
	arg := map[string]string{}
	var plain []string
	for _, a := range word[1:] {
		if k, v, ok := strings.Cut(a, "="); ok {
			arg[k] = v
		} else {
			plain = append(plain, a)
		}
	}
	ctx := t.Context()
	switch word[0] {
	case "config":
		l := option.Layer{}
		for k, v := range arg {
			l[k] = option.Setting{Value: v, Origin: option.Origin{Kind: option.KindLua}}
		}
		w.config[plain[0]] = l
	case "policy":
		w.noConfig = plain[0] == "broken"
	case "epoch":
		w.epoch++
	case "random":
		w.random, _ = strconv.ParseFloat(plain[0], 64)
	case "dns":
		w.dns = duration(plain[0])
	case "plan":
		w.failure = failureOf(plain)
	case "room":
		w.mu.Lock()
		w.room, _ = strconv.Atoi(plain[0])
		w.mu.Unlock()
		if arg["tell"] != "" {
			w.queues.Room(arg["tell"], w.room)
		}
	case "disk":
		w.broken = plain[0] == "broken"
		w.full = plain[0] == "full"
	case "sick", "well":
		w.mu.Lock()
		if w.sick = nil; word[0] == "sick" {
			w.sick = errors.New("spool unhealthy: " + strings.Join(plain, " "))
		}
		w.mu.Unlock()
	case "ready":
		if err := w.queues.Ready(ctx, plain[0]); err != nil {
			return err.Error() + "\n"
		}
	case "insert":
		w.insert(ctx, plain, arg)
	case "settle":
		w.settle(ctx, plain)
	case "advance":
		time.Sleep(duration(plain[0]))
	case "suspend":
		w.queues.Suspend(plain[0], arg["reason"], time.Now().Add(duration(arg["for"])))
	case "resume":
		return fmt.Sprintln(w.queues.Resume(plain[0]))
	case "show":
		return w.show()
	case "sorted":
		w.sorted = true
	case "session":
		w.begun[plain[0]] = w.offered[plain[0]]
		delete(w.offered, plain[0])
	case "order":
		return w.order(t, plain, arg)
	case "places":
		return w.places()
	case "forget":
		for _, n := range plain {
			w.Forget(w.byName[n].ID)
		}
	case "restart":
		return w.restart(arg)
	default:
		return "unknown command\n"
	}
	synctest.Wait()
	return w.said()
}

func (w *world) insert(ctx context.Context, names []string, arg map[string]string) {
	rcpts := strings.Split(arg["to"], ",")
	if arg["to"] == "" {
		rcpts = []string{"r@example.com"}
	}
	for _, n := range names {
		var due time.Time
		if d := arg["due"]; d != "" {
			due = time.Now().Add(duration(d))
		}
		m := w.message(n, arg["queue"], due, rcpts...)
		w.queues.Insert(ctx, m, message.Received)
	}
}

// settle gives an offered message back: settle NAME (OUTCOME:RCPTS|*:CODE:ENHANCED:TEXT…)
func (w *world) settle(ctx context.Context, args []string) {
	w.mu.Lock()
	m := w.offered[args[0]]
	if m == nil {
		m = w.begun[args[0]]
	}
	delete(w.offered, args[0])
	delete(w.begun, args[0])
	w.mu.Unlock()
	var attempts []message.Attempt
	for _, a := range args[1:] {
		part := strings.Split(a, ":")
		at := message.Attempt{Route: message.Route{Site: "ip-1->x@smtp_client"}}
		switch part[0] {
		case "delivered":
			at.Outcome, at.Response = message.Delivered, smtp.NewReply(250, "2.0.0", "ok")
		case "transient":
			at.Outcome, at.Response = message.Transient, smtp.NewReply(451, "4.3.0", "later")
		case "permanent":
			at.Outcome, at.Response = message.Permanent, smtp.NewReply(550, "5.1.1", "unknown")
		case "delayed":
			at.Outcome, at.Response = message.Delayed, smtp.NewReply(451, "4.4.4", "wait")
			at.Delay = duration(part[2])
		}
		if part[1] != "*" {
			for r := range strings.SplitSeq(part[1], ",") {
				at.Recipients = append(at.Recipients, mail.Restore(r))
			}
		}
		attempts = append(attempts, at)
	}
	w.queues.Settle(ctx, m, attempts)
}

func (w *world) show() string {
	var out strings.Builder
	for _, s := range w.queues.Snapshot() {
		fmt.Fprintf(&out, "%s scheduled=%d live=%d", s.Name, s.Scheduled, s.Live)
		if s.NextDue != nil {
			fmt.Fprintf(&out, " next=%s", time.Until(*s.NextDue))
		}
		if s.Blocked != "" {
			fmt.Fprintf(&out, " blocked=%s", s.Blocked)
		}
		if s.Suspended != nil {
			fmt.Fprintf(&out, " suspended=%q", s.Suspended.Reason)
		}
		out.WriteString("\n")
	}
	return out.String()
}

// restart begins anew with what is stored. shift sets the stored times off, as a clock that was set back makes them.
func (w *world) restart(arg map[string]string) string {
	w.stop()
	w.begin()
	w.offered, w.begun = map[string]*message.Message{}, map[string]*message.Message{}
	if err := w.orders.Start(context.Background()); err != nil {
		return err.Error()
	}
	for _, name := range slices.Sorted(maps.Keys(w.byName)) {
		r := w.rows[w.byName[name].ID]
		if r == nil {
			continue
		}
		m := &r.Msg
		if r.Place == Taken {
			r.Place = Waiting
		}
		if s := arg["shift"]; s != "" {
			m.Created = m.Created.Add(duration(s))
			if !m.Due.IsZero() {
				m.Due = m.Due.Add(duration(s))
			}
		}
		w.queues.Restore(Entry{ID: m.ID, Queue: m.Queue, Created: m.Created, Due: m.Due, Attempts: m.Attempts, Place: r.Place, Order: r.Order})
	}
	w.launch()
	synctest.Wait()
	return w.said()
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

func failureOf(args []string) *egress.Failure {
	switch args[0] {
	case "transient":
		return &egress.Failure{Outcome: message.Transient, Reply: smtp.NewReply(451, "4.4.4", "failed to resolve")}
	case "permanent":
		return &egress.Failure{Outcome: message.Permanent, Reason: message.FailedDueToNullMx, Reply: smtp.NewReply(556, "5.1.10", "Recipient address has a null MX")}
	}
	return nil
}

func TestQueues(t *testing.T) {
	files, err := filepath.Glob("testdata/queues/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts in testdata/queues")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(b))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(b) {
				t.Errorf("got:\n%s\nwant:\n%s", got, b)
			}
		})
	}
}

// runScript runs the commands of a script, each followed by "----" and what it said, and gives it back with what they
// say now.
func runScript(t *testing.T, script string) string {
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.launch()
		synctest.Wait()
		blocks := strings.Split(strings.TrimRight(script, "\n"), "\n\n")
		for i, b := range blocks {
			if i > 0 {
				out.WriteString("\n")
			}
			lines := strings.Split(b, "\n")
			end := slices.Index(lines, "----")
			if end < 0 {
				end = len(lines)
			}
			var last string
			for _, l := range lines[:end] {
				out.WriteString(l + "\n")
				if l != "" && l[0] != '#' {
					last += w.run(t, l)
				}
			}
			out.WriteString("----\n" + last)
		}
		w.stop()
	})
	return out.String()
}
