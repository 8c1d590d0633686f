package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/queue"
	"kumo/pkg/spool"
)

// TestEnumerate: policy sees each message that waits once, from several goroutines; what it changes is kept, and what
// is held is none of its business.
func TestEnumerate(t *testing.T) {
	const n = 60
	dir := t.TempDir()
	s, shut := openSpool(t, dir)
	ids := message.NewIDSource(time.Now)
	var held message.ID
	for i := range n {
		m := &message.Message{
			ID: ids.Next(), Recipients: []mail.Address{mail.Restore(fmt.Sprintf("u%d@old.test", i))}, Meta: message.NewMeta(nil),
			Queue: "old.test", Created: time.Now(),
		}
		m.SetData([]byte("Subject: x\r\n\r\n"))
		if err := s.Accept(t.Context(), "", m); err != nil {
			t.Fatal(err)
		}
		s.Give(m.ID)
		held = m.ID
	}
	if _, err := s.Apply(t.Context(), "o", spool.ChangeHold, time.Time{}, []message.ID{held}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked, queues := map[message.ID]int{}, map[string]int{}
	e := &enumerator{
		spool: s, threads: 3,
		ask: func(_ context.Context, m *message.Message) error {
			mu.Lock()
			defer mu.Unlock()
			asked[m.ID]++
			if len(asked)%2 == 0 {
				m.Meta.Set("queue", "new.test")
			}
			return nil
		},
		restore: func(e queue.Entry) {
			mu.Lock()
			defer mu.Unlock()
			queues[e.Queue]++
			if e.Place == queue.Held {
				queues["held"]++
			}
		},
	}
	if err := e.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(asked) != n-1 || asked[held] != 0 || queues["old.test"]+queues["new.test"] != n || queues["held"] != 1 || e.changed.Load() != (n-1)/2 {
		t.Errorf("asked about %d, queues %v, changed %d", len(asked), queues, e.changed.Load())
	}
	changed := queues["new.test"]
	shut()
	s, _ = openSpool(t, dir)
	s.Live(func(x spool.Entry) bool {
		if x.Queue == "new.test" {
			changed--
		}
		return true
	})
	if changed != 0 {
		t.Errorf("%d changes were not kept", changed)
	}

	fault := errors.New("no such tenant")
	restored := 0
	e = &enumerator{
		spool: s, threads: 1, ask: func(context.Context, *message.Message) error { return fault }, restore: func(queue.Entry) { restored++ },
	}
	if err := e.run(t.Context()); !errors.Is(err, fault) || !strings.HasPrefix(err.Error(), "spool_message_enumerated for message ") || restored > 1 {
		t.Errorf("%v, and %d messages were restored", err, restored)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a start that is over: %v", err)
	}
}
