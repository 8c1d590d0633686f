package spool_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// TestReadersWhileSegmentsGo: what a reader lists can be read whole although the owner copies it elsewhere and deletes
// the segments, and a reader that has to replay the log begins again when they go under it.
func TestReadersWhileSegmentsGo(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	s, err := spool.Open(ctx, spool.Config{Dir: dir, Log: quiet, SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	next := newID()
	want := make(map[message.ID]string)
	for i := range 300 {
		m := newMessage(next(), fmt.Sprint(i, strings.Repeat(" x", 2000)))
		if err := s.Accept(ctx, "", m); err != nil {
			t.Fatal(err)
		}
		s.Give(m.ID)
		if i%10 > 0 {
			_ = s.End(m.ID, spool.EndDelivered)
			continue
		}
		want[m.ID] = fmt.Sprint(i, " ")
	}
	written(t, dir, 30)
	for id := range want { // the index will not hear of the end of these
		if len(want) == 20 {
			break
		}
		_ = s.End(id, spool.EndDelivered)
		delete(want, id)
	}
	old := copyFile(t, dir, "index.db", "index.db-wal")
	written(t, dir, 20)
	r, err := spool.OpenReader(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	check := func() {
		t.Helper()
		n := 0
		err := r.List(ctx, spool.Filter{}, func(row spool.Row) error {
			n++
			m, err := r.Message(ctx, row.ID)
			if err != nil {
				return err
			}
			b, err := m.Data()
			if err == nil && !strings.HasPrefix(string(b), want[row.ID]) {
				err = fmt.Errorf("%s has the body %.10q, want %q", row.ID, b, want[row.ID])
			}
			return err
		})
		if n != len(want) || err != nil {
			t.Errorf("%d messages, %v", n, err)
		}
	}
	check()
	if err := s.Compact(ctx, nil); err != nil {
		t.Fatal(err)
	}
	check()
	_ = s.Close()
	check()
	for name, data := range old {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	remove(t, dir, "index.db-shm")
	again, err := spool.OpenReader(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	r = again
	check()
}
