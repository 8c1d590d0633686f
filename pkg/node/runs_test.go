package node

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRunsOfDaemons(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, runsName)
	if runs, err := Runs(dir, false); runs != nil || err != nil {
		t.Fatalf("a spool that no daemon had: %v, %v", runs, err)
	}
	log := slog.New(slog.DiscardHandler)
	r := began(dir, log)
	if runs, _ := Runs(dir, true); len(runs) != 1 || !runs[0].End.IsZero() {
		t.Fatalf("a daemon that runs: %+v", runs)
	}
	r.ended()
	began(dir, log) // and is killed; it was last seen then
	seen := time.Now().Add(time.Hour).Round(time.Second)
	if err := os.Chtimes(path, seen, seen); err != nil {
		t.Fatal(err)
	}
	runs, err := Runs(dir, false)
	if err != nil || len(runs) != 2 || runs[0].Killed || runs[0].End.Before(runs[0].Start) || !runs[1].Killed || !runs[1].End.Equal(seen) {
		t.Fatalf("%+v, %v", runs, err)
	}
	began(dir, log).ended()
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
		t.Errorf("everybody may read it: %v, %v", st.Mode(), err)
	}
	if runs, _ = Runs(dir, false); len(runs) != 3 || !runs[1].Killed || !runs[1].End.Equal(seen) || runs[2].Killed {
		t.Errorf("how the second ended was forgotten: %+v", runs)
	}
}

func TestRunsOfStrangeFiles(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("start 2026-01-01T00:00:00Z 1\nstop 2026-01-01T00:01:00Z 1\n", maxRuns/50)
	for text, want := range map[string]int{
		"":                              0,
		"x":                             0,
		"stop 2026-01-01T00:00:00Z 1\n": 0,
		"start yesterday 1\nstart 2026-01-01T00:00:00Z\n":           1,
		"start 2026-01-01T00:00:00Z 1\nstop 2025-01-01T00:00:00Z 1": 1,
		long: maxRuns / 50,
	} {
		if err := os.WriteFile(filepath.Join(dir, runsName), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		runs, err := Runs(dir, false)
		if err != nil || len(runs) != want {
			t.Errorf("%.40q: %d runs, %v; want %d", text, len(runs), err, want)
		}
		for _, r := range runs {
			if r.End.Before(r.Start) {
				t.Errorf("%.40q: %+v ends before it begins", text, r)
			}
		}
	}
	r := runLog{filepath.Join(dir, runsName), slog.New(slog.DiscardHandler)}
	if err := os.WriteFile(r.path, []byte(long), 0o644); err != nil {
		t.Fatal(err)
	}
	r.trim()
	st, err := os.Stat(r.path)
	if runs, _ := Runs(dir, false); err != nil || st.Size() > maxRuns || len(runs) < maxRuns/50/3 {
		t.Errorf("after trimming: %v, %d runs", err, len(runs))
	}
}
