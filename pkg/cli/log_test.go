package cli

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestLogLines(t *testing.T) {
	var b strings.Builder
	log := NewLog(&b, slog.LevelInfo)
	log.Debug("unheard")
	log.Info("smtp listener on 127.0.0.1:2525")
	log.With("room", "spool").WithGroup("disk").Error("refused\nforged", "error", errors.New("a b"), "n", 3, "empty", "")
	lines := strings.Split(b.String(), "\n")
	if len(lines) != 3 || lines[2] != "" {
		t.Fatalf("want two lines, got %q", b.String())
	}
	if !strings.HasSuffix(lines[0], " INFO  smtp listener on 127.0.0.1:2525") {
		t.Errorf("a message without values does not end its line: %q", lines[0])
	}
	if !strings.HasSuffix(lines[1], `forged room=spool disk.error="a b" disk.n=3 disk.empty=""`) || !strings.Contains(lines[1], " ERROR refused") {
		t.Errorf("values: %q", lines[1])
	}
}
