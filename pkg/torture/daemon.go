package torture

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// policyText takes mail on loopback and sends everything to the sink. %s is the address of the sink.
const policyText = `
local kumo = require 'kumo'
kumo.on('init', function()
  kumo.define_spool { name = 'data', path = 'spool', min_free_space = '0%%', min_free_inodes = '0%%' }
  kumo.define_spool { name = 'meta', path = 'spool' }
  kumo.configure_local_logs { log_dir = 'logs' }
  kumo.start_esmtp_listener { listen = '127.0.0.1:0', hostname = 'kumo.test' }
end)
kumo.on('get_queue_config', function()
  return kumo.make_queue_config { retry_interval = '1s', protocol = { smtp = { mx_list = { '%s' } } } }
end)
kumo.on('get_egress_path_config', function()
  return kumo.make_egress_path { prohibited_hosts = {}, enable_tls = 'Disabled', connection_limit = 8 }
end)
`

// daemon is a kumo serve that is there to be killed.
type daemon struct {
	cmd   *exec.Cmd
	addr  string // of its SMTP listener
	ready chan struct{}
	ended chan struct{}
	err   error
	said  *lines
}

// startDaemon starts program in dir, whose policy is written already.
func startDaemon(ctx context.Context, program, dir string, said *lines) (*daemon, error) {
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	d := &daemon{
		cmd:   exec.CommandContext(ctx, program, "serve", "--policy", "init.lua", "--user", me.Username),
		ready: make(chan struct{}), ended: make(chan struct{}), said: said,
	}
	d.cmd.Args[0] = "kumo" // a test binary is known by that name
	d.cmd.Dir = dir
	d.cmd.Env = environment(dir)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := d.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go d.follow(out)
	return d, nil
}

// environment is what a process in dir may know of ours.
func environment(dir string) []string {
	return []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir}
}

// follow notes what the daemon says until it ends.
func (d *daemon) follow(out io.Reader) {
	defer close(d.ended)
	s := bufio.NewScanner(out)
	for s.Scan() {
		_, _ = d.said.Write(s.Bytes())
		if _, addr, ok := strings.Cut(s.Text(), "smtp listener on "); ok {
			d.addr = addr
		}
		if strings.Contains(s.Text(), "initialization complete") {
			close(d.ready)
		}
	}
	d.err = d.cmd.Wait()
}

// wait returns when the daemon is ready.
func (d *daemon) wait() error {
	select {
	case <-d.ready:
		return nil
	case <-d.ended:
		return fmt.Errorf("the daemon ended before it was ready: %w", d.err)
	case <-time.After(30 * time.Second):
		return errors.New("the daemon is not ready after 30 s")
	}
}

// kill ends the daemon at once, and returns when that was.
func (d *daemon) kill() time.Time {
	at := time.Now()
	_ = d.cmd.Process.Kill()
	<-d.ended
	return at
}

// terminate asks the daemon to end.
func (d *daemon) terminate() { _ = d.cmd.Process.Signal(syscall.SIGTERM) }

// stop ends the daemon as an operator does.
func (d *daemon) stop() error {
	d.terminate()
	select {
	case <-d.ended:
		return d.err
	case <-time.After(40 * time.Second):
		d.kill()
		return errors.New("the daemon still runs 40 s after SIGTERM")
	}
}

func writePolicy(dir, sink string) error {
	return os.WriteFile(filepath.Join(dir, "init.lua"), fmt.Appendf(nil, policyText, sink), 0o600)
}
