package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const talkativePolicy = `
local kumo = require 'kumo'
kumo.on('init', function()
  kumo.define_spool { name = 'data', path = 'spool/data' }
  kumo.define_spool { name = 'meta', path = 'spool/meta' }
  kumo.configure_local_logs { log_dir = 'logs' }
  kumo.start_esmtp_listener { listen = '127.0.0.1:0', hostname = 'kumo.test' }
end)
kumo.on('smtp_server_message_received', function(msg)
  kumo.log_error(string.rep('x', 2000))
  print(string.rep('y', 2000))
  msg:set_meta('queue', 'null')
end)
`

// TestStderrThatNobodyReads takes mail while stderr is a full pipe, and then a closed one: neither may delay mail, end
// the daemon, or keep it from ending.
func TestStderrThatNobodyReads(t *testing.T) {
	kumo, err := exec.LookPath("kumo")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "init.lua"), []byte(talkativePolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(kumo, "serve", "--policy", "init.lua", "--user", currentUser())
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), "HOME="+dir), w
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	_ = w.Close()
	addr := ""
	for lines := bufio.NewScanner(r); lines.Scan() && !strings.Contains(lines.Text(), "initialization complete"); {
		if _, a, ok := strings.Cut(lines.Text(), "smtp listener on "); ok {
			addr = a
		}
	}
	send := func(session int) {
		t.Helper()
		const messages = 100 // 400 kB of diagnostics: a pipe holds 64
		got := make(chan int, 1)
		go func() {
			n := 0
			_ = smtpLoad(t.Context(), addr, session, messages, func(string) { n++ })
			got <- n
		}()
		select {
		case n := <-got:
			if n != messages {
				t.Fatalf("%d of %d messages were taken", n, messages)
			}
		case err := <-ended:
			t.Fatalf("the daemon ended: %v", err)
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			t.Fatal("mail waits for stderr")
		}
	}
	send(1)
	_ = r.Close()
	send(2)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v, want 0", err)
		}
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Kill()
		t.Error("still running 30 s after SIGTERM")
	}
}
