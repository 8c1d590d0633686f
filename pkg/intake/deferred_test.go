package intake

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"kumo/pkg/message"
)

func TestDeferredSpool(t *testing.T) {
	urgent := func(how func(m *message.Message)) func(*message.Message, *message.Meta) error {
		return func(m *message.Message, _ *message.Meta) error {
			if strings.HasPrefix(m.Recipients[0].String(), "b@") {
				how(m)
			}
			return nil
		}
	}
	for _, c := range []struct {
		name string
		set  func(sub *message.Submission, in *Intake, h *house)
		want []string // of the steps that store
	}{
		{"all", func(*message.Submission, *Intake, *house) {}, []string{"defer 2"}},
		{"not asked for", func(sub *message.Submission, _ *Intake, _ *house) { sub.Deferred = false }, []string{"store 2"}},
		{"an order", func(sub *message.Submission, _ *Intake, _ *house) { sub.Order = "o" }, []string{"store 2"}},
		{"memory is low", func(_ *message.Submission, in *Intake, _ *house) { in.Lean = func() bool { return true } }, []string{"store 2"}},
		{"large", func(sub *message.Submission, _ *Intake, _ *house) {
			sub.Data = append([]byte("Subject: x\r\n\r\n"), bytes.Repeat([]byte("x\r\n"), portionBytes/5)...)
		}, []string{"store 1", "store 1"}},
		{"set_force_sync", func(_ *message.Submission, _ *Intake, h *house) {
			h.hook = urgent(func(m *message.Message) { m.ForceSync = true })
		}, []string{"store 1", "defer 1"}},
		{"save", func(_ *message.Submission, _ *Intake, h *house) {
			h.hook = urgent(func(m *message.Message) { m.Save(); m.ForceSync = false })
		}, []string{"store 1", "defer 1"}},
		{"shrink", func(_ *message.Submission, _ *Intake, h *house) { h.hook = urgent((*message.Message).Release) }, []string{"store 1", "defer 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &house{}
			in := newIntake(h)
			sub := submission(t, "a@example.com", "b@example.net")
			sub.Deferred = true
			c.set(sub, in, h)
			if _, err := in.Accept(t.Context(), sub); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range h.steps {
				if strings.HasPrefix(s, "store ") || strings.HasPrefix(s, "defer ") {
					got = append(got, s)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			for _, r := range h.records {
				if said := strings.Contains(r.Response.Text, "deferred_spool"); r.Response.Code != 250 || said != r.Msg.Deferred {
					t.Errorf("record of %s, deferred %v: %s", r.Msg.Recipients[0], r.Msg.Deferred, r.Response)
				}
			}
			if len(h.inserted) != 2 {
				t.Errorf("%d messages inserted", len(h.inserted))
			}
		})
	}
}

func TestShrunkMessageLeavesMemoryOnceStored(t *testing.T) {
	h := &house{hook: func(m *message.Message, _ *message.Meta) error { m.Release(); return nil }}
	if _, err := newIntake(h).Accept(t.Context(), submission(t, "a@example.com")); err != nil {
		t.Fatal(err)
	}
	if m := h.inserted[0]; m.InMemory() || data(t, m) != "as stored" {
		t.Error("the body is still in memory")
	}
}

// Messages that need not be stored must not be taken either when others of the transaction cannot be.
func TestDeferredIsAllOrNone(t *testing.T) {
	h := &house{
		hook: func(m *message.Message, _ *message.Meta) error {
			m.ForceSync = m.Recipients[0].Domain() == "example.net"
			return nil
		},
		accept: func(context.Context) error { return errors.New("disk") },
	}
	sub := submission(t, "a@example.com", "b@example.net")
	sub.Deferred = true
	if _, err := newIntake(h).Accept(t.Context(), sub); err == nil {
		t.Fatal("taken")
	}
	if len(h.records) > 0 || len(h.inserted) > 0 || slices.Contains(h.steps, "defer 1") {
		t.Errorf("steps %q", h.steps)
	}
}
