package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

func TestMaxConnections(t *testing.T) {
	w := newWorld()
	srv := newServer(t, w, options(t, map[string]any{"max_connections": int64(2)}))
	r := serve(t, srv)
	first, second := dial(t, r.addr, friend), dial(t, r.addr, friend)
	first.expect("banner", "220 ")
	second.expect("banner", "220 ")
	third := dial(t, r.addr, friend)
	third.expect("banner", "421 4.3.2 mx.kumo.test too many concurrent sessions. Try later")
	third.expect("end", "")
	if m := srv.metrics; m.total.Load() != 3 || m.open.Load() != 2 || m.denied.Load() != 1 {
		t.Errorf("counted %d made, %d open, %d denied", m.total.Load(), m.open.Load(), m.denied.Load())
	}
	first.ask("QUIT", "221 ")
	first.expect("end", "")
	for {
		c := dial(t, r.addr, friend)
		if got := c.reply(); strings.HasPrefix(got, "220 ") {
			break
		}
		// The session of first has said its last word; its place becomes free very soon.
		runtime.Gosched()
	}
	if len(w.log()) != 0 {
		t.Errorf("records %v", w.log())
	}
}

func TestGate(t *testing.T) {
	w := newWorld()
	var shut atomic.Bool
	w.gate = func() *smtp.Error {
		if !shut.Load() {
			return nil
		}
		return &smtp.Error{Reply: smtp.NewReply(421, "4.3.2", "load shedding. Try later")}
	}
	r := serve(t, newServer(t, w, options(t, nil)))
	c := dial(t, r.addr, friend)
	c.hello()
	shut.Store(true)
	c.ask("MAIL FROM:<a@example.org>", "421 4.3.2 mx.kumo.test load shedding. Try later")
	c.expect("end", "")
	c = dial(t, r.addr, friend)
	c.expect("banner", "421 4.3.2 mx.kumo.test load shedding. Try later")
	c.expect("end", "")
	if len(w.log()) != 0 {
		t.Errorf("records %v", w.log())
	}
}

// TestFaults: a fault of ours is 421 4.3.0 with the cause in the log, an answer of policy is passed on.
func TestFaults(t *testing.T) {
	w := newWorld()
	var fault error
	w.accept = func(context.Context, *message.Submission) error {
		if fault == nil {
			panic("a bug")
		}
		return fault
	}
	r := serve(t, newServer(t, w, options(t, nil)))
	for _, c := range []struct {
		err           error
		want, command string
		ends          bool
	}{
		{errors.New("init.lua:3: attempt to index nil\nstack traceback:"), "421 4.3.0 mx.kumo.test technical difficulties", "init.lua:3: attempt to index nil\nstack traceback:", true},
		{nil, "421 4.3.0 mx.kumo.test technical difficulties", "panic: a bug", true},
		{fmt.Errorf("wrapped: %w", &smtp.Error{Reply: smtp.NewReply(550, "5.7.1", "no\nthanks\x1b\x00")}), "550-5.7.1 no\n550 5.7.1 thanks??", ".", false},
		{&smtp.Error{Reply: smtp.NewReply(451, "4.7.1", "later"), Disconnect: true}, "451 4.7.1 later", ".", true},
		{&smtp.Error{Reply: smtp.NewReply(421, "4.7.0", "go away")}, "421 4.7.0 go away", ".", true},
		{&smtp.Error{Reply: smtp.NewReply(452, "4.3.1", "full"), Detail: "write: no space left"}, "452 4.3.1 full", "write: no space left", false},
		{&smtp.Error{Reply: smtp.NewReply(250, "", "fine")}, "451 fine", ".", false},
	} {
		fault = c.err
		before := len(w.log())
		cl := dial(t, r.addr, friend)
		cl.toData()
		cl.ask("x\r\n.", c.want)
		if c.ends {
			cl.expect("end", "")
		} else {
			cl.ask("NOOP", "250 ")
		}
		log := w.log()
		if len(log) != before+1 {
			t.Fatalf("%v: %d records", c.err, len(log)-before)
		}
		rec := log[before]
		if rec.Type != journal.Rejection || rec.Msg != nil || !strings.HasPrefix(rec.Response.Command, c.command) ||
			rec.Sender.String() != "a@example.org" || len(rec.Recipients) != 1 || rec.PeerName != "client.test" ||
			rec.PeerAddr != friend || rec.Reception != "ESMTP" || rec.SessionID == "" || rec.Meta.String("ehlo_domain") != "client.test" {
			t.Errorf("%v: record %+v", c.err, rec)
		}
	}
	if len(w.mail()) != 0 {
		t.Error("a refused message was taken in")
	}
}

// TestPolicyFault: an error of get_listener_domain is no relay.
func TestPolicyFault(t *testing.T) {
	w := newWorld()
	w.domainErr = errors.New("init.lua:9: boom")
	c := start(t, w, nil, stranger)
	c.hello()
	c.ask("MAIL FROM:<>", "250 ")
	c.ask("RCPT TO:<b@example.com>", "421 4.3.0 mx.kumo.test technical difficulties")
	c.expect("end", "")
}

// TestNoAnswerOutlivesItsTransaction: X4.
func TestNoAnswerOutlivesItsTransaction(t *testing.T) {
	w := newWorld()
	w.domains["inside.test"] = Domain{RelayTo: true}
	r := serve(t, newServer(t, w, options(t, nil)))
	for range 2 {
		c := dial(t, r.addr, stranger)
		c.hello()
		for range 2 {
			c.ask("MAIL FROM:<a@outside.test>", "250 ")
			c.ask("RCPT TO:<a@INSIDE.test>", "250 ")
			c.ask("RCPT TO:<b@inside.test>", "250 ")
			c.ask("RSET", "250 ")
		}
	}
	if want := strings.Repeat("outside.test inside.test ", 4); strings.Join(w.asked, " ")+" " != want {
		t.Errorf("asked about %q", w.asked)
	}
}

// TestMeta is semantics.md 3, and that policy's own values live as long as the connection.
func TestMeta(t *testing.T) {
	w := newWorld()
	w.domains["inside.test"] = Domain{RelayTo: true}
	w.seen = func(_ context.Context, conn *message.Meta, domain string) { conn.Set("x_seen", domain) }
	c := start(t, w, map[string]any{"meta": map[string]any{"x_listener": "first"}}, stranger)
	c.hello()
	c.startTLS()
	c.ask("EHLO secure.test", "250-")
	for range 2 {
		c.ask("MAIL FROM:<>", "250 ")
		c.ask("RCPT TO:<a@inside.test>", "250 ")
		c.ask("DATA", "354 ")
		c.ask(".", "250 ")
	}
	sub := w.mail()[1]
	got := sub.Conn.All()
	want := map[string]string{
		"reception_protocol": "ESMTP", "hostname": "mx.kumo.test", "ehlo_domain": "secure.test", "x_listener": "first",
		"x_seen": "inside.test", "tls_protocol_version": "TLSv1.3", "tls_cipher": sub.TLS.Cipher,
		"received_from": c.conn.LocalAddr().String(), "received_via": c.conn.RemoteAddr().String(),
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s = %v, want %s", k, got[k], v)
		}
	}
	if len(got) != len(want) || !strings.HasPrefix(sub.TLS.Cipher, "TLS_AES_") {
		t.Errorf("got %v", got)
	}
	if sub.Ehlo != "secure.test" || sub.Hostname != "mx.kumo.test" || len(sub.SessionID) != 36 ||
		sub.Peer.String() != c.conn.LocalAddr().String() || sub.Local.String() != c.conn.RemoteAddr().String() {
		t.Errorf("got %+v", sub)
	}
}

// TestHandshakes is the rest of F124: garbage, and protocols that are too old.
func TestHandshakes(t *testing.T) {
	r := serve(t, newServer(t, newWorld(), options(t, nil)))
	c := dial(t, r.addr, friend)
	c.hello()
	c.ask("STARTTLS", "220 ")
	c.send("EHLO in.clear\r\nMAIL FROM:<a@example.org>\r\n")
	for _, reply := range c.rest() {
		if strings.HasPrefix(reply, "250") {
			t.Errorf("the session goes on in clear: %q", reply)
		}
	}
	c = dial(t, r.addr, friend)
	c.hello()
	c.ask("STARTTLS", "220 ")
	old := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err := old.Handshake(); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

// TestBudgets is F108 and F109.
func TestBudgets(t *testing.T) {
	w := newWorld()
	r := serve(t, newServer(t, w, options(t, map[string]any{"max_recipients_per_message": int64(1)})))
	for name, c := range map[string]struct {
		line  string
		from  string
		least int
		most  int
	}{
		"unknown":  {"FROB\r\n", friend, 20, 21},
		"stray":    {"NO\x00OP\r\n", friend, 20, 21},
		"idle":     {"NOOP\r\n", friend, 100, 121},
		"refused":  {"RCPT TO:<x@outside.test>\r\n", stranger, 100, 101},
		"badaddr":  {"RCPT TO:<x@@>\r\n", friend, 20, 21},
		"surplus":  {"RCPT TO:<x@outside.test>\r\n", friend, 1001, 1002},
		"ehlo":     {"EHLO x\r\n", friend, 100, 121},
		"rset":     {"RSET\r\n", friend, 100, 121},
		"too long": {strings.Repeat("N", 3000) + "\r\n", friend, 20, 21},
	} {
		cl := dial(t, r.addr, c.from)
		cl.hello()
		if strings.HasPrefix(c.line, "RCPT") {
			cl.ask("MAIL FROM:<a@example.org>", "250 ")
		}
		go cl.send(strings.Repeat(c.line, 2000))
		got := cl.rest()
		if len(got) < c.least || len(got) > c.most || !strings.HasPrefix(got[len(got)-1], "421 4.7.0 ") {
			t.Errorf("%s: %d replies, the last %q", name, len(got), got[max(0, len(got)-1):])
		}
	}
}

// TestLongCommands is F111.
func TestLongCommands(t *testing.T) {
	r := serve(t, newServer(t, newWorld(), options(t, nil)))
	c := dial(t, r.addr, friend)
	c.hello()
	c.ask("NOOP "+strings.Repeat("x", 2100-7), "500 5.2.3 line too long")
	c.ask("NOOP "+strings.Repeat("x", maxLine-7), "250 ")
	c.ask("NOOP "+strings.Repeat("x", maxLine-6), "500 5.2.3")
	c.ask("EHLO "+strings.Repeat("x", 100<<10), "500 5.2.3")
	c.ask("NOOP", "250 ")
	go func() {
		mega := strings.Repeat("x", 1<<20)
		for range 64 {
			c.send(mega)
		}
	}()
	got := c.rest()
	if len(got) != 2 || !strings.HasPrefix(got[0], "500 5.2.3") || !strings.HasPrefix(got[1], "421 ") {
		t.Errorf("got %q", got)
	}
}

// TestBigMessages is F114 and F115: refused at their end, the session in step, or closed when there is no end.
func TestBigMessages(t *testing.T) {
	w := newWorld()
	r := serve(t, newServer(t, w, options(t, map[string]any{"max_message_size": int64(1 << 20)})))
	line := strings.Repeat("x", 98) + "\r\n"
	c := dial(t, r.addr, friend)
	c.toData()
	go c.send(strings.Repeat(line, 30000) + ".\r\n")
	c.expect("3 MB", "552 5.3.4 message too big")
	for _, n := range []int{1200, 70 << 10, 3 << 20} {
		c.ask("MAIL FROM:<a@example.org>", "250 ")
		c.ask("RCPT TO:<b@example.com>", "250 ")
		c.ask("DATA", "354 ")
		go c.send(strings.Repeat("x", n) + "\r\n.\r\nNOOP\r\n")
		if got := c.reply(); !strings.HasPrefix(got, "500 5.2.3 line too long") && !strings.HasPrefix(got, "552 5.3.4") {
			t.Errorf("line of %d: %q", n, got)
		}
		c.expect("NOOP", "250 ")
	}
	for _, text := range []string{"", "Subject: x\r\n", "\r\n", strings.Repeat("x", 998) + "\r\n"} {
		c.ask("MAIL FROM:<a@example.org>", "250 ")
		c.ask("RCPT TO:<b@example.com>", "250 ")
		c.ask("DATA", "354 ")
		c.ask(text+".", "250 ")
		if got := w.mail()[len(w.mail())-1].Data; string(got) != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	// The greatest that fits, to the byte.
	exact := strings.Repeat(line, 1<<20/100)
	exact += strings.Repeat("y", 1<<20-len(exact)-2) + "\r\n"
	c.ask("MAIL FROM:<a@example.org>", "250 ")
	c.ask("RCPT TO:<b@example.com>", "250 ")
	c.ask("DATA", "354 ")
	go c.send(exact + ".\r\n")
	c.expect("1 MiB", "250 ")
	if got := w.mail()[len(w.mail())-1].Data; string(got) != exact {
		t.Error("the greatest message came in changed")
	}
}

// TestEndlessMessage: a message many times over the limit is not waited out.
func TestEndlessMessage(t *testing.T) {
	c := start(t, newWorld(), map[string]any{"max_message_size": int64(1 << 20)}, friend)
	c.toData()
	go func() {
		piece := strings.Repeat(strings.Repeat("x", 98)+"\r\n", 1000)
		for range 400 {
			c.send(piece)
		}
	}()
	if got := c.rest(); len(got) != 1 || !strings.HasPrefix(got[0], "552 5.3.4") {
		t.Errorf("without end: %q", got)
	}
}

// TestBrokenOff is F132: whatever is cut off at whatever point, nothing partial comes in.
func TestBrokenOff(t *testing.T) {
	w := newWorld()
	r := serve(t, newServer(t, w, options(t, nil)))
	const whole = "EHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nx\r\n.\r\n"
	for n := range len(whole) - 1 {
		c := dial(t, r.addr, friend)
		c.send(whole[:n])
		if n%2 == 0 {
			_ = c.conn.(*net.TCPConn).SetLinger(0)
		}
		if n%3 == 0 {
			_ = c.conn.(*net.TCPConn).CloseWrite()
			c.rest()
		}
		_ = c.conn.Close()
	}
	if len(w.mail()) != 0 {
		t.Errorf("%d messages came in", len(w.mail()))
	}
	c := dial(t, r.addr, friend)
	c.toData()
	c.ask(".", "250 ")
}

// TestIdleMemory: a connection that waits costs at most 32 KiB (F64).
func TestIdleMemory(t *testing.T) {
	w := newWorld()
	w.forget = true
	r := serve(t, newServer(t, w, options(t, nil)))
	measure := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	const n = 200
	before := measure()
	var held []net.Conn
	for range n {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		held = append(held, conn)
		c := &client{t: t, conn: conn}
		c.send("EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n" +
			strings.Repeat(strings.Repeat("x", 98)+"\r\n", 500) + ".\r\nNOOP\r\n")
	}
	buf := make([]byte, 4096)
	for _, conn := range held {
		for got := ""; !strings.Contains(got, "ids=") || !strings.HasSuffix(got, "250 OK\r\n"); {
			k, err := conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got += string(buf[:k])
		}
	}
	runtime.GC() // pools are emptied in two steps
	after := measure()
	if per := int64(after-before) / n; after > before && per > 32<<10 {
		t.Errorf("%d bytes per connection", per)
	} else {
		t.Logf("%d bytes per connection, the client's side included", per)
	}
}
