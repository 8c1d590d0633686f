package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"golang.org/x/sys/unix"

	"kumo/pkg/kumotest"
)

const fullPolicy = `
local kumo = require 'kumo'
kumo.on('init', function()
  kumo.define_spool { name = 'data', path = 'spool' }
  kumo.define_spool { name = 'meta', path = 'spool' }
  kumo.configure_local_logs { log_dir = 'logs' }
  kumo.start_esmtp_listener { listen = '127.0.0.1:0', hostname = 'kumo.test' }
end)
kumo.on('get_queue_config', function()
  return kumo.make_queue_config { retry_interval = '1h', protocol = { smtp = { mx_list = { '127.0.0.1:' .. os.getenv 'SINKPORT' } } } }
end)
kumo.on('get_egress_path_config', function()
  return kumo.make_egress_path { prohibited_hosts = {}, enable_tls = 'Disabled' }
end)
`

// small mounts a file system of so many bytes on dir; false where the system does not let us: only root may, and not in
// every container. The same is tested on a disk in memory in pkg/spool.
func small(t *testing.T, dir string, size int) bool {
	if os.Getuid() != 0 {
		return false
	}
	if err := unix.Mount("kumo-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Logf("no mounts here: %v", err)
		return false
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return true
}

// fill takes all that is left of the file system of dir, to the last byte, and returns how to give it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	_ = f.Close()
	return func() {
		if err := os.Remove(ballast); err != nil {
			t.Error(err)
		}
	}
}

// greeting is the code that a listener greets with, 0 if it does not.
func greeting(addr string) int {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return 0
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	code, _, _ := textproto.NewConn(c).ReadCodeLine(0)
	return code
}

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) { // another process works
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// TestAFullDisk are faults F22, F24 and F25 on a file system of 24 MiB that somebody else fills to the last byte: mail
// is refused with 421, orders are carried out all the same, with a daemon and without, and mail is taken again 5 s after there
// is room.
func TestAFullDisk(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "spool")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if !small(t, disk, 24<<20) {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, "init.lua"), []byte(fullPolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	sink := kumotest.NewSink(t, false)
	sink.Rcpt = func(string) error { return &gosmtp.SMTPError{Code: 451, Message: "later"} }
	serve := func() *daemon {
		d, err := startDaemon(dir, append(os.Environ(), "HOME="+dir, "SINKPORT="+port(sink.Addr)), "--policy", "init.lua", "--user", currentUser())
		if err != nil {
			t.Fatalf("%v\n%s", err, d.said())
		}
		t.Cleanup(d.kill)
		return d
	}
	order := func(args ...string) (done int) {
		t.Helper()
		cmd := exec.Command("kumo", append([]string{"queue", "--spool", "spool", "--format", "json"}, args...)...)
		cmd.Dir = dir
		var talk bytes.Buffer
		cmd.Stderr = &talk
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("kumo queue %v: %v\n%s%s", args, err, out, talk.String())
		}
		var did struct{ Done int }
		if err := json.Unmarshal(out, &did); err != nil {
			t.Fatalf("kumo queue %v: %v\n%s", args, err, out)
		}
		return did.Done
	}
	mail := func(d *daemon, session int) {
		t.Helper()
		if err := smtpLoad(context.Background(), d.smtp, session, 20, func(string) {}); err != nil {
			t.Fatalf("%v\n%s", err, d.said())
		}
		within(t, 20*time.Second, "each message was tried and waits for its next attempt", func() bool {
			list := exec.Command("kumo", "queue", "list", "--spool", "spool", "--where", "attempts > 0", "--format", "jsonl")
			list.Dir = dir
			out, err := list.Output()
			return err == nil && bytes.Count(out, []byte("\n")) == 20
		})
	}
	d := serve()
	mail(d, 1)
	free := fill(t, disk)
	within(t, 10*time.Second, "mail is refused with 421", func() bool { return greeting(d.smtp) == 421 })
	for _, args := range []string{"requeue", "hold", "release", "bounce"} {
		if n := order(args, "--all", "--yes", "--reason", "full"); n != 20 {
			t.Errorf("kumo queue %s on a full disk: %d messages, want 20\n%s", args, n, d.said())
		}
	}
	free()
	within(t, 5*time.Second, "mail is taken again", func() bool { return greeting(d.smtp) == 220 })
	mail(d, 2)
	if err := d.stop(); err != nil {
		t.Fatalf("%v\n%s", err, d.said())
	}
	free = fill(t, disk)
	for _, args := range []string{"hold", "purge"} {
		if n := order(args, "--all", "--yes", "--reason", "full"); n != 20 {
			t.Errorf("kumo queue %s without a daemon on a full disk: %d messages, want 20", args, n)
		}
	}
	free()
	d = serve()
	if n := order("requeue", "--all", "--yes"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	mail(d, 3)
	if err := d.stop(); err != nil {
		t.Fatalf("%v\n%s", err, d.said())
	}
	if strings.Contains(d.said(), "damaged") {
		t.Error(d.said())
	}
}
