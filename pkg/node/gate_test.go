package node

import (
	"log/slog"
	"testing"

	"kumo/pkg/journal"
	"kumo/pkg/option"
	"kumo/pkg/policy"
	"kumo/pkg/smtp"
	"kumo/pkg/spool"
)

// everything is a floor that no disk is above.
var everything = option.Amount{Percent: true, Value: 100}

func TestGate(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	tests := map[string]struct {
		spool option.Amount
		logs  journal.Floor
		soft  int64
		want  *smtp.Error
	}{
		"all is well":            {soft: 1 << 50},
		"no room for mail":       {spool: everything, soft: 1 << 50, want: gateDisk},
		"no room for the log":    {logs: journal.Floor{Percent: 100}, soft: 1 << 50, want: gateDisk},
		"more memory than there": {soft: 1, want: gateMemory},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, err := journal.Open(journal.Config{Files: []journal.FileOptions{{LogDir: t.TempDir(), MinFreeSpace: tt.logs}}, Log: quiet})
			if err != nil {
				t.Fatal(err)
			}
			s, err := spool.Open(t.Context(), spool.Config{Dir: t.TempDir(), MinFreeSpace: tt.spool, Log: quiet})
			if err != nil {
				t.Fatal(err)
			}
			g := newGate(quiet, j, newMemory())
			g.memory.SetLimit(policy.MemorySoft, tt.soft)
			expect := func(when string, want *smtp.Error) {
				t.Helper()
				if got := g.Ask(); got != want {
					t.Errorf("%s: %v, want %v", when, got, want)
				}
			}
			expect("before the spool has started", gateStarting)
			g.look()
			expect("still", gateStarting)
			g.started(s)
			expect("started", tt.want)
			g.stop()
			expect("stopping", gateStopping)
			g.started(s)
			expect("stopped for good", gateStopping)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGateHeals: what was short may come back, and mail is taken again without a restart.
func TestGateHeals(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	j, err := journal.Open(journal.Config{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s, err := spool.Open(t.Context(), spool.Config{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	g := newGate(quiet, j, newMemory())
	g.memory.SetLimit(policy.MemorySoft, 1)
	g.started(s)
	if g.Ask() != gateMemory {
		t.Fatalf("answer %v, want %v", g.Ask(), gateMemory)
	}
	g.memory.SetLimit(policy.MemorySoft, 1<<50)
	g.look()
	if g.Ask() != nil {
		t.Errorf("answer %v after there is memory again", g.Ask())
	}
}
