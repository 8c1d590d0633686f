package spool_test

import (
	"context"
	"database/sql"
	"errors"
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

func openIndexed(t testing.TB, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(context.Background(), spool.Config{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// list is what a reader sees: ids with their queue, attempts and last response.
func list(t testing.TB, dir string, want spool.Filter) map[message.ID]string {
	t.Helper()
	r, err := spool.OpenReader(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := make(map[message.ID]string)
	err = r.List(context.Background(), want, func(row spool.Row) error {
		if _, twice := out[row.ID]; twice {
			t.Errorf("%s is listed twice", row.ID)
		}
		m, err := r.Message(context.Background(), row.ID)
		if err != nil {
			t.Errorf("message %s: %v", row.ID, err)
			return nil
		}
		body, err := m.Data()
		if err != nil || len(body) != row.Size {
			t.Errorf("body of %s: %d bytes, %v", row.ID, len(body), err)
		}
		out[row.ID] = fmt.Sprint(row.Queue, row.Attempts, row.LastResponse, row.Recipients, m.Meta.Get("count"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// count is how many messages a reader sees.
func count(t testing.TB, dir string) int {
	t.Helper()
	r, err := spool.OpenReader(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	queues, err := r.Summary(context.Background(), spool.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, q := range queues {
		n += q.Messages
	}
	return n
}

// indexed waits until the index has n messages. Before it is ready readers replay the log and see all of it, so it
// takes several right counts in a row.
func indexed(t testing.TB, dir string, n int) {
	t.Helper()
	good := 0
	eventually(t, "indexed", func() bool {
		if good++; count(t, dir) != n {
			good = 0
		}
		return good > 30
	})
}

// eventually waits for the index, which is a second behind.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

func TestReadersSeeWhatIsAlive(t *testing.T) {
	dir := t.TempDir()
	s := openIndexed(t, dir)
	next := newID()
	var ms []*message.Message
	for i := range 20 {
		m := newMessage(next(), fmt.Sprintf("Subject: %d\r\n\r\nbody\r\n", i))
		if i%2 == 1 {
			m.Queue = "odd.test"
		}
		ms = append(ms, m)
	}
	if err := s.Accept(context.Background(), "", ms...); err != nil {
		t.Fatal(err)
	}
	eventually(t, "20 rows", func() bool { return len(list(t, dir, spool.Filter{})) == 20 })
	if n := len(list(t, dir, spool.Filter{Queue: "odd.test"})); n != 10 {
		t.Errorf("%d messages in odd.test", n)
	}
	ms[0].LastResponse, ms[0].Attempts, ms[0].Queue = "451 later", 1, "odd.test"
	steps := []error{
		s.Update(ms[0]), s.End(ms[1].ID, spool.EndBounced), s.Reschedule(ms[2].ID, time.Unix(2e9, 0), 5),
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	right := func() bool {
		got := list(t, dir, spool.Filter{})
		_, there := got[ms[1].ID]
		return len(got) == 19 && !there && got[ms[0].ID] == fmt.Sprint("odd.test", 1, "451 later", ms[0].Recipients, 7) &&
			got[ms[2].ID] == fmt.Sprint("tenant@example.net", 5, "", ms[2].Recipients, 7)
	}
	eventually(t, "changes seen beside the owner", right)
	late := newMessage(next(), "late")
	if err := s.Accept(context.Background(), "", late); err != nil {
		t.Fatal(err)
	}
	_ = s.Reschedule(ms[4].ID, time.Unix(2e9, 0), 6)
	_ = s.End(ms[6].ID, spool.EndBounced)
	_ = s.Close()
	for _, damage := range []func(){
		func() {},
		func() { remove(t, dir, "index.db-wal", "index.db-shm") },
		func() { remove(t, dir, "index.db") },
		func() {
			_ = os.WriteFile(filepath.Join(dir, "index.db"), []byte("garbage that is long enough to be no header"), 0o600)
		},
	} {
		damage()
		got := list(t, dir, spool.Filter{})
		if _, there := got[ms[6].ID]; len(got) != 19 || there || got[late.ID] == "" {
			t.Errorf("without an owner: %d messages, ended one there: %v, late: %q", len(got), there, got[late.ID])
		}
		if want := fmt.Sprint("tenant@example.net", 6, "", ms[4].Recipients, 7); got[ms[4].ID] != want {
			t.Errorf("without an owner: %q, want %q", got[ms[4].ID], want)
		}
		if n := len(list(t, dir, spool.Filter{Queue: "odd.test"})); n != 10 {
			t.Errorf("%d messages in odd.test", n)
		}
	}
	s = openIndexed(t, dir)
	eventually(t, "index rebuilt", func() bool {
		_, err := os.Stat(filepath.Join(dir, "index.db"))
		return err == nil && len(list(t, dir, spool.Filter{})) == 19
	})
	r, err := spool.OpenReader(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	queues, err := r.Summary(context.Background(), spool.Filter{})
	if err != nil || len(queues) != 2 || queues[0].Messages != 10 || queues[1].Messages != 9 || !r.Held() {
		t.Errorf("queues: %+v, %v", queues, err)
	}
	_ = r.Close()
	_ = s.Close()
}

func remove(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := os.Remove(filepath.Join(dir, n)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

func TestReaderOfNothing(t *testing.T) {
	if _, err := spool.OpenReader(context.Background(), t.TempDir()); !errors.Is(err, spool.ErrNoSpool) {
		t.Errorf("empty directory: %v", err)
	}
	if _, err := spool.OpenReader(context.Background(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, spool.ErrNoSpool) {
		t.Errorf("no directory: %v", err)
	}
}

// TestAnyIndexIsMendedOrThrownAway gives the owner indexes that are old, damaged or of another spool. The log wins,
// and readers agree with it soon.
func TestAnyIndexIsMendedOrThrownAway(t *testing.T) {
	dir := t.TempDir()
	s := openIndexed(t, dir)
	next := newID()
	var ms []*message.Message
	for range 60 {
		ms = append(ms, newMessage(next(), "x"))
	}
	if err := s.Accept(context.Background(), "", ms[:30]...); err != nil {
		t.Fatal(err)
	}
	indexed(t, dir, 30)
	_ = s.Close()
	path := filepath.Join(dir, "index.db")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s = openIndexed(t, dir)
	if err := s.Accept(context.Background(), "", ms[30:]...); err != nil {
		t.Fatal(err)
	}
	for _, m := range ms[:10] {
		_ = s.End(m.ID, spool.EndDelivered)
	}
	_ = s.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	o := openIndexed(t, other)
	if err := o.Accept(context.Background(), "", newMessage(next(), "other")); err != nil {
		t.Fatal(err)
	}
	indexed(t, other, 1)
	_ = o.Close()
	foreign, err := os.ReadFile(filepath.Join(other, "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string][]byte{"old": old, "foreign": foreign, "empty": {}, "cut": good[:len(good)/2], "header only": good[:100]}
	for i := 0; i < len(good); i += 4096 {
		page := append([]byte(nil), good...)
		for k := i; k < min(i+4096, len(page)); k += 37 {
			page[k] ^= 0x5a
		}
		cases[fmt.Sprint("damaged page ", i/4096)] = page
	}
	for name, data := range cases {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openIndexed(t, dir)
		if s.Len() != 50 {
			t.Errorf("%s: %d messages", name, s.Len())
		}
		eventually(t, name+": index agrees", func() bool {
			r, err := spool.OpenReader(context.Background(), dir)
			if err != nil {
				return false
			}
			defer r.Close()
			n := 0
			err = r.List(context.Background(), spool.Filter{Queue: "tenant@example.net"}, func(row spool.Row) error {
				if m, err := r.Message(context.Background(), row.ID); err != nil || m.Sender.String() != row.Sender {
					return fmt.Errorf("row of %s does not fit its message", row.ID)
				}
				n++
				return nil
			})
			return err == nil && n == 50
		})
		_ = s.Close()
	}
}

// TestReadersBesideABusyOwner lists while messages come, change and go: no error, nothing twice, nothing that was
// there all the time missing.
func TestReadersBesideABusyOwner(t *testing.T) {
	dir := t.TempDir()
	s, err := spool.Open(context.Background(), spool.Config{Dir: dir, Log: quiet, SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	next := newID()
	var stay []*message.Message
	for range 200 {
		stay = append(stay, newMessage(next(), "stays"))
	}
	if err := s.Accept(context.Background(), "", stay...); err != nil {
		t.Fatal(err)
	}
	indexed(t, dir, 200)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				m := newMessage(next(), strings.Repeat("y", 2000))
				if err := s.Accept(context.Background(), "", m); err != nil {
					t.Error(err)
					return
				}
				m.Attempts, m.LastResponse = i, "451 later"
				_ = s.Update(m)
				_ = s.Reschedule(stay[i%len(stay)].ID, time.Unix(2e9, 0), i%1000)
				if i%8 != 0 {
					_ = s.End(m.ID, spool.EndDelivered)
				}
			}
		})
	}
	for range 15 {
		r, err := spool.OpenReader(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[message.ID]bool)
		err = r.List(context.Background(), spool.Filter{}, func(row spool.Row) error {
			if seen[row.ID] {
				t.Errorf("%s is listed twice", row.ID)
			}
			seen[row.ID] = true
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		for _, m := range stay {
			if !seen[m.ID] {
				t.Errorf("%s is missing", m.ID)
			}
		}
		if _, err := r.Summary(context.Background(), spool.Filter{}); err != nil {
			t.Error(err)
		}
		_ = r.Close()
	}
	close(stop)
	wg.Wait()
	_ = s.Close()
}

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
