package spool_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// TestPausedReadersDoNotHoldTheWAL: ten readers stand still in the middle of a list, and one in the middle of a query
// (F47). Between pages a list has no transaction open; the query's goes on into a file.
func TestPausedReadersDoNotHoldTheWAL(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	s := openIndexed(t, dir)
	next := newID()
	fill := func(n int) {
		ms := make([]*message.Message, n)
		for i := range ms {
			ms[i] = newMessage(next(), "x")
		}
		if err := s.Accept(ctx, "", ms...); err != nil {
			t.Fatal(err)
		}
	}
	fill(1200)
	written(t, dir, 1200)
	var reading, paused sync.WaitGroup
	release := make(chan struct{})
	look := func(read func(r *spool.Reader, row func()) error) {
		paused.Add(1)
		reading.Go(func() {
			r, err := spool.OpenReader(ctx, dir)
			if err != nil {
				t.Error(err)
				paused.Done()
				return
			}
			defer r.Close()
			rows := 0
			err = read(r, func() {
				if rows++; rows == 1100 {
					paused.Done()
					<-release
				}
			})
			if err != nil || rows < 1200 {
				t.Errorf("%d rows, %v", rows, err)
			}
		})
	}
	for range 10 {
		look(func(r *spool.Reader, row func()) error {
			return r.List(ctx, spool.Filter{}, func(spool.Row) error {
				row()
				return nil
			})
		})
	}
	look(func(r *spool.Reader, row func()) error {
		return r.Query(ctx, "SELECT * FROM messages a JOIN (SELECT 1 FROM messages LIMIT 10)", func([]string) error { return nil }, func([]any) error {
			row()
			return nil
		})
	})
	paused.Wait()
	for range 10 {
		fill(1000)
	}
	written(t, dir, 11200)
	st, err := os.Stat(filepath.Join(dir, "index.db-wal"))
	if err != nil {
		t.Error(err)
	} else if st.Size() > 8<<20 { // SQLite starts over at 4 MiB if nobody reads; all of this is about 12
		t.Errorf("the WAL grew to %d bytes", st.Size())
	}
	close(release)
	reading.Wait()
	_ = s.Close()
}

// TestAForeignLockHoldsNobodyUp: somebody has index.db and orders.db locked (F48). Mail is taken, orders find their
// messages, and when the lock is gone the index follows.
func TestAForeignLockHoldsNobodyUp(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	s := openIndexed(t, dir)
	assorted(t, s, 5)
	written(t, dir, 5)
	var unlock []func()
	for _, name := range []string{"index.db", "orders.db"} {
		db, err := sql.Open("sqlite", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 10000"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
			t.Fatal(err)
		}
		unlock = append(unlock, func() {
			_ = conn.Close()
			_ = db.Close()
		})
	}
	next := newID()
	for i := range 20 {
		began := time.Now()
		if err := s.Accept(ctx, "", newMessage(next(), strings.Repeat("y", 100+i))); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("an acceptance took %s", d)
		}
	}
	if got := found(t, s, spool.Match{Where: "size >= 100"}, nil); len(got) != 20 {
		t.Errorf("an order finds %d messages", len(got))
	}
	if n := count(t, dir); n < 5 {
		t.Errorf("a reader sees %d messages", n)
	}
	for _, f := range unlock {
		f()
	}
	written(t, dir, 25)
	if _, err := s.Orders().Append(ctx, command(t, spool.OrderHold, spool.Command{})); err != nil {
		t.Error(err)
	}
	_ = s.Close()
}

// TestFilesRemovedWhileInUse: whichever file of the index somebody deletes under the owner, it is built anew (F39).
func TestFilesRemovedWhileInUse(t *testing.T) {
	dir := t.TempDir()
	s := openIndexed(t, dir)
	next := newID()
	n := 0
	for _, names := range [][]string{{"index.db"}, {"index.db-wal"}, {"index.db-shm"}, {"index.db", "index.db-wal", "index.db-shm"}} {
		for range 10 {
			if err := s.Accept(context.Background(), "", newMessage(next(), "x")); err != nil {
				t.Fatal(err)
			}
			n++
		}
		written(t, dir, n)
		remove(t, dir, names...)
		eventually(t, fmt.Sprint("rebuilt without ", names), func() bool {
			files, _ := filepath.Glob(filepath.Join(dir, "index.db*"))
			return len(files) == 3 && ask(t, dir, "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM meta WHERE name = 'ready' AND value <> '0')") == fmt.Sprintf("%d|1", n) &&
				len(list(t, dir, spool.Filter{})) == n
		})
	}
	_ = s.Close()
}

// TestMailThatDoesNotStayLeavesNoRow: what ends at its first attempt never gets into the index.
func TestMailThatDoesNotStayLeavesNoRow(t *testing.T) {
	dir := t.TempDir()
	s := openIndexed(t, dir)
	stay := newMessage(newID()(), "stays")
	if err := s.Accept(context.Background(), "", stay); err != nil {
		t.Fatal(err)
	}
	written(t, dir, 1)
	next := newID()
	for range 2000 {
		m := newMessage(next(), "goes")
		if err := s.Accept(context.Background(), "", m); err != nil {
			t.Fatal(err)
		}
		if err := s.End(m.ID, spool.EndDelivered); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
	// The next row of a table without AUTOINCREMENT has the greatest seq and one; a row that was there would have
	// taken 2 and left pages behind.
	if got := ask(t, dir, "SELECT max(seq), count(*) FROM message"); got != "1|1" {
		t.Errorf("rows: %s", got)
	}
	if got := ask(t, dir, "PRAGMA freelist_count"); got != "0" {
		t.Errorf("%s pages were used and are free again", got)
	}
}
