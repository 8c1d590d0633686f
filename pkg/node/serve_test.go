package node

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"kumo/pkg/journal"
)

// TestFailuresAreSaidOnce: a part that fails tells run, which stops everything; what it said comes back once, from its
// stage.
func TestFailuresAreSaidOnce(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	j, err := journal.Open(journal.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	n := &server{Options: Options{Log: log}, journal: j, gate: newGate(log, j, newMemory()), abort: t.Context()}
	for _, s := range []*stage{&n.ports, &n.web, &n.flow, &n.out, &n.tail} {
		s.begin()
	}
	told := make(chan error, 1)
	n.tail.run("logs", j.Run, func(error) {})
	n.flow.run("scheduled queues", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, func(error) {})
	n.out.run("ready queues", func(context.Context) error { return errors.New("broken") }, func(err error) { told <- err })
	<-told
	if err := n.leave(nil); err == nil || err.Error() != "ready queues: broken" {
		t.Errorf("the end says %v", err)
	}
	if n.gate.Ask() != gateStopping {
		t.Error("the gate is open after the end")
	}
}
