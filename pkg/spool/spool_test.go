package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func newID() func() message.ID {
	src := message.NewIDSource(time.Now)
	return src.Next
}

func newMessage(id message.ID, body string) *message.Message {
	m := &message.Message{
		ID:         id,
		Sender:     mail.Restore("sender@example.com"),
		Recipients: []mail.Address{mail.Restore("user@example.net"), mail.Restore(`"a b"@example.net`)},
		Meta:       message.NewMeta(nil),
		Queue:      "tenant@example.net",
		Created:    time.Unix(1_800_000_000, 123456789),
	}
	m.Meta.Set("tenant", "tenant")
	m.Meta.Set("count", int64(7))
	m.SetData([]byte(body))
	return m
}

func open(t testing.TB, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(context.Background(), spool.Config{Dir: dir, Log: quiet, NoIndex: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAMessageComesBackAsItWas(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "spool")
	s := open(t, dir)
	next := newID()
	small := newMessage(next(), "Subject: small\r\n\r\nhello\r\n")
	large := newMessage(next(), "Subject: large\r\n\r\n"+string(bytes.Repeat([]byte("0123456789\r\n"), 20000)))
	empty := newMessage(next(), "")
	twin := newMessage(next(), "")
	body, _ := large.Data()
	twin.SetData(body)
	for _, ms := range [][]*message.Message{{small}, {large, twin}, {empty}} {
		if err := s.Accept(context.Background(), "", ms...); err != nil {
			t.Fatal(err)
		}
	}
	ended := newMessage(next(), "gone")
	if err := s.Accept(context.Background(), "", ended); err != nil {
		t.Fatal(err)
	}
	if err := s.End(ended.ID, spool.EndDelivered); err != nil {
		t.Fatal(err)
	}
	small.Recipients = small.Recipients[1:]
	small.Meta.Set("more", []any{"x", true, 1.5})
	small.Attempts, small.Due, small.LastResponse = 3, time.Unix(1_800_000_100, 0), "451 4.7.1 later"
	small.Queue = "elsewhere.test"
	if err := s.Update(small); err != nil {
		t.Fatal(err)
	}
	due := time.Unix(1_800_000_500, 5)
	if err := s.Reschedule(large.ID, due, 9); err != nil {
		t.Fatal(err)
	}
	large.Due, large.Attempts = due, 9
	want := []*message.Message{small, large, twin, empty}
	for range 2 {
		check(t, s, want)
		if _, err := s.Load(ended.ID); !errors.Is(err, spool.ErrGone) {
			t.Errorf("load of an ended message: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
	}
	check(t, s, want)
	if r := s.Recovery(); r.Torn != 0 || len(r.Damaged) != 0 || r.Live != len(want) {
		t.Errorf("recovery: %+v", r)
	}
	_ = s.Close()
}

func check(t testing.TB, s *spool.Spool, want []*message.Message) {
	t.Helper()
	live := make(map[message.ID]spool.Entry)
	s.Live(func(e spool.Entry) bool {
		live[e.ID] = e
		return true
	})
	if len(live) != len(want) || s.Len() != len(want) {
		t.Errorf("%d live, want %d", len(live), len(want))
	}
	for _, w := range want {
		m, err := s.Load(w.ID)
		if err != nil {
			t.Errorf("load: %v", err)
			continue
		}
		a, err := m.Data()
		b, _ := w.Data()
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("body of %s differs (%d, %d bytes): %v", w.ID, len(a), len(b), err)
		}
		got, exp := describe(m), describe(w)
		if got != exp {
			t.Errorf("message came back as\n%s\nwant\n%s", got, exp)
		}
		e := live[w.ID]
		if e.Queue != w.Queue || !e.Due.Equal(w.Due) || e.Attempts != w.Attempts || !e.Created.Equal(w.Created) || e.Size != w.Size {
			t.Errorf("entry %+v of %s", e, exp)
		}
	}
}

func describe(m *message.Message) string {
	meta, _ := m.Meta.MarshalJSON()
	var tries []string
	for _, t := range m.History {
		tries = append(tries, fmt.Sprint(t.At.UTC(), t.Response, t.Source, t.Peer))
	}
	return fmt.Sprint(tries, m.ID, m.Sender, m.Recipients, m.Queue, m.Created.UTC(), m.Due.UTC(), m.Attempts, m.Size, m.LastResponse, string(meta))
}

func TestConcurrentAcceptsShareSyncs(t *testing.T) {
	s := open(t, t.TempDir())
	next := newID()
	var wg sync.WaitGroup
	const writers, each = 32, 50
	for range writers {
		wg.Go(func() {
			for range each {
				if err := s.Accept(context.Background(), "", newMessage(next(), "x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	st := s.Stats()
	if st.Live != writers*each || st.Syncs > writers*each/2 {
		t.Errorf("%d messages with %d syncs", st.Live, st.Syncs)
	}
	_ = s.Close()
}

func TestOneOwner(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := spool.Open(context.Background(), spool.Config{Dir: dir, Log: quiet, NoIndex: true})
	var held *spool.HeldError
	if !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Fatalf("second owner: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if _, err = spool.Open(context.Background(), spool.Config{Dir: dir, Log: quiet, NoIndex: true}); !errors.As(err, &held) {
		t.Fatalf("second owner after the lock file was deleted: %v", err)
	}
	_ = s.Close()
	_ = open(t, dir).Close()
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
