package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a program on a terminal of its own.
type pty struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	done   chan struct{}
	err    error

	mu   sync.Mutex
	seen bytes.Buffer
}

// onTerminal starts kumo on a new terminal of that size.
func onTerminal(t *testing.T, dir string, width, height uint16, args ...string) *pty {
	t.Helper()
	master, slave := openPTY(t)
	p := &pty{t: t, master: master, done: make(chan struct{})}
	p.resize(width, height)
	kumo, err := exec.LookPath("kumo")
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(kumo, args...)
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "HOME="+dir, "TERM=xterm-256color", "COLUMNS=", "NO_COLOR=")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close()
	go p.read()
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		_ = master.Close()
	})
	return p
}

// openPTY opens a pair of pseudo-terminals (pty(7)).
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var failed error
	_ = raw.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			n, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if failed != nil {
		t.Fatal(failed)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func (p *pty) read() {
	b := make([]byte, 4096)
	for {
		n, err := p.master.Read(b)
		p.mu.Lock()
		p.seen.Write(b[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// resize changes the size of the terminal, of which the kernel tells the program.
func (p *pty) resize(width, height uint16) {
	raw, err := p.master.SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height})
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *pty) press(keys string) {
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// shows waits until the program has written all of that since the last call, and forgets it.
func (p *pty) shows(texts ...string) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) { // another process works
		p.mu.Lock()
		seen := p.seen.String()
		found := !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(seen, s) })
		if found {
			p.seen.Reset()
		}
		p.mu.Unlock()
		if found {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.Fatalf("no %q on the terminal: %q", texts, p.seen.String())
}

// ends waits for the program, which must say that all is well.
func (p *pty) ends(how string) {
	p.t.Helper()
	select {
	case <-p.done:
		if p.err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Errorf("%s: %v; on the terminal: %s", how, p.err, p.seen.String())
		}
	case <-time.After(20 * time.Second):
		p.t.Fatalf("%s: still running", how)
	}
}

// TestTopOnATerminal is F166: a terminal that is resized, tiny, long, or goes away costs neither the view its exit
// code nor the daemon anything.
func TestTopOnATerminal(t *testing.T) {
	dir := t.TempDir()
	policy := strings.Replace(crashPolicy, "os.getenv 'SINKPORT'", "'1'", 1)
	if err := os.WriteFile(filepath.Join(dir, "init.lua"), []byte(policy), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := startDaemon(dir, append(os.Environ(), "HOME="+dir), "--policy", "init.lua", "--user", currentUser())
	if err != nil {
		t.Fatalf("%v\n%s", err, d.said())
	}
	t.Cleanup(d.kill)
	if err := smtpLoad(t.Context(), d.smtp, 1, 3, func(string) {}); err != nil {
		t.Fatal(err)
	}
	top := func(width, height uint16) *pty {
		return onTerminal(t, dir, width, height, "top", "--spool", "spool/data", "--interval", "100ms")
	}

	p := top(200, 10)
	p.shows(fmt.Sprint("daemon ", d.cmd.Process.Pid), "QUEUE", "dest.test")
	for _, size := range [][2]uint16{{1, 1}, {3, 2}, {0, 0}, {80, 24}, {2, 200}, {1000, 3}} {
		p.resize(size[0], size[1])
		p.press("\x1b[B\x1b[A\x1b[6~s")
	}
	p.resize(100, 30)
	p.press("?")
	p.shows("home end")
	p.press("?\r")
	p.shows("LAST ANSWER")
	p.press("q")
	p.ends("q")
	p.shows("\x1b[?1049l") // the terminal is as it was

	p = top(80, 24)
	p.shows("QUEUE")
	p.press("\x03")
	p.ends("ctrl+c")

	p = top(80, 24)
	p.shows("QUEUE")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ends("SIGTERM")

	p = top(80, 24)
	p.shows("QUEUE")
	_ = p.master.Close()
	p.ends("the terminal hangs up")

	select {
	case <-d.done:
		t.Fatalf("the daemon ended: %v\n%s", d.err, d.said())
	default:
	}
	if err := d.stop(); err != nil {
		t.Errorf("the daemon: %v\n%s", err, d.said())
	}
}

// TestTopIntoAClosedPipe has nobody read what the view draws.
func TestTopIntoAClosedPipe(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "init.lua"), []byte(crashPolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	sh := `printf 'Subject: x\n\nx\n' | kumo inject --policy init.lua --to a@b.test - >/dev/null &&
		{ KUMO_FORCE_TTY=1 kumo top --policy init.lua --interval 100ms </dev/null; echo "exit $?" >&2; } | head -c 100 >/dev/null`
	cmd := exec.Command("sh", "-c", sh)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "SINKPORT=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "exit 0") {
		t.Errorf("%v: %s", err, out)
	}
}
