package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestRunbook: the README has ten everyday tasks, each of them one command line that this program takes.
func TestRunbook(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, book, _ := strings.Cut(string(text), "## Runbook")
	book, _, _ = strings.Cut(book, "\n## ")
	rows := regexp.MustCompile("(?m)^\\| .* \\| `(kumo [^`|]+)` \\|$").FindAllStringSubmatch(book, -1)
	if len(rows) != 10 {
		t.Errorf("the runbook has %d tasks with one command each, want 10", len(rows))
	}
	for _, row := range rows {
		takes(t, row[1])
	}
	for line := range strings.Lines(book) {
		for part := range strings.SplitSeq(line, " | ") {
			if part = strings.TrimSpace(part); strings.HasPrefix(part, "kumo ") {
				takes(t, part)
			}
		}
	}
}

// takes parses a command line of the README without running it.
func takes(t *testing.T, line string) {
	t.Helper()
	if err := parses(shellWords(line)[1:]); err != nil {
		t.Errorf("%s: %v", line, err)
	}
}
