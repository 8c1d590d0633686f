package ready

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
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

var pathSchema = option.SchemaOf[egress.Path]()

// testPath is a path with the defaults, changed by f.
func testPath(f func(*egress.Path)) *egress.Path {
	p := pathSchema.Default()
	if f != nil {
		f(&p)
	}
	return &p
}

func testPlan(p *egress.Path) *egress.Plan {
	return &egress.Plan{Key: "ip-1->example.com@smtp_client", Site: "example.com", Pool: "pool-1", Source: &egress.Source{Name: "ip-1"}, Path: p}
}

// world is a Queues with a scripted peer.
type world struct {
	queues *Queues
	start  time.Time
	stop   context.CancelFunc
	ended  chan error

	mu       sync.Mutex
	events   []event
	path     *egress.Path
	plan     *egress.Plan
	open     string        // what opening a session comes to
	connect  time.Duration // how long it takes
	deliver  string        // what delivering comes to
	takes    time.Duration // how long it takes
	closing  time.Duration
	deaf     bool // deliveries do not hear that they are cancelled
	yields   bool // sessions can be told to yield
	tells    bool // what goes to the log is noted
	low      bool // memory is low
	sick     error
	messages int
	names    map[message.ID]string
	spent    map[string]string // what settled messages say they have spent
}

type event struct {
	at   time.Duration
	text string
}

func newWorld(t *testing.T) *world {
	w := &world{start: time.Now(), open: "ok", deliver: "delivered", names: map[message.ID]string{}, spent: map[string]string{}, path: testPath(nil), ended: make(chan error, 1)}
	w.plan = testPlan(w.path)
	w.queues = New(Options{
		Settler: w, Carriers: w, Clock: runtimeClock{}, Random: func() float64 { return 0.5 }, Pressure: w, Log: slog.New(&noteLog{w: w}),
		Room: func(key string, n int) { w.note("room for %d in %s", n, key) },
	})
	var ctx context.Context
	ctx, w.stop = context.WithCancel(t.Context())
	go func() { w.ended <- w.queues.Run(ctx) }()
	return w
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event{time.Since(w.start), fmt.Sprintf(format, args...)})
}

func (w *world) Settle(_ context.Context, m *message.Message, attempts []message.Attempt) {
	w.mu.Lock()
	name := w.names[m.ID]
	if name == "" {
		panic("settled twice, or never offered")
	}
	delete(w.names, m.ID)
	w.spent[name] = spansText(m.Spent)
	w.mu.Unlock()
	for _, a := range attempts {
		outcome := []string{"delivered", "transient", "permanent", "delayed"}[a.Outcome]
		text := fmt.Sprintf("%s %s: %s", name, outcome, a.Response)
		if a.Outcome == message.Delayed {
			text += fmt.Sprintf(" (%s)", a.Delay)
		}
		if a.Reason != "" {
			text += " " + string(a.Reason)
		}
		w.note("%s", text)
	}
}

func (w *world) Carrier(*egress.Plan) egress.Carrier { return w }

func (w *world) Open(ctx context.Context, _ *egress.Plan) (egress.Session, error) {
	w.mu.Lock()
	s := &peer{w: w}
	how, takes := w.open, w.connect
	w.mu.Unlock()
	w.note("session opens")
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			w.note("session cancelled")
			return nil, &egress.Failure{Outcome: message.Transient, Reply: smtp.NewReply(451, "4.4.1", "cancelled")}
		}
	}
	switch how {
	case "refused":
		return nil, &egress.Failure{Outcome: message.Transient, Reply: smtp.NewReply(451, "4.4.1", "connection refused")}
	case "no-answer":
		return nil, &egress.Failure{
			Outcome: message.Transient, Reason: message.TooManyConnectionFailures, Reply: smtp.NewReply(451, "4.4.1", "No answer from any hosts listed in MX"),
			Cause: fmt.Errorf("mx1./10.0.0.1: refused;\nmx2./10.0.0.2: %s", strings.Repeat("no answer ", 100)),
		}
	case "null-mx":
		return nil, &egress.Failure{Outcome: message.Permanent, Reason: message.FailedDueToNullMx, Reply: smtp.NewReply(556, "5.1.10", "Recipient address has a null MX")}
	case "no-hosts":
		return nil, &egress.Failure{Outcome: message.Transient, Reason: message.MxResolvedToZeroHosts, Reply: smtp.NewReply(451, "4.4.4", "MX didn't resolve to any hosts")}
	case "error":
		return nil, fmt.Errorf("something else")
	case "nothing":
		return nil, nil
	case "panic":
		panic("open")
	}
	if w.yields {
		return &yieldingPeer{peer: s, asked: make(chan struct{})}, nil
	}
	return s, nil
}

// noteLog notes what operators are told, in scripts that want to know.
type noteLog struct {
	slog.Handler
	w *world
}

func (h *noteLog) Enabled(_ context.Context, l slog.Level) bool {
	return l == slog.LevelInfo && h.w.tells
}

func (h *noteLog) Handle(_ context.Context, r slog.Record) error {
	text := "log: " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	h.w.note("%s", text)
	return nil
}

// Low, Keep and Sick are Pressure.
func (w *world) Low() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.low
}

func (w *world) Keep(ms []*message.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range ms {
		if m.Deferred {
			m.Deferred = false
			m.SetLoader(w)
		}
	}
	return nil
}

func (w *world) Sick() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sick
}

// Body is message.Body.
func (w *world) Body(message.ID) ([]byte, error) { return []byte("as stored"), nil }

// yieldingPeer gives a message back when it is told to, unless it is of the kind "text".
type yieldingPeer struct {
	*peer
	once  sync.Once
	asked chan struct{}
}

func (p *yieldingPeer) Yield() {
	p.w.note("session is to yield")
	p.once.Do(func() { close(p.asked) })
}

func (p *yieldingPeer) Deliver(ctx context.Context, m *message.Message) egress.Result {
	p.w.mu.Lock()
	how := p.w.deliver
	p.w.mu.Unlock()
	if how == "text" {
		return p.peer.Deliver(ctx, m)
	}
	p.w.note("session sends %s", p.w.name(m))
	<-p.asked
	return egress.Result{Unsent: true, Done: true}
}

func (w *world) name(m *message.Message) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[m.ID]
}

// peer is a session of the scripted peer.
type peer struct {
	w    *world
	last time.Time // when it took a message
}

func (p *peer) Deliver(ctx context.Context, m *message.Message) egress.Result {
	w := p.w
	w.mu.Lock()
	how, takes, deaf, name := w.deliver, w.takes, w.deaf, w.names[m.ID]
	w.mu.Unlock()
	w.note("session sends %s", name)
	if takes > 0 && deaf {
		time.Sleep(takes)
	} else if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return egress.Result{Attempts: []message.Attempt{{Outcome: message.Transient, Response: smtp.NewReply(451, "4.4.1", "cancelled")}}, Done: true}
		}
	}
	a := message.Attempt{Response: smtp.NewReply(250, "2.0.0", "ok")}
	switch how {
	case "transient":
		a.Outcome, a.Response = message.Transient, smtp.NewReply(451, "4.3.0", "later")
	case "permanent":
		a.Outcome, a.Response = message.Permanent, smtp.NewReply(550, "5.1.1", "unknown")
	case "impatient": // hangs up as soon as nothing comes
		if idle := !p.last.IsZero() && time.Since(p.last) > 0; idle {
			return egress.Result{Unsent: true, Done: true}
		}
		p.last = time.Now()
	case "unsent":
		return egress.Result{Unsent: true, Done: true}
	case "nothing":
		return egress.Result{}
	case "panic":
		panic("deliver")
	}
	return egress.Result{Attempts: []message.Attempt{a}, Done: how == "done"}
}

func (p *peer) Close() {
	p.w.mu.Lock()
	closing, how := p.w.closing, p.w.deliver
	p.w.mu.Unlock()
	p.w.note("session closes")
	time.Sleep(closing)
	if how == "panic" {
		panic("close")
	}
}

// said is what was noted since the last time, in order of time, then text, since several goroutines speak.
func (w *world) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortStableFunc(w.events, func(a, b event) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return strings.Compare(a.text, b.text)
	})
	var out strings.Builder
	for _, e := range w.events {
		fmt.Fprintf(&out, "%s %s\n", e.at, e.text)
	}
	w.events = nil
	return out.String()
}

// offer offers n messages.
func (w *world) offer(n int) {
	for range n {
		w.mu.Lock()
		w.messages++
		m := &message.Message{Deferred: w.messages%2 == 0}
		m.SetData([]byte("Subject: x\r\n\r\n"))
		if !m.Deferred {
			m.SetLoader(w)
		}
		copy(m.ID[:], strconv.Itoa(w.messages))
		name := fmt.Sprintf("m%d", w.messages)
		w.names[m.ID] = name
		w.mu.Unlock()
		if !w.queues.Offer(w.plan, m) {
			w.mu.Lock()
			delete(w.names, m.ID)
			w.mu.Unlock()
			w.note("%s finds no room", name)
		}
	}
}

// run carries out one command.
func (w *world) run(command string) string {
	word := strings.Fields(command)
	switch word[0] {
	case "path":
		w.setPath(word[1:])
	case "open", "deliver", "connect-takes", "deliver-takes", "close-takes":
		w.mu.Lock()
		switch word[0] {
		case "open":
			w.open = word[1]
		case "deliver":
			w.deliver = word[1]
		case "connect-takes":
			w.connect = duration(word[1])
		case "deliver-takes":
			w.takes = duration(word[1])
		case "close-takes":
			w.closing = duration(word[1])
		}
		w.mu.Unlock()
	case "yields":
		w.yields = true
	case "tells":
		w.tells = true
	case "sick", "well", "low":
		w.mu.Lock()
		w.low = w.low || word[0] == "low"
		if w.sick = nil; word[0] == "sick" {
			w.sick = errors.New("spool unhealthy: " + strings.Join(word[1:], " "))
		}
		w.mu.Unlock()
	case "relieve":
		w.queues.Relieve()
	case "resident":
		messages, bodies := w.queues.Resident()
		return fmt.Sprintln(messages, "messages,", bodies, "bodies")
	case "deaf":
		w.deaf = true
	case "offer":
		n, _ := strconv.Atoi(word[1])
		w.offer(n)
	case "advance":
		time.Sleep(duration(word[1]))
	case "recall":
		got := w.queues.Recall(func(id message.ID) bool { return slices.Contains(word[1:], w.name(&message.Message{ID: id})) })
		out := "recalled"
		for _, m := range got {
			out += " " + w.name(m)
		}
		synctest.Wait()
		return w.said() + out + "\n"
	case "hurry":
		w.queues.Hurry(w.plan.Key)
	case "full":
		return fmt.Sprintln(w.queues.Full(w.plan.Key))
	case "show":
		return w.show()
	case "stop":
		w.stop()
	case "abort":
		w.queues.Abort()
	case "ended":
		select {
		case err := <-w.ended:
			return fmt.Sprintln(err)
		default:
			return "no\n"
		}
	default:
		return "unknown command\n"
	}
	synctest.Wait()
	return w.said()
}

func (w *world) setPath(args []string) {
	l := option.Layer{}
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		s := option.Setting{Value: v, Origin: option.Origin{Kind: option.KindLua}}
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			s.Value = n
		}
		l[k] = s
	}
	r, err := pathSchema.Resolve("make_egress_path", l)
	if err != nil {
		panic(err)
	}
	w.path = &r.Value
	w.plan = testPlan(w.path)
	w.plan.Origins = egress.Origins{ConnectionLimit: "p:1", MaxConnectionRate: "p:2", MaxMessageRate: "p:3", MaxReady: "p:4"}
}

func (w *world) show() string {
	var out strings.Builder
	for _, s := range w.queues.Snapshot() {
		fmt.Fprintf(&out, "%s count=%d connections=%d opening=%d idle=%d failures=%d delivered=%d transfail=%d fail=%d", s.Name, s.Count,
			s.Connections, s.Opening, s.Idle, s.Failures, s.Delivered, s.Transfail, s.Fail)
		if s.NotBefore != nil {
			fmt.Fprintf(&out, " pause=%s", time.Until(*s.NotBefore))
		}
		out.WriteString("\n")
	}
	return out.String()
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
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
		w := newWorld(t)
		synctest.Wait()
		for i, b := range strings.Split(strings.TrimRight(script, "\n"), "\n\n") {
			if i > 0 {
				out.WriteString("\n")
			}
			lines := strings.Split(b, "\n")
			end := slices.Index(lines, "----")
			if end < 0 {
				end = len(lines)
			}
			var said string
			for _, l := range lines[:end] {
				out.WriteString(l + "\n")
				if l != "" && l[0] != '#' {
					said += w.run(l)
				}
			}
			out.WriteString("----\n" + said)
		}
		w.stop()
		time.Sleep(2 * time.Hour) // whatever a script left running ends by itself
	})
	return out.String()
}
