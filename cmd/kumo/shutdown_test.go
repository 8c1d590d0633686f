package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const shutdownPolicy = `
local kumo = require 'kumo'
kumo.on('init', function()
  kumo.define_spool { name = 'data', path = 'spool/data' }
  kumo.define_spool { name = 'meta', path = 'spool/meta' }
  kumo.start_esmtp_listener { listen = '127.0.0.1:0', hostname = 'kumo.test' }
  kumo.start_http_listener { listen = '127.0.0.1:0' }
end)
kumo.on('get_queue_config', function()
  return kumo.make_queue_config { protocol = { smtp = { mx_list = { '127.0.0.1:' .. os.getenv 'SINKPORT' } } } }
end)
kumo.on('get_egress_path_config', function()
  return kumo.make_egress_path { prohibited_hosts = {}, enable_tls = 'Disabled', enable_pipelining = false }
end)
`

// slowPeer is a server that takes mail, and stands still where it is told to, until go on is closed.
type slowPeer struct {
	net.Listener
	stand   string // the command that is not answered
	reached chan struct{}
	goOn    chan struct{}
}

func newSlowPeer(t *testing.T, stand string) *slowPeer {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	p := &slowPeer{ln, stand, make(chan struct{}), make(chan struct{})}
	go func() {
		c, err := ln.Accept()
		if err == nil {
			p.talk(c)
		}
	}()
	return p
}

func (p *slowPeer) talk(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	fmt.Fprint(c, "220 slow.test\r\n")
	text := false
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb := strings.TrimSpace(strings.SplitN(line, " ", 2)[0])
		if text && verb != "." {
			continue
		}
		text = verb == "DATA"
		if verb == p.stand {
			close(p.reached)
			<-p.goOn
		}
		if text {
			fmt.Fprint(c, "354 go\r\n")
		} else {
			fmt.Fprint(c, "250 ok\r\n")
		}
	}
}

// TestShutdownCutsWhatHasNotBegun is O1: SIGTERM ends a daemon at once although a peer does not answer, unless that peer
// has the text of a message. Until the end the liveness check says 503.
func TestShutdownCutsWhatHasNotBegun(t *testing.T) {
	for stand, waits := range map[string]bool{"MAIL": false, "RCPT": false, "DATA": false, ".": true} {
		t.Run(stand, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "init.lua"), []byte(shutdownPolicy), 0o644); err != nil {
				t.Fatal(err)
			}
			peer := newSlowPeer(t, stand)
			d, err := startDaemon(dir, append(os.Environ(), "HOME="+dir, "SINKPORT="+port(peer.Addr().String())), "--policy", "init.lua", "--user", currentUser())
			if err != nil {
				t.Fatalf("%v\n%s", err, d.said())
			}
			t.Cleanup(d.kill)
			if got := alive(t, d); got != http.StatusOK {
				t.Errorf("alive: %d", got)
			}
			if err := smtpLoad(t.Context(), d.smtp, 1, 1, func(string) {}); err != nil {
				t.Fatal(err)
			}
			<-peer.reached
			began := time.Now()
			if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if waits {
				for alive(t, d) == http.StatusOK { // the signal is on its way
					time.Sleep(10 * time.Millisecond)
				}
				for range 3 { // and it goes on to answer
					if got := alive(t, d); got != http.StatusServiceUnavailable {
						t.Errorf("while a delivery is waited for: %d", got)
					}
				}
			}
			if waits {
				close(peer.goOn)
			}
			select {
			case <-d.done:
			case <-time.After(20 * time.Second):
				t.Fatalf("still running\n%s", d.said())
			}
			if !waits {
				close(peer.goOn)
			}
			if d.err != nil || time.Since(began) > 10*time.Second {
				t.Errorf("%v after %s\n%s", d.err, time.Since(began), d.said())
			}
			left := liveMessages(t, filepath.Join(dir, "spool/data"))
			if want := map[bool]int{true: 0, false: 1}[waits]; left != want {
				t.Errorf("%d messages are left, want %d", left, want)
			}
		})
	}
}

// alive is the status of the liveness check.
func alive(t *testing.T, d *daemon) int {
	t.Helper()
	resp, err := http.Get("http://" + d.http + "/api/check-liveness/v1")
	if err != nil {
		t.Fatalf("%v\n%s", err, d.said())
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func liveMessages(t *testing.T, dir string) int {
	t.Helper()
	s := &topSource{dir: dir}
	defer s.close()
	l, err := s.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, q := range l.Queues {
		n += q.Messages
	}
	return n
}
