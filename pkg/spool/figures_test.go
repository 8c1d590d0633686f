package spool_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"kumo/pkg/spool"
)

func figures(t testing.TB, dir string) spool.Figures {
	t.Helper()
	r, err := spool.OpenReader(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := r.Figures(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFigures: they count on over restarts, are there beside an owner and without one, and what is there is counted
// even when there is no index.
func TestFigures(t *testing.T) {
	dir := t.TempDir()
	s := openIndexed(t, dir)
	ids, _ := assorted(t, s, 12)
	for _, id := range ids {
		s.Give(id)
	}
	ctx := context.Background()
	_ = s.End(ids[0], spool.EndDelivered)
	_ = s.End(ids[1], spool.EndBounced)
	_ = s.End(ids[2], spool.EndExpired)
	_ = s.End(ids[3], spool.EndDelivered)
	_ = s.Reschedule(ids[4], time.Unix(2e9, 0), 3)
	if _, err := s.Apply(ctx, "h", spool.ChangeHold, time.Time{}, ids[5:7]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(ctx, "b", spool.ChangeTrash, time.Time{}, ids[7:10]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(ctx, "p", spool.ChangeEnd, time.Time{}, ids[11:]); err != nil {
		t.Fatal(err)
	}
	text := func() string {
		f := figures(t, dir)
		f.LogBytes, f.At = f.LogBytes>>62, time.Time{}
		return fmt.Sprintf("%+v", f)
	}
	shown := func(accepted, delivered, live, held, trashed int) string {
		return fmt.Sprintf("%+v", spool.Figures{
			Accepted: int64(accepted), Delivered: int64(delivered), Bounced: 1, Expired: 1, AdminBounced: 1, Retried: 3,
			Live: int64(live), Held: int64(held), Trashed: int64(trashed),
		})
	}
	want := shown(12, 2, 4, 2, 3)
	eventually(t, want, func() bool { return text() == want })
	if f := figures(t, dir); time.Since(f.At) > time.Minute || f.LogBytes < 1000 {
		t.Errorf("%+v", f)
	}
	_ = s.Close()
	if got := text(); got != want {
		t.Errorf("stopped: %s, want %s", got, want)
	}
	s = openIndexed(t, dir)
	more, _ := assorted(t, s, 3)
	_ = s.End(more[0], spool.EndDelivered)
	want = shown(15, 3, 6, 2, 3)
	eventually(t, "after a restart: "+want, func() bool { return text() == want })
	_ = s.Close()
	remove(t, dir, "index.db", "index.db-wal", "index.db-shm")
	want = fmt.Sprintf("%+v", spool.Figures{Live: 6, Held: 2, Trashed: 3})
	if got := text(); got != want {
		t.Errorf("without an index: %s, want %s", got, want)
	}
}
