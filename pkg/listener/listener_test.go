package listener

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/smtp"
)

// world is what a listener asks of others: policy, intake and log, with everything that they were told.
type world struct {
	mu      sync.Mutex
	domains map[string]Domain
	asked   []string // domains that policy was asked about
	subs    []message.Submission
	records []journal.Record
	ids     *message.IDSource
	forget  bool // do not keep what came in

	domainErr error                                                     // what ListenerDomain fails with
	accept    func(context.Context, *message.Submission) error          // what Accept fails with
	gate      func() *smtp.Error                                        // what Gate says
	seen      func(ctx context.Context, conn *message.Meta, dom string) // called by ListenerDomain
}

func newWorld() *world {
	return &world{domains: map[string]Domain{}, ids: message.NewIDSource(time.Now)}
}

func (w *world) ListenerDomain(ctx context.Context, domain, _ string, conn *message.Meta) (Domain, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, domain)
	if w.seen != nil {
		w.seen(ctx, conn, domain)
	}
	return w.domains[domain], w.domainErr
}

func (w *world) Accept(ctx context.Context, sub *message.Submission) ([]message.ID, error) {
	if w.accept != nil {
		if err := w.accept(ctx, sub); err != nil {
			return nil, err
		}
	}
	var ids []message.ID
	for range sub.Recipients {
		ids = append(ids, w.ids.Next())
	}
	if w.forget {
		return ids, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := *sub
	kept.Data = append([]byte(nil), sub.Data...)
	kept.Recipients = append(kept.Recipients[:0:0], sub.Recipients...)
	w.subs = append(w.subs, kept)
	return ids, nil
}

func (w *world) Record(r *journal.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, *r)
}

func (w *world) mail() []message.Submission {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]message.Submission(nil), w.subs...)
}

func (w *world) log() []journal.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]journal.Record(nil), w.records...)
}

var optionsSchema = option.SchemaOf[Options]()

// options resolves what start_esmtp_listener would get.
func options(t testing.TB, values map[string]any) Options {
	t.Helper()
	all := map[string]any{"hostname": "mx.kumo.test", "client_timeout": "10s"}
	for k, v := range values {
		all[k] = v
	}
	r, err := optionsSchema.Resolve("start_esmtp_listener", option.NewLayer(all, option.Origin{}))
	if err != nil {
		t.Fatal(err)
	}
	return r.Value
}

func newServer(t testing.TB, w *world, o Options) *Server {
	t.Helper()
	p := Parts{
		Options: o, Hooks: w, Intake: w, Recorder: w, Metrics: NewMetrics(nil),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if w.gate != nil {
		p.Gate = w.gate
	}
	s, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// running is a server that serves, and the means to end it.
type running struct {
	addr  string
	stop  context.CancelFunc // begins the shutdown
	abort context.CancelFunc
	done  chan error
}

// serve runs s on a loopback port until the test ends.
func serve(t testing.TB, s *Server) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, s, ln)
}

func serveOn(t testing.TB, s *Server, ln net.Listener) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	abort, kill := context.WithCancel(context.Background())
	r := &running{addr: ln.Addr().String(), stop: stop, abort: kill, done: make(chan error, 1)}
	go func() { r.done <- s.Serve(ctx, abort, ln) }()
	t.Cleanup(func() {
		stop()
		kill()
		select {
		case err := <-r.done:
			r.done <- err
		case <-time.After(20 * time.Second):
			t.Error("the server did not end")
		}
	})
	return r
}

// client is the peer of a test.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// dial connects from the given loopback address; 127.0.0.1 may relay, others may not.
func dial(t testing.TB, addr, from string) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// send writes bytes as they are. That the server may have closed already is its right.
func (c *client) send(s string) {
	_, _ = io.WriteString(c.conn, s)
}

// reply reads one reply, its lines joined by "\n", without line ends; "" when the connection is closed.
func (c *client) reply() string {
	c.t.Helper()
	var lines []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			if isTimeout(err) {
				c.t.Fatalf("no reply within the time (got %q)", lines)
			}
			return strings.Join(lines, "\n")
		}
		if !strings.HasSuffix(line, "\r\n") || len(line) > 512 {
			c.t.Errorf("reply line %q: want CRLF at its end and at most 512 bytes", line)
		}
		line = strings.TrimSuffix(line, "\r\n")
		for _, b := range []byte(line) {
			if b < ' ' || b == 0x7f {
				c.t.Errorf("reply line %q has control characters", line)
			}
		}
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n")
		}
	}
}

// ask sends a command and checks the beginning of the reply.
func (c *client) ask(command, want string) string {
	c.t.Helper()
	c.send(command + "\r\n")
	return c.expect(command, want)
}

func (c *client) expect(what, want string) string {
	c.t.Helper()
	got := c.reply()
	if !strings.HasPrefix(got, want) || (want == "" && got != "") {
		c.t.Errorf("%.80q: got %q, want %q", what, got, want)
	}
	return got
}

// rest is every reply until the connection is closed.
func (c *client) rest() []string {
	c.t.Helper()
	var all []string
	for {
		r := c.reply()
		if r == "" {
			return all
		}
		all = append(all, r)
	}
}

// hello gets a fresh connection as far as EHLO.
func (c *client) hello() {
	c.t.Helper()
	c.expect("banner", "220 ")
	c.ask("EHLO client.test", "250-")
}

// startTLS changes to TLS.
func (c *client) startTLS() {
	c.t.Helper()
	c.ask("STARTTLS", "220 ")
	conn := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	if err := conn.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.r = conn, bufio.NewReader(conn)
}

// start is a server with these options and a client that may relay, or not, with the banner unread.
func start(t testing.TB, w *world, values map[string]any, from string) *client {
	t.Helper()
	return dial(t, serve(t, newServer(t, w, options(t, values))).addr, from)
}

const (
	friend   = "127.0.0.1"
	stranger = "127.0.0.2"
)
