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

// TestIndexForgetsNothingWhenATurnIsCutShort: what a turn has gathered when the spool is closed is written by the last
// turns, before they note that the index is up to date.
func TestIndexForgetsNothingWhenATurnIsCutShort(t *testing.T) {
	for _, flood := range []bool{false, true} {
		t.Run(fmt.Sprint("flood ", flood), func(t *testing.T) { cutTurnShort(t, flood) })
	}
}

func cutTurnShort(t *testing.T, flood bool) {
	dir, ctx := t.TempDir(), t.Context()
	s, err := Open(ctx, Config{Dir: dir, Log: slog.New(slog.DiscardHandler), NoIndex: true})
	if err != nil {
		t.Fatal(err)
	}
	x := &index{s: s, path: indexPath(dir), log: s.log}
	s.index = x
	ids := message.NewIDSource(time.Now)
	accept := func() *message.Message {
		m := &message.Message{
			ID: ids.Next(), Recipients: []mail.Address{mail.Restore("a@b.example")}, Meta: message.NewMeta(nil), Queue: "q", Created: time.Now(),
		}
		m.SetData([]byte("hi\r\n"))
		if err := s.Accept(ctx, "", m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	old := []*message.Message{accept(), accept()}
	for range 3 {
		if err := x.step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range old {
		m.Attempts = 1
		if err := s.Update(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	young := accept()
	if flood {
		x.mu.Lock()
		x.flood, x.changed = true, nil
		x.mu.Unlock()
	}
	cut, cancel := context.WithCancel(ctx)
	cancel()
	if err := x.turn(cut); err == nil {
		t.Fatal("a turn without time is a good one")
	}
	x.finish()
	s.index = nil
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make(map[message.ID]int)
	err = r.List(ctx, Filter{}, func(row Row) error {
		got[row.ID] = row.Attempts
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[old[0].ID] != 1 || got[old[1].ID] != 1 {
		t.Errorf("a reader sees %v, want both of %s and %s with one attempt, and %s", got, old[0].ID, old[1].ID, young.ID)
	}
}
