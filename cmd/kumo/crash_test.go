package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kumo/pkg/kumotest"
)

const crashPolicy = `
local kumo = require 'kumo'
kumo.on('init', function()
  kumo.define_spool { name = 'data', path = 'spool/data' }
  kumo.define_spool { name = 'meta', path = 'spool/meta' }
  kumo.configure_local_logs { log_dir = 'logs' }
  kumo.start_esmtp_listener { listen = '127.0.0.1:0', hostname = 'kumo.test' }
end)
kumo.on('get_queue_config', function()
  return kumo.make_queue_config { retry_interval = '1s', protocol = { smtp = { mx_list = { '127.0.0.1:' .. os.getenv 'SINKPORT' } } } }
end)
kumo.on('get_egress_path_config', function()
  return kumo.make_egress_path { prohibited_hosts = {}, enable_tls = 'Disabled', connection_limit = 10 }
end)
`

// TestCrash kills the daemon in the middle of a load, starts it again, and looks for every message that was
// acknowledged (durable-250). A message may arrive twice only if it was on its way at the kill
// (at-least-once, almost never twice). KUMO_LONG=1 sends 20,000 messages instead of 1,000.
func TestCrash(t *testing.T) {
	total, sessions := 1000, 8
	if os.Getenv("KUMO_LONG") != "" {
		total, sessions = 20_000, 16
	}
	sink := kumotest.NewSink(t, false)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "init.lua"), []byte(crashPolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	start := func() *daemon {
		d, err := startDaemon(dir, append(os.Environ(), "HOME="+dir, "SINKPORT="+port(sink.Addr)), "--policy", "init.lua", "--user", currentUser())
		if err != nil {
			t.Fatalf("%v\n%s", err, d.said())
		}
		t.Cleanup(d.kill)
		return d
	}
	d := start()
	acked := make(map[string]bool)
	var mu sync.Mutex
	var count atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	half := make(chan struct{})
	load := func(addr string) *sync.WaitGroup {
		var wg sync.WaitGroup
		for s := range sessions {
			wg.Go(func() {
				_ = smtpLoad(ctx, addr, s, total/sessions, func(id string) {
					mu.Lock()
					acked[id] = true
					mu.Unlock()
					if count.Add(1) == int64(total/2) {
						close(half)
					}
				})
			})
		}
		return &wg
	}
	wg := load(d.smtp)
	select {
	case <-half:
	case <-time.After(2 * time.Minute):
		t.Fatalf("only %d messages were acknowledged in 2 minutes\n%s", count.Load(), d.said())
	}
	d.kill()
	wg.Wait()
	mu.Lock()
	want := len(acked)
	mu.Unlock()
	t.Logf("killed after %d acknowledgements, %d delivered by then", want, len(sink.Mail()))

	d = start()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		got := arrivals(sink)
		missing := 0
		for id := range acked {
			if got[id] == 0 {
				missing++
			}
		}
		if missing == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d acknowledged messages did not arrive\n%s", missing, want, d.said())
		}
		time.Sleep(50 * time.Millisecond) // another process delivers: there is nothing to wait on
	}
	if err := d.stop(); err != nil {
		t.Fatalf("stop: %v\n%s", err, d.said())
	}
	twice := 0
	for _, n := range arrivals(sink) {
		if n > 1 {
			twice++
		}
	}
	// At the kill at most connection_limit deliveries are under way, and the tombstones of a tenth of a second may not
	// be on disk yet.
	t.Logf("%d arrived twice", twice)
	if twice > total/10+10 {
		t.Errorf("%d of %d messages arrived twice", twice, want)
	}
}

// smtpLoad sends n messages over one connection, a command at a time, and tells which were acknowledged.
func smtpLoad(ctx context.Context, addr string, session, n int, ack func(id string)) error {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	c := textproto.NewConn(nc)
	say := func(code int, format string, args ...any) error {
		if format != "" {
			if err := c.PrintfLine(format, args...); err != nil {
				return err
			}
		}
		_, _, err := c.ReadResponse(code)
		return err
	}
	if err := say(220, ""); err != nil {
		return err
	}
	if err := say(250, "EHLO load.test"); err != nil {
		return err
	}
	for i := range n {
		id := fmt.Sprintf("m%d-%d", session, i)
		for _, step := range []struct {
			code int
			line string
		}{
			{250, "MAIL FROM:<load@example.com>"},
			{250, "RCPT TO:<" + id + "@dest.test>"},
			{354, "DATA"},
			{250, "Subject: load\r\nX-Load: " + id + "\r\n\r\nbody\r\n."},
		} {
			if err := say(step.code, "%s", step.line); err != nil {
				return err
			}
		}
		ack(id)
	}
	return say(221, "QUIT")
}

// arrivals counts what the sink has by the id of the load.
func arrivals(sink *kumotest.Sink) map[string]int {
	got := make(map[string]int)
	for _, m := range sink.Mail() {
		_, rest, _ := bytes.Cut(m.Data, []byte("X-Load: "))
		id, _, _ := bytes.Cut(rest, []byte("\r\n"))
		got[string(id)]++
	}
	return got
}
