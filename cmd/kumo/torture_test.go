package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestTortureFindsTheSeededBug: a kumo whose spool leaves a sync out is found out, and by the points that cut the power.
// The same points find nothing in the kumo that we ship (testdata/script/torture.txtar).
func TestTortureFindsTheSeededBug(t *testing.T) {
	kumo := filepath.Join(t.TempDir(), "kumo")
	build := exec.Command("go", "build", "-tags", "kumo_bug_nosync", "-o", kumo, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(kumo, "torture", "--seed", "1", "--points", "50")
	stdout, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("kumo without a sync: %v, want exit code 1\n%s", err, stdout)
	}
	if !regexp.MustCompile(`\n\d+ passed, [1-9]\d* failed\n$`).Match(stdout) {
		t.Errorf("the last line does not count failures:\n%s", stdout)
	}
	for _, want := range []string{
		`point \d+ \(cut-sync\) failed:`, `message [0-9a-f]{32} is lost`, `again: kumo torture --seed 1 --points 1 --point \d+`,
	} {
		if !regexp.MustCompile(want).Match(exit.Stderr) {
			t.Errorf("stderr does not say %q:\n%s", want, exit.Stderr)
		}
	}
}
