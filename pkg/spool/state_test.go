package spool_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kumo/pkg/kumotest"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// stock accepts n messages and gives them back, so that they are Scheduled.
func stock(t testing.TB, s *spool.Spool, next func() message.ID, n int) []message.ID {
	t.Helper()
	ids := make([]message.ID, n)
	ms := make([]*message.Message, n)
	for i := range ms {
		ms[i] = newMessage(next(), fmt.Sprint("body ", i))
		ms[i].Due = time.Unix(1_800_000_000+int64(i), 77)
		ids[i] = ms[i].ID
	}
	if err := s.Accept(context.Background(), "", ms...); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		s.Give(id)
	}
	return ids
}

func apply(t testing.TB, s *spool.Spool, order string, c spool.Change, ids ...message.ID) spool.Applied {
	t.Helper()
	a, err := s.Apply(context.Background(), order, c, time.Unix(1_900_000_000, 5), ids)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// states draws the state and the order of each message: "s" scheduled, "t" taken, "h:order", "x:order" trashed, "-".
func states(s *spool.Spool, ids []message.ID) string {
	var out []string
	for _, id := range ids {
		e, ok := s.Lookup(id)
		switch {
		case !ok:
			out = append(out, "-")
		case e.State == spool.Scheduled:
			out = append(out, "s")
		case e.State == spool.Taken:
			out = append(out, "t")
		case e.State == spool.OnHold:
			out = append(out, "h:"+e.Order)
		default:
			out = append(out, "x:"+e.Order)
		}
	}
	return strings.Join(out, " ")
}

func TestOrdersChangeStates(t *testing.T) {
	disk := kumotest.NewCrashFS()
	s := openOn(t, disk)
	ids := stock(t, s, newID(), 8)
	gone := message.ID{9, 9}
	if _, err := s.Take(ids[7], time.Unix(1_800_000_007, 77)); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		order string
		c     spool.Change
		ids   []message.ID
		want  string
		done  int
		taken int
	}{
		{"hold1", spool.ChangeHold, []message.ID{ids[0], ids[1], ids[1], ids[7], gone}, "h:hold1 h:hold1 s s s s s t", 2, 1},
		{"hold2", spool.ChangeHold, ids[:3], "h:hold1 h:hold1 h:hold2 s s s s t", 1, 0},
		{"bounce", spool.ChangeTrash, ids[1:5], "h:hold1 x:bounce x:bounce x:bounce x:bounce s s t", 4, 0},
		{"bounce", spool.ChangeTrash, ids[1:5], "h:hold1 x:bounce x:bounce x:bounce x:bounce s s t", 0, 0},
		{"due", spool.ChangeDue, ids, "h:hold1 x:bounce x:bounce x:bounce x:bounce s s t", 2, 1},
		{"release", spool.ChangeRelease, ids, "s x:bounce x:bounce x:bounce x:bounce s s t", 1, 0},
		{"undo", spool.ChangeRestore, ids[:4], "s h:hold1 h:hold2 s x:bounce s s t", 3, 0},
		{"purge", spool.ChangeEnd, ids[4:], "s h:hold1 h:hold2 s - - - t", 3, 1},
	}
	for _, st := range steps {
		a := apply(t, s, st.order, st.c, st.ids...)
		if got := states(s, ids); got != st.want || len(a.Done) != st.done || len(a.Taken) != st.taken {
			t.Errorf("%s: %s, want %s; %d done, %d taken", st.order, got, st.want, len(a.Done), len(a.Taken))
		}
		// Durable when Apply returns, whatever the disk makes of the rest.
		again, err := spool.Open(context.Background(), crashConfig(cut(disk)))
		if err != nil {
			t.Fatal(err)
		}
		if got := states(again, ids); got != strings.ReplaceAll(st.want, "t", "s") {
			t.Errorf("%s: after a power cut %s, want %s", st.order, got, st.want)
		}
		_ = again.Close()
	}
	if e, _ := s.Lookup(ids[3]); !e.Due.Equal(time.Unix(1_800_000_003, 77)) {
		t.Errorf("a restored message is due at %s", e.Due)
	}
	if st := s.Stats(); st.Live != 5 || st.Held != 2 || st.Trashed != 0 {
		t.Errorf("%+v", st)
	}
	_ = s.Close()
}

func TestTakeAndGive(t *testing.T) {
	s := openOn(t, kumotest.NewCrashFS())
	next := newID()
	ids := stock(t, s, next, 4)
	due := func(i int) time.Time { return time.Unix(1_800_000_000+int64(i), 77) }
	gone := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, spool.ErrGone) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := s.Take(ids[0], due(1))
	gone("another due time", err)
	m, err := s.Take(ids[0], due(0))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Take(ids[0], due(0))
	gone("taken twice", err)
	m.Due, m.Attempts = due(9), 1
	m.Tried(message.Try{At: due(3), Response: "451 later", Source: "ip-1", Peer: "mx.example.net. [192.0.2.1]"})
	if err := s.Update(m); err != nil {
		t.Fatal(err)
	}
	_, err = s.Take(ids[0], due(0))
	gone("rescheduled", err)
	if m, err = s.TakeIf(ids[0], spool.DueBits(due(9))); err != nil {
		t.Fatal(err)
	}
	if len(m.History) != 1 || m.History[0].Response != "451 later" || !m.History[0].At.Equal(due(3)) {
		t.Errorf("history: %+v", m.History)
	}
	s.Give(ids[0])
	if _, err = s.TakeIf(ids[0], spool.DueBits(due(9))); err != nil {
		t.Error(err)
	}
	apply(t, s, "o", spool.ChangeHold, ids[1])
	_, err = s.Take(ids[1], due(1))
	gone("held", err)
	apply(t, s, "o", spool.ChangeDue, ids[2])
	_, err = s.Take(ids[2], due(2))
	gone("requeued", err)
	if _, err = s.Take(ids[2], time.Unix(1_900_000_000, 5)); err != nil {
		t.Error(err)
	}
	fresh := newMessage(next(), "x")
	if err := s.Accept(context.Background(), "", fresh); err != nil {
		t.Fatal(err)
	}
	_, err = s.Take(fresh.ID, time.Time{})
	gone("accepted and not given back", err)
	if err := s.Save(fresh); err != nil {
		t.Error(err)
	}
	if got := states(s, []message.ID{fresh.ID}); got != "t" {
		t.Errorf("saved: %s", got)
	}
	s.Give(fresh.ID)
	if _, err = s.Take(fresh.ID, time.Time{}); err != nil {
		t.Error(err)
	}
	_ = s.Close()
}

func TestOfOrderComesInPages(t *testing.T) {
	s := openWith(t, kumotest.NewCrashFS(), 64<<20)
	next := newID()
	var all []message.ID
	for range 3 {
		ids := stock(t, s, next, 7000)
		apply(t, s, "bounce", spool.ChangeTrash, ids...)
		all = append(all, ids...)
	}
	stock(t, s, next, 10)
	var pages []int
	seen := make(map[message.ID]bool)
	err := s.OfOrder(context.Background(), "bounce", func(ids []message.ID) error {
		pages = append(pages, len(ids))
		for _, id := range ids {
			seen[id] = true
		}
		a, err := s.Apply(context.Background(), "undo", spool.ChangeRestore, time.Time{}, ids)
		if len(a.Done) != len(ids) {
			t.Errorf("%d of %d restored", len(a.Done), len(ids))
		}
		return err
	})
	if err != nil || !slices.Equal(pages, []int{10000, 10000, 1000}) || len(seen) != len(all) {
		t.Errorf("%v, %d ids: %v", pages, len(seen), err)
	}
	if _, err := s.Apply(context.Background(), "o", spool.ChangeHold, time.Time{}, all[:10001]); err == nil {
		t.Error("a step of 10,001 messages was taken")
	}
	_ = s.Close()
}

func TestStandingOrdersAndNotes(t *testing.T) {
	disk := kumotest.NewCrashFS()
	s := openOn(t, disk)
	ctx := context.Background()
	first, err := spool.NewCommand(spool.OrderSuspend, "me", spool.Command{Match: spool.Match{Domain: "a.test"}, Reason: "r"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	first.ID, first.Created = "b", time.Unix(5, 0)
	second := spool.Order{ID: "a", Kind: spool.OrderHold, Created: time.Unix(6, 0), Payload: []byte("{}")}
	for _, o := range []spool.Order{second, first, first} {
		if err := s.BeginOrder(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddNotes(ctx, []byte("one"), []byte(""), []byte("three")); err != nil {
		t.Fatal(err)
	}
	verify := func(s *spool.Spool, orders, notes string) {
		t.Helper()
		var got []string
		for _, o := range s.Standing() {
			got = append(got, o.ID+" "+o.Kind+" "+o.Author)
		}
		texts, err := s.Notes()
		if strings.Join(got, ", ") != orders || err != nil || fmt.Sprintf("%q", texts) != notes {
			t.Errorf("orders %q, notes %q, %v", got, texts, err)
		}
	}
	verify(s, "b suspend me, a hold ", `["one" "" "three"]`)
	s = reopen(t, cut(disk))
	verify(s, "b suspend me, a hold ", `["one" "" "three"]`)
	if c, _, err := s.Standing()[0].Command(); err != nil || c.Match.Domain != "a.test" || c.Reason != "r" {
		t.Errorf("%+v, %v", c, err)
	}
	_, _ = s.Notes()
	if err := s.AddNotes(ctx, []byte("four")); err != nil {
		t.Fatal(err)
	}
	s.DropNotes()
	s.EndOrder("b")
	s.EndOrder("never begun")
	verify(s, "a hold ", `["four"]`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func reopen(t *testing.T, disk *kumotest.CrashFS) *spool.Spool {
	t.Helper()
	s, err := spool.Open(context.Background(), crashConfig(disk))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOrdersAndDeliveriesRace is fault F164: workers take, reschedule and end messages while orders hold, bounce, undo
// and requeue them. Each message has one owner at a time, and the log agrees with the table.
func TestOrdersAndDeliveriesRace(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	next := newID()
	const n = 400
	ids := stock(t, s, next, n)
	var owners [n]atomic.Int32
	var ended [n]atomic.Int32
	var stop atomic.Bool
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := w; !stop.Load(); i += 7 {
				k := i % n
				e, ok := s.Lookup(ids[k])
				if !ok {
					continue
				}
				m, err := s.TakeIf(ids[k], spool.DueBits(e.Due))
				if err != nil {
					continue
				}
				if owners[k].Add(1) != 1 {
					t.Error("two owners")
				}
				owners[k].Add(-1)
				switch i % 11 {
				case 0, 1, 2:
					m.Attempts++
					m.Due = m.Due.Add(time.Second)
					err = s.Update(m)
				case 3, 4, 5:
					err = s.Reschedule(m.ID, m.Due.Add(time.Minute), m.Attempts)
				case 6:
					if i%5 == 0 {
						ended[k].Add(1)
						err = s.End(m.ID, spool.EndDelivered)
						break
					}
					s.Give(m.ID)
				default:
					s.Give(m.ID)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	changes := []spool.Change{spool.ChangeHold, spool.ChangeTrash, spool.ChangeRestore, spool.ChangeRelease, spool.ChangeDue}
	for w := range 4 {
		wg.Go(func() {
			for i := range 150 {
				c := changes[(i+w)%len(changes)]
				from := i * 37 % n
				part := ids[from:min(from+60, n)]
				if i%50 == 49 {
					a, err := s.Apply(context.Background(), "end", spool.ChangeEnd, time.Time{}, part[:2])
					if err != nil {
						t.Error(err)
					}
					for _, id := range a.Done {
						ended[slices.Index(ids, id)].Add(1)
					}
					continue
				}
				if _, err := s.Apply(context.Background(), fmt.Sprint("order", i%3), c, time.Unix(int64(1_700_000_000+i), 0), part); err != nil {
					t.Error(err)
				}
			}
			stop.Store(true)
		})
	}
	wg.Wait()
	before := states(s, ids)
	dues := func(s *spool.Spool) (out []string) {
		for _, id := range ids {
			e, _ := s.Lookup(id)
			out = append(out, e.Due.String())
		}
		return out
	}
	was := dues(s)
	for k := range ended {
		if _, live := s.Lookup(ids[k]); ended[k].Load() > 1 || live == (ended[k].Load() == 1) {
			t.Errorf("message %d ended %d times, alive: %v", k, ended[k].Load(), live)
		}
	}
	_ = s.Close()
	s = open(t, dir)
	if got := states(s, ids); got != strings.ReplaceAll(before, "t", "s") {
		t.Errorf("after a restart\n%s\nwant\n%s", got, before)
	}
	if got := dues(s); !slices.Equal(got, was) {
		t.Error("due times are others after a restart")
	}
	_ = s.Close()
}

// cut is the disk after a power cut that lost everything that was not synced.
func cut(disk *kumotest.CrashFS) *kumotest.CrashFS { return disk.Crash(0, rand.New(rand.NewPCG(1, 1))) }

// TestRescheduleKeepsTheResponse: the answer is there after a restart, whether there were updates before or not, and is
// not written again when it is the same.
func TestRescheduleKeepsTheResponse(t *testing.T) {
	disk := kumotest.NewCrashFS()
	s := openOn(t, disk)
	ids := stock(t, s, newID(), 2)
	m, err := s.Load(ids[1])
	if err != nil {
		t.Fatal(err)
	}
	m.LastResponse = "450 first"
	m.Tried(message.Try{At: time.Unix(5, 0), Response: "450 first"})
	if err := s.Update(m); err != nil {
		t.Fatal(err)
	}
	apply(t, s, "hold", spool.ChangeHold, ids[0])
	due := time.Unix(1_800_000_777, 0)
	long := "451 4.4.5 " + strings.Repeat("ä", 200)
	for range 3 {
		for _, id := range ids {
			if err := s.RescheduleWith(id, due, 4, long); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	written := s.Stats().Written
	if err := errors.Join(s.RescheduleWith(ids[0], due, 5, long), s.Flush()); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Written - written; n > 100 {
		t.Errorf("the same response once more took %d bytes", n)
	}
	if err := s.RescheduleWith(message.ID{9}, due, 1, "x"); !errors.Is(err, spool.ErrGone) {
		t.Errorf("a message that is not there: %v", err)
	}
	for range 2 {
		for i, id := range ids {
			m, err := s.Load(id)
			if err != nil {
				t.Fatal(err)
			}
			if len(m.LastResponse) != 256 || !strings.HasPrefix(long, m.LastResponse) || !m.Due.Equal(due) || m.Attempts != 5-i || len(m.History) != i || m.Meta.String("tenant") != "tenant" {
				t.Errorf("%s, %d bytes, history %v", describe(m), len(m.LastResponse), m.History)
			}
			if body, err := m.Data(); err != nil || string(body) != fmt.Sprint("body ", i) {
				t.Errorf("body %q, %v", body, err)
			}
		}
		wantStates(t, s, ids, "h:hold s")
		_ = s.Close()
		s = reopen(t, disk)
	}
	_ = s.Close()
}
