package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"kumo/pkg/message"
	"kumo/pkg/queue"
	"kumo/pkg/smtp"
	"kumo/pkg/spool"
)

// TestPanicsOfSpoolAndQueuesEndTheProcess: sessions recover panics, but not these.
func TestPanicsOfSpoolAndQueuesEndTheProcess(t *testing.T) {
	broken := map[string]func(){
		"spool":  func() { _ = store{}.Accept(t.Context(), "", &message.Message{}) },
		"queues": func() { next{&queue.Queues{}}.Insert(t.Context(), &message.Message{}, message.Received) },
	}
	if f := broken[os.Getenv("KUMO_TEST_BREAK")]; f != nil {
		defer func() { _ = recover() }() // as a session does
		f()
		return
	}
	for name := range broken {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "KUMO_TEST_BREAK="+name)
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || !strings.Contains(string(out), "nil pointer") {
			t.Errorf("%s: the process survives (%v):\n%s", name, err, out)
		}
	}
}

// TestStoreAnswers: the spool's own errors get an answer here; those of the context are left for intake to word.
func TestStoreAnswers(t *testing.T) {
	s, err := spool.Open(t.Context(), spool.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m := &message.Message{ID: message.ID{1}}
	m.SetData([]byte("x\r\n"))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (store{s}).Accept(over, "", m); !errors.Is(err, context.Canceled) || errors.As(err, new(*smtp.Error)) {
		t.Errorf("a context that is over: %v", err)
	}
	if err := (store{s}).Accept(t.Context(), "", m); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := (store{s}).Accept(t.Context(), "", m); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("a closed spool: %v", err)
	}
}
