package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// box is a node in a directory of its own: a policy, a spool and logs, with a daemon or without.
type box struct {
	t      testing.TB
	dir    string
	policy string
}

// newBox makes a box whose mail goes to addr (host:port); retry is its retry_interval.
func newBox(t testing.TB, addr, retry string) *box {
	t.Setenv("GOMAXPROCS", strconv.Itoa(runtime.GOMAXPROCS(0))) // else each daemon doubles it
	b := &box{t: t, dir: t.TempDir()}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	b.policy = filepath.Join(b.dir, "init.lua")
	text := fmt.Sprintf(`local kumo = require 'kumo'
kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '%[1]s/spool' }
  kumo.define_spool { name = 'meta', path = '%[1]s/meta' }
  kumo.configure_local_logs { log_dir = '%[1]s/log', max_segment_duration = '1s' }
end)
kumo.on('get_queue_config', function()
  return kumo.make_queue_config { retry_interval = '%[2]s', protocol = { smtp = { mx_list = { '[127.0.0.1]' } } } }
end)
kumo.on('get_egress_path_config', function()
  return kumo.make_egress_path { smtp_port = %[3]s, enable_tls = 'Disabled', connection_limit = 8, prohibited_hosts = {} }
end)
kumo.on('rebind_message', function(msg, data) msg:set_meta('tenant', data.tenant) end)
`, b.dir, retry, port)
	if err := os.WriteFile(b.policy, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *box) spool() string { return filepath.Join(b.dir, "spool") }

// watcher is a log that tells when a daemon is ready, and keeps what it says.
type watcher struct {
	slog.Handler
	ready chan struct{}
	once  sync.Once
	mu    sync.Mutex
	said  strings.Builder
}

func (w *watcher) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (w *watcher) WithAttrs([]slog.Attr) slog.Handler           { return w }
func (w *watcher) WithGroup(string) slog.Handler                { return w }

func (w *watcher) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	fmt.Fprintf(&w.said, "%s %s", r.Level, r.Message)
	r.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&w.said, " %s", a); return true })
	w.said.WriteString("\n")
	w.mu.Unlock()
	if os.Getenv("KUMO_TEST_TALK") != "" {
		println(w.said.String())
	}
	if r.Message == "initialization complete" {
		w.once.Do(func() { close(w.ready) })
	}
	return nil
}

func (w *watcher) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.String()
}

// serve runs a daemon until the function that it returns is called, which gives back what it said. A spool that a verb
// holds is waited for.
func (b *box) serve() (stop func() string) {
	b.t.Helper()
	for {
		w := &watcher{ready: make(chan struct{})}
		drain, end := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- Serve(context.Background(), drain, Options{Policy: b.policy, User: "root", Version: "test", Log: slog.New(w)})
		}()
		select {
		case <-w.ready:
			return func() string {
				end()
				if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
					b.t.Errorf("serve: %v\n%s", err, w.text())
				}
				return w.text()
			}
		case err := <-done:
			end()
			if !errors.As(err, new(*spool.HeldError)) {
				b.t.Fatalf("serve: %v\n%s", err, w.text())
			}
		}
	}
}

// inject brings n messages in and returns their ids.
func (b *box) inject(n int, to func(i int) string) []message.ID {
	b.t.Helper()
	in, err := OpenInjector(b.t.Context(), b.spool(), Options{Policy: b.policy})
	if err != nil {
		b.t.Fatal(err)
	}
	letters := make([]*Letter, n)
	for i := range letters {
		letters[i] = &Letter{
			Sender: mail.Restore("sender@example.org"), Recipients: []mail.Address{mail.Restore(to(i))},
			Data: fmt.Appendf(nil, "Subject: %d\r\n\r\nmessage %d\r\n", i, i),
		}
	}
	got, err := in.Inject(b.t.Context(), letters...)
	if err != nil {
		b.t.Fatal(err)
	}
	var ids []message.ID
	for _, g := range got {
		if g.Refused != "" {
			b.t.Fatal(g.Refused)
		}
		ids = append(ids, g.IDs...)
	}
	if err := in.Close(); err != nil {
		b.t.Fatal(err)
	}
	return ids
}

// fill stores n messages that are due at that time, without a daemon and without a word in the log.
func (b *box) fill(n int, to func(i int) string, due time.Time) []message.ID {
	b.t.Helper()
	s, err := spool.Open(b.t.Context(), spool.Config{Dir: b.spool(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.t.Fatal(err)
	}
	source := message.NewIDSource(time.Now)
	ids := make([]message.ID, n)
	const batch = 1000
	for at := 0; at < n; at += batch {
		var ms []*message.Message
		for i := at; i < min(at+batch, n); i++ {
			m := &message.Message{
				ID: source.Next(), Sender: mail.Restore("sender@example.org"), Recipients: []mail.Address{mail.Restore(to(i))},
				Meta: message.NewMeta(nil), Created: time.Now(), Due: due,
			}
			m.Queue = m.QueueName()
			m.SetData(fmt.Appendf(nil, "Subject: %d\r\n\r\nmessage %d\r\n", i, i))
			ids[i] = m.ID
			ms = append(ms, m)
		}
		if err := s.Accept(b.t.Context(), "", ms...); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.t.Fatal(err)
	}
	return ids
}

// order gives an order and returns what came of it.
func (b *box) order(kind string, c spool.Command, ids ...message.ID) spool.Order {
	b.t.Helper()
	done, err := b.tryOrder(b.t.Context(), kind, c, ids...)
	if err != nil {
		b.t.Fatalf("%s: %v", kind, err)
	}
	if done.State != spool.OrderDone || done.Counts == nil {
		b.t.Fatalf("%s: order is %s: %s", kind, done.State, done.Error)
	}
	return done
}

func (b *box) tryOrder(ctx context.Context, kind string, c spool.Command, ids ...message.ID) (spool.Order, error) {
	o, err := spool.NewCommand(kind, "", c, ids)
	if err != nil {
		return o, err
	}
	clerk, err := OpenClerk(ctx, b.spool(), Options{Policy: b.policy})
	if err != nil {
		return o, err
	}
	done, err := clerk.Do(ctx, o)
	return done, errors.Join(err, clerk.Close())
}

// records are the log's records by message and type.
func (b *box) records() map[string]map[journal.Type]int {
	b.t.Helper()
	out := map[string]map[journal.Type]int{}
	for e, err := range journal.Read(b.t.Context(), journal.ReadOptions{Dirs: []string{filepath.Join(b.dir, "log")}}) {
		if err != nil {
			b.t.Fatal(err)
		}
		if out[e.ID] == nil {
			out[e.ID] = map[journal.Type]int{}
		}
		out[e.ID][e.Type]++
	}
	return out
}

// rows are the messages of the spool.
func (b *box) rows(want spool.Filter) map[string]spool.Row {
	b.t.Helper()
	r, err := spool.OpenReader(b.t.Context(), b.spool())
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	out := map[string]spool.Row{}
	if err := r.List(b.t.Context(), want, func(row spool.Row) error { out[row.ID.String()] = row; return nil }); err != nil {
		b.t.Fatal(err)
	}
	return out
}

// eventually waits for something that another goroutine brings about.
func (b *box) eventually(what string, f func() bool) {
	b.t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); {
		if time.Now().After(end) {
			b.t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
