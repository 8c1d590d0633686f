package node

import (
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"testing"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/metric"
	"kumo/pkg/queue"
	"kumo/pkg/spool"
)

// openSpool opens a spool and gives the way to close it, which the end of the test uses otherwise.
func openSpool(t *testing.T, dir string) (*spool.Spool, func()) {
	t.Helper()
	s, err := spool.Open(t.Context(), spool.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	shut := sync.OnceFunc(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(shut)
	return s, shut
}

// deferredMessages takes in so many messages that the spool does not have.
func deferredMessages(k keeper, n int) []*message.Message {
	ids := message.NewIDSource(time.Now)
	var out []*message.Message
	for range n {
		m := &message.Message{
			ID: ids.Next(), Recipients: []mail.Address{mail.Restore("a@dest.test")}, Meta: message.NewMeta(nil),
			Queue: "dest.test", Created: time.Now(),
		}
		m.SetData([]byte("Subject: x\r\n\r\nx\r\n"))
		out = append(out, m)
	}
	k.Defer(out...)
	return out
}

func TestDeferredMessageThatEndsNeverTouchesTheDisk(t *testing.T) {
	s, _ := openSpool(t, t.TempDir())
	k := newKeeper(s, metric.NewRegistry())
	ms := deferredMessages(k, 2)
	written := s.Stats().Written
	if e, ok := k.Lookup(ms[0].ID); !ok || e.Place != queue.Taken || e.Queue != "dest.test" {
		t.Errorf("looked up %+v, %v", e, ok)
	}
	if err := k.End(ms[0].ID, journal.Delivery); err != nil {
		t.Error(err)
	}
	if err := k.Withdraw(ms[1].ID); err != nil {
		t.Error(err)
	}
	if s.Len() != 0 || s.Stats().Written != written || len(k.all()) != 0 {
		t.Errorf("%d messages in the spool, %d bytes written, %d known", s.Len(), s.Stats().Written-written, len(k.all()))
	}
	if _, ok := k.Lookup(ms[0].ID); ok {
		t.Error("an ended message is there")
	}
}

func TestDeferredMessageIsStoredWhenItHasToWait(t *testing.T) {
	due := time.Now().Add(time.Hour).Round(0)
	for name, wait := range map[string]func(k keeper, m *message.Message) error{
		"failed": func(k keeper, m *message.Message) error {
			m.Due, m.Attempts, m.LastResponse = due, 1, "451 later"
			m.Tried(message.Try{At: time.Now(), Response: "451 later"})
			return k.Update(m)
		},
		"delayed": func(k keeper, m *message.Message) error { return k.Reschedule(m.ID, due, 1, "451 later") },
		"given back": func(k keeper, m *message.Message) error {
			m.Due, m.Attempts, m.LastResponse = due, 1, "451 later"
			k.Give(m.ID)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, shut := openSpool(t, dir)
			k := newKeeper(s, metric.NewRegistry())
			m := deferredMessages(k, 1)[0]
			if err := wait(k, m); err != nil {
				t.Fatal(err)
			}
			if m.Deferred || len(k.all()) != 0 {
				t.Error("still deferred")
			}
			if _, err := k.Take(m.ID, queue.StampOf(due.Add(time.Second))); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("taken at another time: %v", err)
			}
			shut()
			s, _ = openSpool(t, dir)
			k = newKeeper(s, metric.NewRegistry())
			got, err := k.Take(m.ID, queue.StampOf(due))
			if err != nil {
				t.Fatal(err)
			}
			if got.Attempts != 1 || got.LastResponse != "451 later" || !got.Due.Equal(due) {
				t.Errorf("attempts %d, response %q, due %s", got.Attempts, got.LastResponse, got.Due)
			}
		})
	}
}

// A disk that does not take a deferred message does not cost it: it waits in memory, and is stored at the next turn.
func TestDeferredMessageSurvivesABrokenDisk(t *testing.T) {
	dir := t.TempDir()
	s, shut := openSpool(t, dir)
	k := newKeeper(s, metric.NewRegistry())
	m := deferredMessages(k, 1)[0]
	shut()
	m.Due = time.Now().Add(time.Minute).Round(0)
	if err := k.Update(m); !errors.Is(err, spool.ErrClosed) {
		t.Fatalf("stored: %v", err)
	}
	k.Give(m.ID) // as queues do after a failed Update
	if e, ok := k.Lookup(m.ID); !ok || e.Place != queue.Waiting {
		t.Errorf("looked up %+v, %v", e, ok)
	}
	if _, err := k.Take(m.ID, queue.StampOf(time.Now())); err == nil {
		t.Error("taken at another time")
	}
	got, err := k.Take(m.ID, queue.StampOf(m.Due))
	if err != nil || got != m {
		t.Fatalf("%v, %v", got, err)
	}
	if again, err := k.Take(m.ID, queue.StampOf(m.Due)); err == nil {
		t.Fatalf("given to two: %v", again)
	}
	s, _ = openSpool(t, dir) // the disk is back
	k.store = store{s}
	if err := k.Update(m); err != nil || k.Len() != 1 {
		t.Errorf("%v, %d stored", err, k.Len())
	}
}

func TestDrainStoresWhatIsDeferred(t *testing.T) {
	dir := t.TempDir()
	s, shut := openSpool(t, dir)
	k := newKeeper(s, metric.NewRegistry())
	const n = 2*drainMessages + 1
	ms := deferredMessages(k, n)
	if err := k.End(ms[0].ID, journal.Delivery); err != nil {
		t.Fatal(err)
	}
	if err := k.drain(slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	shut()
	if s, _ = openSpool(t, dir); s.Len() != n-1 {
		t.Errorf("%d messages after a restart, want %d", s.Len(), n-1)
	}
	if err := newKeeper(s, metric.NewRegistry()).drain(slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}

func TestDrainSaysWhatIsLost(t *testing.T) {
	s, shut := openSpool(t, t.TempDir())
	k := newKeeper(s, metric.NewRegistry())
	deferredMessages(k, 3)
	shut()
	err := k.drain(slog.New(slog.DiscardHandler))
	if !errors.Is(err, spool.ErrClosed) || err.Error() == "" {
		t.Fatal(err)
	}
}
