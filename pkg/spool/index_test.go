package spool_test

import (
	"context"
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
