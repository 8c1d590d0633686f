package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"

	"kumo/pkg/kumotest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kumo": main})
}

// TestScripts runs testdata/script/*.txtar. Beside testscript's own commands they have:
//
//	sink [slow D] [refuse N]
//	                   start a sink MTA; $SINK is its host:port, $SINKPORT its port; it thinks for D about each message,
//	                   and refuses the first N for now
//	arrived N          wait until the sink has N messages; they stand in arrived/1.eml …, newest last
//	serve ARGS…        start kumo serve and wait until it is ready; $SMTP and $HTTP are its listeners
//	shutdown           SIGTERM to the daemon; it must exit 0; its diagnostics stand in the file serve.log
//	crash              SIGKILL to the daemon
//	eventually CMD…    run a kumo command until it succeeds and its output has a line that matches the last argument
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			s := &stage{}
			e.Values[stageKey{}] = s
			e.Defer(s.end)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("USER", currentUser())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sink":       cmdSink,
			"arrived":    cmdArrived,
			"serve":      cmdServe,
			"shutdown":   cmdShutdown,
			"crash":      cmdCrash,
			"eventually": cmdEventually,
		},
		Condition: condition,
	})
}

// condition is true for [package:NAME:PROGRAM] when the program of a Debian package is installed, and for [root] when
// the tests run as root.
func condition(cond string) (bool, error) {
	if cond == "root" {
		return os.Geteuid() == 0, nil
	}
	name, program, ok := strings.Cut(strings.TrimPrefix(cond, "package:"), ":")
	if !ok || name == "" {
		return false, fmt.Errorf("unknown condition %q", cond)
	}
	_, err := exec.LookPath(program)
	return err == nil, nil
}

func currentUser() string {
	out, err := exec.Command("id", "-un").Output()
	if err != nil {
		return "root"
	}
	return strings.TrimSpace(string(out))
}

type stageKey struct{}

// stage is what one script has running.
type stage struct {
	sink     *kumotest.Sink
	stopSink func()
	daemon   *daemon
}

func (s *stage) end() {
	if s.daemon != nil {
		s.daemon.kill()
	}
	if s.stopSink != nil {
		s.stopSink()
	}
}

func onStage(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

func cmdSink(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args)%2 > 0 {
		ts.Fatalf("usage: sink [slow D] [refuse N]")
	}
	data, err := sinkHook(args)
	ts.Check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	s := onStage(ts)
	s.sink, s.stopSink = kumotest.ServeSink(l, false)
	s.sink.OnData(data)
	_, port, _ := net.SplitHostPort(s.sink.Addr)
	ts.Setenv("SINK", s.sink.Addr)
	ts.Setenv("SINKPORT", port)
}

// sinkHook is what the sink does about each message.
func sinkHook(args []string) (func(kumotest.Mail) error, error) {
	var slow time.Duration
	var refuse int64
	for i := 0; i < len(args); i += 2 {
		var err error
		switch args[i] {
		case "slow":
			slow, err = time.ParseDuration(args[i+1])
		case "refuse":
			refuse, err = strconv.ParseInt(args[i+1], 10, 64)
		default:
			err = fmt.Errorf("a sink has no %q", args[i])
		}
		if err != nil {
			return nil, err
		}
	}
	var seen atomic.Int64
	return func(kumotest.Mail) error {
		time.Sleep(slow) // it is what the script asks for
		if seen.Add(1) <= refuse {
			return &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 7, 1}, Message: "greylisted"}
		}
		return nil
	}, nil
}

func cmdArrived(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: arrived N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	s := onStage(ts)
	deadline := time.Now().Add(30 * time.Second)
	mail := s.sink.Mail()
	for len(mail) < n && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond) // another process works: there is nothing to wait on
		mail = s.sink.Mail()
	}
	if len(mail) != n {
		ts.Fatalf("%d messages arrived, want %d; the daemon said:\n%s", len(mail), n, s.said())
	}
	dir := ts.MkAbs("arrived")
	ts.Check(os.MkdirAll(dir, 0o755))
	for i, m := range mail {
		text := fmt.Sprintf("MAIL FROM:<%s>\nRCPT TO:<%s>\n\n%s", m.From, strings.Join(m.To, ">,<"), bytes.ReplaceAll(m.Data, []byte("\r\n"), []byte("\n")))
		ts.Check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.eml", i+1)), []byte(text), 0o644))
	}
}

func (s *stage) said() string {
	if s.daemon == nil {
		return "(no daemon)"
	}
	return s.daemon.said()
}

func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	s := onStage(ts)
	if s.daemon != nil {
		ts.Fatalf("a daemon runs already")
	}
	var env []string
	for _, k := range []string{"HOME", "USER", "PATH", "TMPDIR", "SINK", "SINKPORT", "WORK", "GOCOVERDIR", "XDG_STATE_HOME"} {
		env = append(env, k+"="+ts.Getenv(k))
	}
	d, err := startDaemon(ts.MkAbs("."), env, args...)
	if d != nil {
		s.daemon = d
	}
	if (err == nil) == neg {
		ts.Fatalf("kumo serve %s: %v; it said:\n%s", strings.Join(args, " "), err, s.said())
	}
	if err != nil {
		return
	}
	ts.Setenv("SMTP", d.smtp)
	ts.Setenv("HTTP", d.http)
}

func cmdShutdown(ts *testscript.TestScript, neg bool, _ []string) {
	s := onStage(ts)
	if s.daemon == nil {
		ts.Fatalf("no daemon runs")
	}
	err := s.daemon.stop()
	ts.Check(os.WriteFile(ts.MkAbs("serve.log"), []byte(s.said()), 0o644))
	if (err == nil) == neg {
		ts.Fatalf("the daemon ended with %v; it said:\n%s", err, s.said())
	}
	s.daemon = nil
}

func cmdCrash(ts *testscript.TestScript, _ bool, _ []string) {
	s := onStage(ts)
	if s.daemon == nil {
		ts.Fatalf("no daemon runs")
	}
	s.daemon.kill()
	s.daemon = nil
}

func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: eventually kumo ARGS… TEXT")
	}
	want, args := args[len(args)-1], args[:len(args)-1]
	for range 300 {
		if ts.Exec(args[0], args[1:]...) == nil && strings.Contains(ts.ReadFile("stdout"), want) {
			return
		}
		time.Sleep(100 * time.Millisecond) // another process works: there is nothing to wait on
	}
	ts.Fatalf("%s: no %q after 30 s; the daemon said:\n%s", strings.Join(args, " "), want, onStage(ts).said())
}

// TestScriptsDoNotStop: stop is a command of testscript's own, which ends a script as if it had passed.
func TestScriptsDoNotStop(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(a.Comment)) {
			n++
			if f := strings.Fields(line); len(f) > 0 && f[0] == "stop" {
				t.Errorf("%s:%d: stop ends the script, and what follows is not tested: say shutdown to end the daemon", file, n)
			}
		}
	}
}
