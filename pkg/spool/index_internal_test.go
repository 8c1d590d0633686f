package spool

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
)

// TestSQLiteIsNew: the library is one without the bug that damages databases, and older ones are told apart (S7).
func TestSQLiteIsNew(t *testing.T) {
	for v, old := range map[string]bool{
		"3.51.2": true, "3.51.3": false, "3.51.10": false, "3.40.1": true, "3.53": false, "4": false, "3.51": true,
	} {
		if olderThan(v, minSQLite) != old {
			t.Errorf("%s older than %s: want %v", v, minSQLite, old)
		}
	}
	o, err := OpenOrders(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var v string
	if err := o.db.QueryRow("SELECT sqlite_version()").Scan(&v); err != nil || olderThan(v, minSQLite) {
		t.Errorf("SQLite is %s, %v", v, err)
	}
}

func smallMessage(ids *message.IDSource, queue string) *message.Message {
	m := &message.Message{
		ID: ids.Next(), Sender: mail.Restore("me@example.com"), Recipients: []mail.Address{mail.Restore("you@example.net")},
		Meta: message.NewMeta(nil), Queue: queue, Created: time.Now(),
	}
	m.SetData([]byte("x"))
	return m
}

// TestAFloodIsCompared: a tick with more changes than are noted one by one brings everything into the index all the
// same, and Match is right meanwhile.
func TestAFloodIsCompared(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ids := message.NewIDSource(time.Now)
	var all []message.ID
	for i := range 500 {
		m := smallMessage(ids, fmt.Sprint("q", i%3))
		if err := s.Accept(ctx, "", m); err != nil {
			t.Fatal(err)
		}
		s.Give(m.ID)
		all = append(all, m.ID)
	}
	rows := func(cond string) (n int) {
		db, err := openDB(ctx, s.index.path, dbOptions{readOnly: true})
		if err != nil {
			return -1
		}
		defer db.Close()
		if err := db.QueryRow("SELECT count(*) FROM message WHERE " + cond).Scan(&n); err != nil {
			return -1
		}
		return n
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(90 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("never: " + what)
			}
		}
	}
	until("500 rows", func() bool { return rows("state = 0") == 500 })
	flood := func() {
		s.index.mu.Lock()
		defer s.index.mu.Unlock()
		s.index.flood, s.index.fresh, s.index.changed = true, nil, nil
	}
	flood()
	if _, err := s.Apply(ctx, "h", ChangeHold, time.Time{}, all[:100]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(ctx, "b", ChangeTrash, time.Time{}, all[50:150]); err != nil {
		t.Fatal(err)
	}
	flood() // whatever a tick may have begun to note
	for _, id := range all[400:] {
		_ = s.End(id, EndDelivered)
	}
	n := 0
	err = s.Match(ctx, Match{Where: "state = 'held'"}, nil, func(page []message.ID) error {
		n += len(page)
		return nil
	})
	if n != 50 || err != nil {
		t.Errorf("%d messages are held, %v", n, err)
	}
	until("states in the index", func() bool { return rows("state = 1") == 50 && rows("state = 2") == 100 && rows("state = 0") == 250 })
	until("sums", func() bool {
		db, err := openDB(ctx, s.index.path, dbOptions{readOnly: true})
		if err != nil {
			return false
		}
		defer db.Close()
		var messages, held int
		err = db.QueryRow("SELECT sum(messages), sum(held) FROM queue").Scan(&messages, &held)
		return err == nil && messages == 300 && held == 50
	})
}

// TestListsAreGivenUp: lists of changes end at their limit.
func TestListsAreGivenUp(t *testing.T) {
	x := &index{}
	for range maxGathered + 10 {
		x.touch(message.ID{1})
	}
	if !x.flood || len(x.changed) != 0 {
		t.Errorf("%d changes are kept", len(x.changed))
	}
	if w := x.gather(); !w.flood || x.flood {
		t.Error("the tick does not hear of it")
	}
}

// TestFinishedOrdersAreForgotten: those of inject after a day, those that act on messages after 30.
func TestFinishedOrdersAreForgotten(t *testing.T) {
	ctx := context.Background()
	o, err := OpenOrders(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	inject, _ := NewInject("me", Inject{}, []byte("x"))
	hold, _ := NewCommand(OrderHold, "me", Command{Reason: "r"}, nil)
	if _, err := o.Append(ctx, inject, hold, inject, hold); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, isInject := range []bool{true, false} {
		waiting, err := o.waiting(ctx, isInject, 0, 10)
		if err != nil || len(waiting) != 2 {
			t.Fatalf("%d orders wait, %v", len(waiting), err)
		}
		if err := o.finish(ctx, now, waiting[:1], make([]Result, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		after time.Duration
		left  int
	}{
		{23 * time.Hour, 4}, {25 * time.Hour, 3}, {29 * 24 * time.Hour, 3}, {31 * 24 * time.Hour, 2},
	} {
		if err := o.prune(ctx, now.Add(c.after)); err != nil {
			t.Fatal(err)
		}
		all, err := o.List(ctx, OrderFilter{Kinds: []string{OrderInject, OrderHold}})
		if err != nil || len(all) != c.left {
			t.Errorf("after %s: %d orders, want %d (%v)", c.after, len(all), c.left, err)
		}
	}
}
