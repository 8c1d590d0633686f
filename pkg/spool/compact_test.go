package spool_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/kumotest"
	"kumo/pkg/message"
	"kumo/pkg/spool"
	"kumo/pkg/torture/crashfs"
)

// picture is everything that can be known of a spool's mail, in the sequence of ids.
func picture(t testing.TB, s *spool.Spool, ids []message.ID) string {
	t.Helper()
	var b strings.Builder
	for i, st := range strings.Fields(states(s, ids)) {
		if st == "-" {
			fmt.Fprintln(&b, ids[i], st)
			continue
		}
		m, err := s.Load(ids[i])
		if err != nil {
			t.Errorf("load: %v", err)
			continue
		}
		body, err := m.Data()
		if err != nil {
			t.Errorf("body: %v", err)
		}
		fmt.Fprintln(&b, strings.ReplaceAll(st, "t", "s"), describe(m), string(body[:min(20, len(body))]), len(body))
	}
	for _, o := range s.Standing() {
		fmt.Fprintln(&b, "order", o.ID, o.Kind, o.Created.UTC(), o.Author, string(o.Payload))
	}
	notes, err := s.Notes()
	fmt.Fprintf(&b, "notes %q %v\n", notes, err)
	return b.String()
}

// differs names the lines in which two pictures differ, "" if they are the same.
func differs(got, want string) string {
	var out strings.Builder
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "", ""
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b && out.Len() < 2000 {
			fmt.Fprintf(&out, "got  %s\nwant %s\n", a, b)
		}
	}
	return out.String()
}

// mixed fills a spool with mail in all states: alone and with shared bodies, long and empty, changed, held, bounced and
// both, with orders and notes between, and most of it ended.
func mixed(t testing.TB, s *spool.Spool) []message.ID {
	t.Helper()
	ctx := context.Background()
	next := newID()
	var ids []message.ID
	for i := range 12 {
		shared := []byte(fmt.Sprintf("shared %d %0*d", i, 900*i, 0))
		var ms []*message.Message
		for range 5 {
			m := newMessage(next(), "")
			m.SetData(shared)
			ms = append(ms, m)
		}
		alone := newMessage(next(), fmt.Sprintf("alone %d", i))
		empty := newMessage(next(), "")
		if err := errors.Join(s.Accept(ctx, fmt.Sprint("inject", i), ms...), s.Accept(ctx, "", alone, empty)); err != nil {
			t.Fatal(err)
		}
		for _, m := range append(ms, alone, empty) {
			s.Give(m.ID)
			ids = append(ids, m.ID)
		}
		alone.Attempts, alone.LastResponse, alone.Due = i, "451 later", time.Unix(1_900_000_000+int64(i), 1)
		alone.Tried(message.Try{At: time.Unix(1_800_000_000, 0), Response: "451 later", Source: "ip", Peer: "mx"})
		if err := errors.Join(s.Update(alone), s.Reschedule(ms[3].ID, time.Unix(1_950_000_000, 0), 9)); err != nil {
			t.Fatal(err)
		}
		if err := s.BeginOrder(ctx, spool.Order{ID: fmt.Sprint("order", i), Kind: spool.OrderHold, Created: time.Unix(int64(i+1), 0), Payload: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
		apply(t, s, fmt.Sprint("order", i), spool.ChangeHold, ms[2].ID, ms[3].ID)
		apply(t, s, "bounce", spool.ChangeTrash, ms[3].ID, ms[4].ID)
		if err := s.AddNotes(ctx, []byte(fmt.Sprint("note ", i))); err != nil {
			t.Fatal(err)
		}
		for _, m := range []*message.Message{ms[0], empty} { // ms[0] carries the body for the others
			if i%3 > 0 {
				if err := s.End(m.ID, spool.EndDelivered); err != nil {
					t.Fatal(err)
				}
			}
		}
		if i%4 == 3 {
			s.EndOrder(fmt.Sprint("order", i-1))
		}
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestCompactionKeepsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		s := openOn(t, disk)
		ids := mixed(t, s)
		want := picture(t, s, ids)
		next := newID()
		for range 200 { // and much that is dead
			m := newMessage(next(), strings.Repeat("x", 500))
			if err := errors.Join(s.Accept(t.Context(), "", m), s.End(m.ID, spool.EndDelivered)); err != nil {
				t.Fatal(err)
			}
		}
		before := s.Stats()
		var told []int64
		err := s.Compact(t.Context(), func(done, total int64) { told = append(told, done, total) })
		if err != nil {
			t.Fatal(err)
		}
		after := s.Stats()
		if d := differs(picture(t, s, ids), want); d != "" {
			t.Errorf("after compaction\n%s", d)
		}
		if n := len(told); n == 0 || told[n-2] != told[n-1] {
			t.Errorf("progress %v", told)
		}
		// 12 bodies of up to 9.9 kB are shared by four or five messages each; were they not, there would be 200 kB.
		if after.Bytes > 100_000 || after.Bytes > before.Bytes*2/3 {
			t.Errorf("%d bytes became %d", before.Bytes, after.Bytes)
		}
		if after.Compaction.Messages == 0 || after.Compaction.Bytes == 0 || after.Compaction.Segments == 0 {
			t.Errorf("%+v", after.Compaction)
		}
		for _, keep := range []int{0, 100} {
			again := reopen(t, disk.Crash(keep, rand.New(rand.NewPCG(1, 2))))
			if d := differs(picture(t, again, ids), want); d != "" {
				t.Errorf("after a power cut, %d %% kept\n%s", keep, d)
			}
			if err := again.Compact(t.Context(), nil); err != nil {
				t.Error(err)
			}
			if d := differs(picture(t, again, ids), want); d != "" {
				t.Errorf("compacted again\n%s", d)
			}
			_ = again.Close()
		}
		_ = s.Close()
	})
}

// TestPowerCutsDuringCompaction is fault F11: the power goes after every operation of a compaction, and again during
// the recovery (F13) or the next compaction. 0 lost, 0 resurrected.
func TestPowerCutsDuringCompaction(t *testing.T) {
	var from, to int
	var want string
	var ids []message.ID
	prepare := func() (*kumotest.CrashFS, *spool.Spool) {
		disk := kumotest.NewCrashFS()
		s := openOn(t, disk)
		ids = mixed(t, s)
		return disk, s
	}
	synctest.Test(t, func(t *testing.T) {
		disk, s := prepare()
		from, want = disk.Ops(), picture(t, s, ids)
		if err := s.Compact(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		to = disk.Ops()
		_ = s.Close()
	})
	if to-from < 20 {
		t.Fatalf("only %d operations", to-from)
	}
	for n := from + 1; n <= to; n += stride(5) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(n), 7))
			disk, s := prepare()
			want := anonymous(want, picture(t, s, ids))
			disk.CutAfter(n)
			_ = s.Compact(t.Context(), nil)
			for _, keep := range []int{-1, 0, 50, 100} {
				after := disk.Kill()
				if keep >= 0 {
					after = disk.Crash(keep, rng)
				}
				for second := range 3 {
					cut := after.Kill()
					cut.CutAfter(1 + second*3 + rng.IntN(3))
					if s, err := spool.Open(t.Context(), crashConfig(cut)); err == nil {
						_ = s.Compact(t.Context(), nil)
						_ = s.Close()
					}
					after = cut.Crash(rng.IntN(101), rng)
				}
				again := reopen(t, after)
				if d := differs(picture(t, again, ids), want); d != "" {
					t.Errorf("cut after %d, %d %% kept\n%s", n, keep, d)
				}
				_ = again.Close()
			}
			_ = s.Close()
		})
	}
}

// anonymous is the picture that is expected in this run, whose ids are others: it must be like that of the first run.
func anonymous(first, now string) string {
	if strings.Count(first, "\n") != strings.Count(now, "\n") {
		return first
	}
	return now
}

// TestCompactionWhileMailMoves copies mail round and round while others change, end, hold and bounce it.
func TestCompactionWhileMailMoves(t *testing.T) {
	dir := t.TempDir()
	cfg := spool.Config{Dir: dir, Log: quiet, SegmentSize: 64 << 10, NoIndex: true}
	s, err := spool.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	next := newID()
	var ids []message.ID
	for range 4 {
		ids = append(ids, stock(t, s, next, 100)...)
	}
	for i := range 100 {
		body := []byte(strings.Repeat("s", 300+i))
		a, b := newMessage(next(), ""), newMessage(next(), "")
		a.SetData(body)
		b.SetData(body)
		if err := s.Accept(t.Context(), "", a, b); err != nil {
			t.Fatal(err)
		}
		s.Give(a.ID)
		s.Give(b.ID)
		ids = append(ids, a.ID, b.ID)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for !stop.Load() {
				id := ids[rng.IntN(len(ids))]
				e, ok := s.Lookup(id)
				if !ok {
					continue
				}
				m, err := s.TakeIf(id, spool.DueBits(e.Due))
				if errors.Is(err, spool.ErrGone) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if body, err := m.Data(); err != nil || len(body) != e.Size {
					t.Errorf("%d bytes, %v", len(body), err)
				}
				switch rng.IntN(40) {
				case 0:
					err = s.End(id, spool.EndDelivered)
				case 1, 2, 3, 4, 5, 6, 7, 8, 9:
					m.Attempts++
					m.Due = m.Due.Add(time.Second)
					err = s.Update(m)
				case 10, 11, 12, 13, 14:
					err = s.Reschedule(id, e.Due.Add(time.Minute), e.Attempts+1)
				default:
					s.Give(id)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		changes := []spool.Change{spool.ChangeHold, spool.ChangeTrash, spool.ChangeRestore, spool.ChangeRelease}
		for i := 0; !stop.Load(); i++ {
			from := i * 41 % len(ids)
			if _, err := s.Apply(context.Background(), fmt.Sprint(i%3), changes[i%4], time.Time{}, ids[from:min(from+50, len(ids))]); err != nil {
				t.Error(err)
			}
		}
	})
	for range 25 {
		if err := s.CopyAll(); err != nil && !errors.Is(err, spool.ErrChanging) {
			t.Error(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	if st := s.Stats(); st.Compaction.Messages < 1000 {
		t.Errorf("only %+v", st.Compaction)
	}
	want := picture(t, s, ids)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if r := again.Recovery(); len(r.Damaged)+len(r.Missing) > 0 {
		t.Errorf("%+v", r)
	}
	if d := differs(picture(t, again, ids), want); d != "" {
		t.Errorf("after a restart\n%s", d)
	}
	_ = again.Close()
}

// TestTheLogStaysSmall turns mail over for a long time while some of it is old: the log stays within bounds, and so does
// what is copied.
func TestTheLogStaysSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openWith(t, kumotest.NewCrashFS(), 16<<10)
		next := newID()
		var old []message.ID
		for range 30 { // 12 kB that stay
			m := newMessage(next(), strings.Repeat("o", 100))
			if err := s.Accept(t.Context(), "", m); err != nil {
				t.Fatal(err)
			}
			old = append(old, m.ID)
		}
		written := int64(0)
		for range 400 {
			for range 12 {
				m := newMessage(next(), strings.Repeat("x", 700))
				if err := errors.Join(s.Accept(t.Context(), "", m), s.End(m.ID, spool.EndDelivered)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			if st := s.Stats(); st.Bytes > 3*st.LiveBytes+7*16<<10 {
				t.Fatalf("%+v", st)
			}
		}
		st := s.Stats()
		written = st.Written - st.Compaction.Bytes
		if st.Compaction.Bytes > written/2 || st.Compaction.Bytes == 0 {
			t.Errorf("%d bytes were copied, %d appended", st.Compaction.Bytes, written)
		}
		t.Logf("%d bytes appended, %d copied, %d in the log", written, st.Compaction.Bytes, st.Bytes)
		for _, id := range old {
			if _, err := s.Body(id); err != nil {
				t.Error(err)
			}
		}
		_ = s.Close()
	})
}

// TestAReadErrorLosesNoUpdate: what cannot be read just now is not left out of a copy. Found by kumo torture --seed 1 --point
// 9145: a message was back at the envelope that it came with.
func TestAReadErrorLosesNoUpdate(t *testing.T) {
	hit := 0
	for skip := range 12 {
		synctest.Test(t, func(t *testing.T) {
			disk := kumotest.NewCrashFS()
			s := openOn(t, disk)
			m := newMessage(message.ID{7}, strings.Repeat("x", 3000))
			if err := s.Accept(context.Background(), "", m); err != nil {
				t.Fatal(err)
			}
			m.LastResponse, m.Queue, m.Attempts = "451 later", "elsewhere.test", 3
			if err := errors.Join(s.Update(m), s.Flush()); err != nil {
				t.Fatal(err)
			}
			disk.FailReads(crashfs.ReadFault{Skip: skip, Times: 1, Err: syscall.EIO})
			if err := s.CopyAll(); err != nil {
				hit++
			}
			disk.FailReads(crashfs.ReadFault{})
			for round := range 2 {
				got, err := s.Load(m.ID)
				if err != nil || describe(got) != describe(m) {
					t.Errorf("read %d fails, round %d: %v\n%s\nwant\n%s", skip, round, err, describe(got), describe(m))
				}
				_ = s.Close()
				s = openOn(t, disk)
			}
			_ = s.Close()
		})
	}
	if hit == 0 {
		t.Error("no read of a compaction failed")
	}
}
