package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// daemon is a kumo serve that a test started, as a process of its own.
type daemon struct {
	cmd        *exec.Cmd
	smtp, http string // addresses of its listeners, the last of each kind
	done       chan struct{}
	err        error

	mu  sync.Mutex
	log bytes.Buffer
}

// startDaemon starts kumo serve in dir and returns when it is ready. With an error the daemon has ended, or is not
// ready after a minute.
func startDaemon(dir string, env []string, args ...string) (*daemon, error) {
	kumo, err := exec.LookPath("kumo")
	if err != nil {
		return nil, err
	}
	d := &daemon{cmd: exec.Command(kumo, append([]string{"serve"}, args...)...), done: make(chan struct{})}
	d.cmd.Dir, d.cmd.Env = dir, env
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := d.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan bool, 1)
	go d.follow(out, ready)
	select {
	case ok := <-ready:
		if ok {
			return d, nil
		}
		<-d.done
		return d, fmt.Errorf("ended before it was ready: %w", d.err)
	case <-time.After(time.Minute):
		return d, errors.New("not ready after a minute")
	}
}

// follow keeps what the daemon says, and notes its listeners until it is ready.
func (d *daemon) follow(out io.Reader, ready chan<- bool) {
	defer close(d.done)
	lines := bufio.NewScanner(out)
	told := false
	for lines.Scan() {
		d.mu.Lock()
		d.log.WriteString(lines.Text() + "\n")
		d.mu.Unlock()
		if told {
			continue
		}
		if _, addr, ok := strings.Cut(lines.Text(), "smtp listener on "); ok {
			d.smtp = addr
		}
		if _, addr, ok := strings.Cut(lines.Text(), "http listener on "); ok {
			d.http = addr
		}
		if strings.Contains(lines.Text(), "initialization complete") {
			ready <- true
			told = true
		}
	}
	d.err = d.cmd.Wait()
	if !told {
		ready <- false
	}
}

// said is everything on its stderr so far.
func (d *daemon) said() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// stop sends SIGTERM and waits; the error is the daemon's.
func (d *daemon) stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.done:
		return d.err
	case <-time.After(40 * time.Second):
		d.kill()
		return errors.New("still running 40 s after SIGTERM")
	}
}

// kill ends it as a power cut would.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.done
}
