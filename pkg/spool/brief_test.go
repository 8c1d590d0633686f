package spool_test

import (
	"testing"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// TestABriefOwner closes a spool at every moment at which its index is being opened and checked: an index that is half
// open is left alone, and readers miss nothing.
func TestABriefOwner(t *testing.T) {
	dir := t.TempDir()
	next := newID()
	s := openIndexed(t, dir)
	want := 2000
	ms := make([]*message.Message, want)
	for i := range ms {
		ms[i] = newMessage(next(), "x")
	}
	if err := s.Accept(t.Context(), "", ms...); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		s := openIndexed(t, dir)
		if err := s.Accept(t.Context(), "", newMessage(next(), "x")); err != nil {
			t.Fatal(err)
		}
		want++
		time.Sleep(time.Duration(i) * 150 * time.Microsecond) // what is tried here is the moment
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, dir, spool.Filter{}); len(got) != want {
		t.Fatalf("%d messages are listed, want %d", len(got), want)
	}
}
