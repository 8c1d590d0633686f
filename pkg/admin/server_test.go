package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/option"
)

func options(t *testing.T, trusted ...string) ListenerOptions {
	t.Helper()
	set, err := option.CIDRs(trusted...)
	if err != nil {
		t.Fatal(err)
	}
	return ListenerOptions{Listen: "127.0.0.1:0", Hostname: "kumo.example", TrustedHosts: set, RequestBodyLimit: 1000}
}

// start serves on loopback until the test ends and returns the address.
func start(t *testing.T, o ListenerOptions, live func() error) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	metrics := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "secret_metric 1 %s\n", r.URL.Query().Get("prefix"))
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- New(Config{Options: o, Live: live, Metrics: metrics}).Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// talk sends raw bytes and returns all that comes back until the server closes.
func talk(t *testing.T, addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, request)
	answer, _ := io.ReadAll(c)
	return string(answer)
}

func get(path, headers string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" + headers + "\r\n"
}

func status(answer string) string {
	fields := strings.Fields(answer)
	if len(fields) < 2 {
		return "closed"
	}
	return fields[1]
}

func TestLivenessSaysWhy(t *testing.T) {
	var why error
	addr := start(t, options(t), func() error { return why })
	if got := talk(t, addr, get("/api/check-liveness/v1", "")); status(got) != "200" {
		t.Errorf("healthy: %q", got)
	}
	why = errors.New("waiting for spool startup")
	got := talk(t, addr, get("/api/check-liveness/v1", "Host2: x\r\n"))
	if status(got) != "503" || !strings.Contains(got, why.Error()) {
		t.Errorf("unhealthy: %q", got)
	}
}

func TestMetricsForTheTrusted(t *testing.T) {
	trusted, stranger := start(t, options(t, "127.0.0.1"), nil), start(t, options(t, "192.0.2.1"), nil)
	if got := talk(t, trusted, get("/metrics?prefix=x_", "")); status(got) != "200" || !strings.Contains(got, "secret_metric 1 x_") {
		t.Errorf("trusted: %q", got)
	}
	if got := talk(t, stranger, get("/metrics", "")); status(got) != "403" || strings.Contains(got, "secret_metric") {
		t.Errorf("stranger: %q", got)
	}
	if got := talk(t, stranger, get("/api/check-liveness/v1", "")); status(got) != "200" {
		t.Errorf("liveness for a stranger: %q", got)
	}
}

// endpoints are KumoMTA's, which a stranger may try.
var endpoints = []string{
	"/metrics", "/metrics.json", "/", "/rapidoc", "/api/openapi.json", "/api/inject/v1", "/api/admin/bounce/v1",
	"/api/admin/suspend/v1", "/api/admin/suspend-ready-q/v1", "/api/admin/rebind/v1", "/api/admin/inspect-message/v1?id=1",
	"/api/admin/inspect-sched-q/v1?queue_name=a", "/api/admin/ready-q-states/v1", "/api/admin/bump-config-epoch",
	"/api/admin/set_diagnostic_log_filter/v1", "/api/admin/memory/stats", "/api/admin/task-dump", "/api/machine-info",
	"/api/admin/trace-smtp-server/v1", "/api/admin/trace-smtp-client/v1", "/api/admin/xfer/v1", "/debug/pprof/",
}

// TestStrangersGetNothing is C1: endpoints times tricks, from an address that is not trusted.
func TestStrangersGetNothing(t *testing.T) {
	addr := start(t, options(t, "192.0.2.1"), nil)
	tricks := []string{
		"", "X-Forwarded-For: 192.0.2.1\r\n", "Forwarded: for=192.0.2.1\r\n", "X-Real-IP: 192.0.2.1\r\n",
		"Authorization: Basic YWRtaW46YWRtaW4=\r\n", "Authorization: Bearer x\r\n", "Host: 192.0.2.1\r\n",
	}
	for _, path := range endpoints {
		for _, method := range []string{"GET", "POST"} {
			for _, trick := range tricks {
				request := strings.Replace(get(path, trick), "GET", method, 1)
				if strings.HasPrefix(trick, "Host") {
					request = strings.Replace(request, "Host: 127.0.0.1\r\n", "", 1)
				}
				if got := status(talk(t, addr, request)); got != "403" && got != "401" {
					t.Errorf("%s %s with %q: %s, want 403", method, path, trick, got)
				}
			}
		}
	}
}

// TestPathTricks is F144: no spelling but the plain one reaches anything, not even for the trusted.
func TestPathTricks(t *testing.T) {
	addr := start(t, options(t, "127.0.0.1"), nil)
	for _, path := range []string{
		"/metrics/", "//metrics", "/./metrics", "/x/../metrics", "/%6detrics", "/metrics%00", "/metrics%20", "/METRICS",
		"/metrics;x=1", "/metrics%3fprefix", `/\metrics`, "/metrics.json", "http://127.0.0.1/metrics", "/metrics/../metrics",
		"/api/check-liveness/v1/", "/api//check-liveness/v1", "/api/check-liveness/v1%2f", "*", "/api/check-liveness/v2",
	} {
		if got := status(talk(t, addr, get(path, ""))); got < "400" || got > "499" {
			t.Errorf("%s: %s, want 4xx", path, got)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"} {
		request := strings.Replace(get("/metrics", "X-HTTP-Method-Override: GET\r\n"), "GET /", method+" /", 1)
		if got := status(talk(t, addr, request)); got < "400" || got > "499" {
			t.Errorf("%s: %s, want 4xx", method, got)
		}
	}
	if got := status(talk(t, addr, "OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")); got < "400" {
		t.Errorf("OPTIONS *: %s, want 4xx", got)
	}
}

// TestWebPagesAreRefused is F145: a page in the browser of a trusted machine.
func TestWebPagesAreRefused(t *testing.T) {
	addr := start(t, options(t, "127.0.0.1"), nil)
	tests := []struct {
		headers string
		want    string
	}{
		{"Host: 127.0.0.1", "200"},
		{"Host: localhost:8000", "200"},
		{"Host: KUMO.example:8000", "200"},
		{"Host: [::1]:8000", "200"},
		{"Host: evil.example", "421"},
		{"Host: 127.0.0.1.evil.example", "421"},
		{"Host: ", "421"},
		{"Host: 127.0.0.1\r\nOrigin: http://127.0.0.1", "200"},
		{"Host: 127.0.0.1\r\nOrigin: http://evil.example", "403"},
		{"Host: 127.0.0.1\r\nOrigin: null", "403"},
		{"Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nOrigin: http://evil.example", "403"},
		{"Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site", "403"},
		{"Host: 127.0.0.1\r\nSec-Fetch-Site: same-origin", "200"},
	}
	for _, tt := range tests {
		got := talk(t, addr, "GET /metrics HTTP/1.1\r\n"+tt.headers+"\r\nConnection: close\r\n\r\n")
		if status(got) != tt.want {
			t.Errorf("%q: %s, want %s", tt.headers, status(got), tt.want)
		}
	}
}

// TestOneAnswerForOddFraming is C4: what could be read as two requests gets one answer.
func TestOneAnswerForOddFraming(t *testing.T) {
	addr := start(t, options(t, "127.0.0.1"), nil)
	second := "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
	for _, framing := range []string{
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
		"Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
		"Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n",
		"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
		"Content-Length: +0\r\n\r\n",
		"Content-Length: 0x0\r\n\r\n",
		"Content-Length: 0, 0\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
		"Host: other\r\n\r\n",
		"X: a\r\n\tb\x00\r\n\r\n",
		"Content-Length: 2000\r\n\r\n" + strings.Repeat("x", 2000),
	} {
		got := talk(t, addr, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n"+framing+second)
		if n := strings.Count(got, "HTTP/1.1 "); n > 1 {
			t.Errorf("%q: %d answers", framing, n)
		}
	}
	if got := talk(t, addr, get("/metrics", "X: "+strings.Repeat("x", 70<<10)+"\r\n")); status(got) != "431" {
		t.Errorf("70 KiB of header: %s, want 431", status(got))
	}
	if got := talk(t, addr, get("/metrics", "Content-Length: 1001\r\n")); status(got) != "413" {
		t.Errorf("a body over the limit: %s, want 413", status(got))
	}
}

// pipes is a listener of connections in memory, so that hours pass in no time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// TestSlowClientsAreCut is C5 with figures of server.go.
func TestSlowClientsAreCut(t *testing.T) {
	drip := func(c net.Conn, text string) {
		for {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
			time.Sleep(3 * time.Second)
		}
	}
	tests := map[string]struct {
		act   func(c net.Conn)
		limit time.Duration
	}{
		"says nothing":  {func(net.Conn) {}, readHeaderTimeout},
		"half a header": {func(c net.Conn) { _, _ = io.WriteString(c, "GET / HT") }, readHeaderTimeout},
		"drips headers": {func(c net.Conn) {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n")
			drip(c, "X: y\r\n")
		}, readHeaderTimeout + 3*time.Second},
		"body never comes": {func(c net.Conn) {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
		}, readTimeout},
		"idle after an answer": {func(c net.Conn) {
			_, _ = io.WriteString(c, "GET /api/check-liveness/v1 HTTP/1.1\r\nHost: x\r\n\r\n")
		}, idleTimeout},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := &pipes{make(chan net.Conn), make(chan struct{})}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- New(Config{Options: options(t)}).Serve(ctx, ln) }()
				c := ln.dial()
				begin := time.Now()
				acted := make(chan struct{})
				go func() {
					tt.act(c)
					close(acted)
				}()
				_, _ = io.Copy(io.Discard, c)
				if took := time.Since(begin); took > tt.limit+time.Second {
					t.Errorf("cut after %v, want %v", took, tt.limit)
				}
				_ = c.Close()
				<-acted
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestConnectionsAreCapped(t *testing.T) {
	ln := &pipes{make(chan net.Conn), make(chan struct{})}
	capped := limit(ln, 2)
	var open []net.Conn
	for range 2 {
		go ln.dial()
		c, err := capped.Accept()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	third := make(chan net.Conn)
	go func() {
		c, _ := capped.Accept()
		third <- c
	}()
	go ln.dial()
	select {
	case <-third:
		t.Fatal("a third connection is accepted")
	case <-time.After(20 * time.Millisecond):
	}
	_ = open[0].Close()
	_ = open[0].Close() // twice gives one slot back
	if c := <-third; c == nil {
		t.Fatal("no connection after one was closed")
	}
	go func() {
		c, err := capped.Accept()
		if err == nil {
			t.Error("accepted after Close")
		}
		third <- c
	}()
	_ = capped.Close()
	<-third
}

func TestDrainFinishesWhatIsInHand(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	entered, leave := make(chan struct{}), make(chan struct{})
	live := func() error {
		close(entered)
		<-leave
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- New(Config{Options: options(t), Live: live}).Serve(ctx, ln) }()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, get("/api/check-liveness/v1", ""))
	<-entered
	cancel()
	close(leave)
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the request in hand got %v, %v", answer, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	r, err := option.SchemaOf[ListenerOptions]().Resolve("start_http_listener")
	if err != nil {
		t.Fatal(err)
	}
	if o := r.Value; o.Listen != "127.0.0.1:8000" || o.TrustedHosts.String() != "127.0.0.1, ::1" || o.RequestBodyLimit != 2<<20 {
		t.Errorf("defaults: %+v", o)
	}
	for _, bad := range []ListenerOptions{
		{Listen: "127.0.0.1"},
		{Listen: "127.0.0.1:http"},
		{Listen: "127.0.0.1:70000"},
		{Listen: ":0", Hostname: "a\r\nb"},
	} {
		if bad.Check() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
