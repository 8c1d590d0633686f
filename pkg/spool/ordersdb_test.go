package spool_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// command is an order that acts on messages.
func command(t testing.TB, kind string, c spool.Command, ids ...message.ID) spool.Order {
	t.Helper()
	o, err := spool.NewCommand(kind, "me", c, ids)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestManyLeaveOrdersAtOnce: eight writers, each with a connection of its own as eight processes would have, beside the
// owner that finishes what they leave. Nobody hears SQLITE_BUSY.
func TestManyLeaveOrdersAtOnce(t *testing.T) {
	each := 25
	if os.Getenv("KUMO_LONG") != "" {
		each = 10_000
	}
	dir := t.TempDir()
	ctx := context.Background()
	s := openIndexed(t, dir)
	defer s.Close()
	stop := runOrders(t, s, func(_ context.Context, o spool.Order) spool.Result {
		return spool.Result{Counts: &spool.Counts{Matched: 3, Done: 2, Busy: 1, Sample: []message.ID{{9}}}}
	})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			o, err := spool.OpenOrders(ctx, dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer o.Close()
			var last string
			for range each {
				ids, err := o.Append(ctx, command(t, spool.OrderRequeue, spool.Command{Match: spool.Match{All: true}, Reason: fmt.Sprint("writer ", w)}))
				if err != nil {
					t.Error(err)
					return
				}
				last = ids[0]
			}
			done, err := o.Wait(ctx, last)
			if err != nil || done[0].Counts == nil || done[0].Counts.Done != 2 || len(done[0].Counts.Sample) != 1 {
				t.Errorf("writer %d: %+v, %v", w, done, err)
			}
		})
	}
	wg.Wait()
	stop()
	list, err := s.Orders().List(ctx, spool.OrderFilter{Limit: 3})
	if err != nil || len(list) != 3 {
		t.Fatalf("%d orders are listed, %v", len(list), err)
	}
	c, _, err := list[0].Command()
	if err != nil || !strings.HasPrefix(c.Reason, "writer") || !c.Match.All || list[0].Kind != spool.OrderRequeue || list[0].State != spool.OrderDone {
		t.Errorf("what was ordered is not known any more: %+v, %v", list[0], err)
	}
	next, err := s.Orders().List(ctx, spool.OrderFilter{Limit: 100_000, Before: list[2].ID})
	if err != nil || len(next) != 8*each-3 {
		t.Errorf("the next page has %d orders, %v", len(next), err)
	}
	if waiting, err := s.Orders().List(ctx, spool.OrderFilter{State: spool.OrderWaiting}); err != nil || len(waiting) != 0 {
		t.Errorf("%d orders wait, %v", len(waiting), err)
	}
}

// blocks are what files take of the disk, in bytes.
func blocks(t testing.TB, paths ...string) (n int64) {
	t.Helper()
	for _, p := range paths {
		var st syscall.Stat_t
		if err := syscall.Stat(p, &st); err != nil {
			t.Fatal(err)
		}
		n += st.Blocks * 512
	}
	return n
}

// TestOrdersNeedNoRoom: leaving and finishing orders takes no more of the disk than was set aside at first, also after
// everybody has closed the table; so it works when nothing is left. Their files are the owner's alone.
func TestOrdersNeedNoRoom(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	s := openIndexed(t, dir)
	db := filepath.Join(dir, "orders.db")
	before := blocks(t, db, db+"-wal")
	use := func(s *spool.Spool) {
		stop := runOrders(t, s, func(context.Context, spool.Order) spool.Result {
			return spool.Result{Counts: &spool.Counts{Matched: 1, Done: 1}}
		})
		defer stop()
		outside, err := spool.OpenOrders(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer outside.Close()
		var last []string
		wait := func(ids []string) {
			if _, err := outside.Wait(ctx, ids...); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			ids, err := outside.Append(ctx, command(t, spool.OrderBounce, spool.Command{Reason: strings.Repeat("because ", 20)}, make([]message.ID, 100)...))
			if err != nil {
				t.Fatal(err)
			}
			last = ids
			if i%25 == 0 {
				wait(last)
			}
		}
		wait(last)
	}
	use(s)
	_ = s.Close()
	s = openIndexed(t, dir)
	use(s)
	if after := blocks(t, db, db+"-wal"); after > before {
		t.Errorf("the table took %d bytes of the disk, and takes %d after 200 orders", before, after)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.db*"))
	if err != nil || len(files) < 6 {
		t.Errorf("databases: %q, %v", files, err)
	}
	for _, f := range files {
		if st, err := os.Stat(f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s, %v", f, st.Mode(), err)
		}
	}
	_ = s.Close()
}

// TestOldAndNewOrders: a table of an earlier version is brought up to date, one of a later version is left alone.
func TestOldAndNewOrders(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	o, err := spool.OpenOrders(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = o.Close()
	path := filepath.Join(dir, "orders.db")
	run := func(q string) {
		t.Helper()
		if out, err := sqlite3(t, path, q); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	run("DROP TABLE room; DROP INDEX orders_commands; ALTER TABLE orders DROP COLUMN counts; PRAGMA user_version = 0")
	if o, err = spool.OpenOrders(ctx, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Append(ctx, command(t, spool.OrderHold, spool.Command{})); err != nil {
		t.Error(err)
	}
	if l, err := o.List(ctx, spool.OrderFilter{Kinds: []string{spool.OrderHold}}); err != nil || len(l) != 1 || time.Since(l[0].Created) > time.Minute {
		t.Errorf("%+v, %v", l, err)
	}
	_ = o.Close()
	run("PRAGMA user_version = 2")
	if _, err := spool.OpenOrders(ctx, dir); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a later format: %v", err)
	}
}

// sqlite3 runs Debian's shell on a database.
func sqlite3(t testing.TB, path, query string) (string, error) {
	t.Helper()
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("SKIP: Debian package sqlite3 is missing")
	}
	out, err := exec.Command(shell, "-batch", path, query).CombinedOutput()
	return string(out), err
}
