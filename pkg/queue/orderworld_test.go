package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/message"
)

// Recall gives back what was offered and that no session has begun.
func (w *world) Recall(want func(message.ID) bool) []*message.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*message.Message
	for _, name := range slices.Sorted(maps.Keys(w.offered)) {
		if m := w.offered[name]; want(m.ID) {
			w.note("%s: recalled", name)
			out = append(out, m)
			delete(w.offered, name)
		}
	}
	return out
}

func (w *world) Hurry(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("hurry %s", key)
}

// rebind is policy: it does what data says.
func (w *world) rebind(_ context.Context, m *message.Message, data map[string]string) error {
	if data["fail"] != "" {
		return errors.New(data["fail"])
	}
	for k, v := range data {
		m.Meta.Set(k, v)
	}
	return nil
}

// order gives an order: order KIND ID [queue=…] [domain=…] [ids=a,b] [all] [for=…] [reason=…] [of=…] [set=k:v,…]
// [flush] [event] [silent] [quietly]
func (w *world) order(t *testing.T, plain []string, arg map[string]string) string {
	o := &Order{
		Kind: Kind(plain[0]), ID: plain[1], Created: time.Now(), Reason: strings.ReplaceAll(arg["reason"], "_", " "), Of: arg["of"],
		Flush: slices.Contains(plain, "flush"), Event: slices.Contains(plain, "event"), Silent: slices.Contains(plain, "silent"),
	}
	if s := arg["for"]; s != "" {
		o.Expires = time.Now().Add(duration(s))
	}
	if s := arg["set"]; s != "" {
		o.Set = map[string]string{}
		for kv := range strings.SplitSeq(s, ",") {
			k, v, _ := strings.Cut(kv, ":")
			o.Set[k] = v
		}
	}
	ids := map[message.ID]bool{}
	for n := range strings.SplitSeq(arg["ids"], ",") {
		if n != "" {
			var id message.ID
			copy(id[:], n)
			ids[id] = true
			o.IDs = append(o.IDs, id)
		}
	}
	all := slices.Contains(plain, "all")
	if q := arg["queue"]; q != "" {
		o.Scope.Queues = []string{q}
	}
	o.Scope.Domain = arg["domain"]
	some := all || arg["queue"] != "" || arg["domain"] != ""
	o.QueuesOnly = some && len(ids) == 0
	o.Match = w.Match(func(r *FakeRow) bool {
		if len(ids) > 0 && !ids[r.Msg.ID] {
			return false
		}
		return (some || len(ids) > 0) && o.Scope.Covers(r.Msg.Queue)
	})
	c, err := w.orders.Apply(t.Context(), o, nil)
	synctest.Wait()
	text := fmt.Sprintf("matched=%d done=%d busy=%d", c.Matched, c.Done, c.Busy)
	if c.Unknown > 0 {
		text += fmt.Sprintf(" unknown=%d", c.Unknown)
	}
	if err != nil {
		text += " error: " + err.Error()
	}
	return w.said() + text + "\n"
}

// places says where the store has its messages, and what stands.
func (w *world) places() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.byName)) {
		r := w.Row(w.byName[name].ID)
		if r == nil {
			continue
		}
		fmt.Fprintf(&out, "%s %s", name, [...]string{"waits", "taken", "held", "trashed"}[r.Place])
		if r.Order != "" {
			fmt.Fprintf(&out, " by %s", r.Order)
		}
		fmt.Fprintf(&out, " in %s attempts=%d", r.Msg.Queue, r.Msg.Attempts)
		if !r.Msg.Due.IsZero() {
			fmt.Fprintf(&out, " due in %s", time.Until(r.Msg.Due))
		}
		out.WriteString("\n")
	}
	for _, s := range w.Standing() {
		fmt.Fprintf(&out, "standing %s %s\n", s.Kind, s.ID)
	}
	if n, _ := w.Notes(); len(n) > 0 {
		fmt.Fprintf(&out, "%d notes\n", len(n))
	}
	for _, f := range w.Faults() {
		fmt.Fprintf(&out, "FAULT %s\n", f)
	}
	return out.String()
}
