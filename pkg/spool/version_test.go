package spool_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// copyDir copies a stored spool to a directory that may be written to.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAStoredSpoolOfVersion1 is row S8 and fault F168: it opens, is carried on in version 2, and all of it is there.
func TestAStoredSpoolOfVersion1(t *testing.T) {
	dir := copyDir(t, "testdata/v1")
	id := func(n byte) message.ID { return message.ID{1, 2, 3, 4, 5, n, 16} }
	alone, shared := "Subject: alone\r\n\r\nmessage\r\n", "Subject: shared\r\n\r\nmany recipients, one body\r\n"
	want := []*message.Message{
		newMessage(id(0), alone), newMessage(id(1), alone), newMessage(id(2), alone), newMessage(id(10), shared),
		newMessage(id(12), shared), newMessage(id(20), "Subject: late\r\n\r\n"),
	}
	changed, later := want[1], want[2]
	changed.Attempts, changed.Due, changed.LastResponse = 3, time.Unix(1_800_000_600, 7), "451 4.7.1 later"
	changed.Recipients, changed.Queue = changed.Recipients[1:], "elsewhere.test"
	later.Due, later.Attempts = time.Unix(1_800_000_900, 9), 5
	for round := range 2 {
		s := openIndexed(t, dir)
		if r := s.Recovery(); len(r.Damaged)+len(r.Missing) != 0 || r.Torn != 0 {
			t.Errorf("round %d: %+v", round, r)
		}
		check(t, s, want)
		more := newMessage(newID()(), "new")
		if err := s.Accept(context.Background(), "", more); err != nil {
			t.Fatal(err)
		}
		want = append(want, more)
		changed.History = append(changed.History, message.Try{At: time.Unix(1_800_000_601, 0), Response: "451 again"})
		if err := s.Update(changed); err != nil {
			t.Fatal(err)
		}
		check(t, s, want)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "FORMAT"))
		if err != nil || !strings.HasPrefix(string(text), "kumo spool, format 2\n") {
			t.Errorf("round %d: %s, %v", round, text, err)
		}
	}
	if got := list(t, dir, spool.Filter{}); len(got) != len(want) {
		t.Errorf("%d messages are listed, want %d", len(got), len(want))
	}
}
