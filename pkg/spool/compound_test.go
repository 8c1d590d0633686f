package spool_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/kumotest"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// fill accepts mail until the disk is full, and returns what was taken.
func fill(t *testing.T, s *spool.Spool, next func() message.ID) []message.ID {
	t.Helper()
	var ids []message.ID
	for {
		m := newMessage(next(), strings.Repeat("x", 400))
		err := s.Accept(context.Background(), "", m)
		if errors.Is(err, spool.ErrFull) {
			return ids
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Give(m.ID)
		ids = append(ids, m.ID)
	}
}

// TestOrdersWorkOnAFullDisk is fault F25: orders are begun and carried out with 0 bytes free, by the reserve, and a
// bounce makes room.
func TestOrdersWorkOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		disk.SetCapacity(120 << 10)
		s := openOn(t, disk)
		next := newID()
		ids := fill(t, s, next)
		for fill := 100; fill > 0; fill /= 2 { // to the last byte
			_ = s.Accept(context.Background(), "", newMessage(next(), strings.Repeat("y", fill)))
		}
		payload := []byte(`{"match":{"all":true}}`)
		if err := s.BeginOrder(context.Background(), spool.Order{ID: "bounce", Kind: spool.OrderBounce, Created: time.Now(), Payload: payload}); err != nil {
			t.Fatal(err)
		}
		hold := apply(t, s, "hold", spool.ChangeHold, ids[:3]...)
		bounce := apply(t, s, "bounce", spool.ChangeTrash, ids[3:]...)
		if len(hold.Done) != 3 || len(bounce.Done) != len(ids)-3 || !bounce.Ended {
			t.Errorf("%d held, %d bounced, ended: %v", len(hold.Done), len(bounce.Done), bounce.Ended)
		}
		again := reopen(t, cut(disk))
		if got := states(again, ids[:4]); got != "h:hold h:hold h:hold -" {
			t.Errorf("after a power cut: %s", got)
		}
		_ = again.Close()
		time.Sleep(10 * time.Second)
		if room, err := s.Space(); err != nil || !room.OK {
			t.Errorf("no room after 10 s: %+v, %v", room, err)
		}
		if err := s.Accept(context.Background(), "", newMessage(next(), "x")); err != nil {
			t.Error(err)
		}
		wantStates(t, s, ids[:4], "h:hold h:hold h:hold -")
		_ = s.Close()
	})
}

// TestOneOldMessageDoesNotKeepAFullDiskFull: what is alive in front of the log is a few hundred bytes, all behind it is
// dead; copying the one makes room for the reserve again.
func TestOneOldMessageDoesNotKeepAFullDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		disk.SetCapacity(200 << 10)
		s := openOn(t, disk)
		next := newID()
		ids := fill(t, s, next)
		for _, id := range ids[1:] {
			if err := s.End(id, spool.EndDelivered); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		if room, err := s.Space(); err != nil || !room.OK {
			t.Errorf("no room after 10 s: %+v, %v, %+v\n%s", room, err, s.Stats(), disk)
		}
		if err := s.Accept(context.Background(), "", newMessage(next(), "x")); err != nil {
			t.Error(err)
		}
		if m, err := s.Load(ids[0]); err != nil {
			t.Error(err)
		} else if body, err := m.Data(); err != nil || len(body) != 400 {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		_ = s.Close()
	})
}

// TestMailIsRefusedBesideAnOrderOnAFullDisk puts an order and mail that does not fit into one batch: the mail alone is
// refused.
func TestMailIsRefusedBesideAnOrderOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowFS{CrashFS: kumotest.NewCrashFS()}
		disk.SetCapacity(120 << 10)
		s := openWith(t, disk, 1<<20)
		next := newID()
		ids := stock(t, s, next, 5)
		disk.takes = time.Second
		results := make(chan error, 3)
		accept := func(size int) {
			results <- s.Accept(context.Background(), "", newMessage(next(), strings.Repeat("x", size)))
		}
		go accept(10) // is being synced while the two others gather
		time.Sleep(100 * time.Millisecond)
		go accept(110 << 10)
		time.Sleep(100 * time.Millisecond)
		a, err := s.Apply(context.Background(), "hold", spool.ChangeHold, time.Time{}, ids)
		if err != nil || len(a.Done) != len(ids) {
			t.Errorf("%d held: %v", len(a.Done), err)
		}
		if first, second := <-results, <-results; first != nil || !errors.Is(second, spool.ErrFull) {
			t.Errorf("first %v, second %v", first, second)
		}
		if err := s.Healthy(); err != nil {
			t.Error(err)
		}
		again := reopen(t, cut(disk.CrashFS))
		wantStates(t, again, ids, "h:hold h:hold h:hold h:hold h:hold")
		if again.Len() != len(ids)+1 {
			t.Errorf("%d messages", again.Len())
		}
		_ = again.Close()
		_ = s.Close()
	})
}

// TestPowerCutsWhileAFullDiskHeals is the first part of fault F170: the power goes at every operation between a full
// disk and its recovery, and again during the start that follows.
func TestPowerCutsWhileAFullDiskHeals(t *testing.T) {
	run := func(at int) (disk *kumotest.CrashFS, kept, gone []message.ID, ops [2]int) {
		disk = kumotest.NewCrashFS()
		disk.SetCapacity(100 << 10)
		s := openOn(t, disk)
		ids := fill(t, s, newID())
		kept, gone = ids[:5], ids[5:]
		ops[0] = disk.Ops()
		if at > 0 {
			disk.CutAfter(ops[0] + at)
		}
		_, _ = s.Apply(context.Background(), "hold", spool.ChangeHold, time.Time{}, kept[:2])
		_, _ = s.Apply(context.Background(), "purge", spool.ChangeEnd, time.Time{}, gone)
		time.Sleep(6 * time.Second)
		if at == 0 {
			if room, err := s.Space(); err != nil || !room.OK {
				t.Errorf("no room after 6 s: %+v, %v", room, err)
			}
		}
		ops[1] = disk.Ops()
		_ = s.Close()
		return disk, kept, gone, ops
	}
	total := 0
	synctest.Test(t, func(t *testing.T) {
		_, _, _, ops := run(0)
		total = ops[1] - ops[0]
	})
	if total < 10 {
		t.Fatalf("only %d operations", total)
	}
	for n := 1; n <= total; n += stride(3) {
		synctest.Test(t, func(t *testing.T) {
			disk, kept, _, _ := run(n)
			for _, keep := range []int{0, 50, 100} {
				rng := rand.New(rand.NewPCG(uint64(n), uint64(keep)))
				after := disk.Crash(keep, rng)
				for k := range 3 {
					second := after.Kill()
					second.CutAfter(1 + 2*k)
					if s, err := spool.Open(context.Background(), crashConfig(second)); err == nil {
						time.Sleep(3 * time.Second)
						_ = s.Close()
					}
					after = second.Crash(rng.IntN(101), rng)
				}
				s, err := spool.Open(context.Background(), crashConfig(after))
				if err != nil {
					t.Fatalf("cut after %d, %d %% kept: %v", n, keep, err)
				}
				for _, id := range kept {
					if m, err := s.Load(id); err != nil {
						t.Errorf("cut after %d, %d %% kept: %v", n, keep, err)
					} else if body, err := m.Data(); err != nil || len(body) != 400 {
						t.Errorf("cut after %d, %d %% kept: %d bytes, %v", n, keep, len(body), err)
					}
				}
				_ = s.Close()
			}
		})
	}
}

// TestClosingASickSpool is the last part of fault F170: an orderly end while the disk fails neither hangs nor loses what
// was acknowledged, and an order that is told no has changed nothing.
func TestClosingASickSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		s := openOn(t, disk)
		ids := stock(t, s, newID(), 4)
		disk.Fail(kumotest.Fault{At: disk.Ops() + 1, Err: syscall.EIO, Forever: true})
		if err := s.Accept(context.Background(), "", newMessage(message.ID{7}, "x")); !errors.Is(err, spool.ErrUnhealthy) {
			t.Errorf("accept: %v", err)
		}
		if _, err := s.Apply(context.Background(), "hold", spool.ChangeHold, time.Time{}, ids); !errors.Is(err, spool.ErrUnhealthy) {
			t.Errorf("apply: %v", err)
		}
		if err := s.BeginOrder(context.Background(), spool.Order{ID: "o"}); !errors.Is(err, spool.ErrUnhealthy) {
			t.Errorf("begin: %v", err)
		}
		_ = s.End(ids[0], spool.EndDelivered)
		if _, err := s.TakeIf(ids[1], spool.DueBits(time.Unix(1_800_000_001, 77))); err != nil {
			t.Errorf("a message that no order has changed cannot be taken: %v", err)
		}
		began := time.Now()
		_ = s.Close()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("closing took %s", took)
		}
		disk.Fail(kumotest.Fault{})
		for _, after := range []*kumotest.CrashFS{disk.Kill(), cut(disk)} {
			again := reopen(t, after)
			wantStates(t, again, ids[1:], "s s s")
			if len(again.Standing()) != 0 {
				t.Errorf("standing: %v", again.Standing())
			}
			_ = again.Close()
		}
	})
}

// TestAChangeThatFailsChangesNothing lets the sync of an order's record fail: its messages are as they were, for those
// who wait for them, too.
func TestAChangeThatFailsChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowFS{CrashFS: kumotest.NewCrashFS()}
		s := openWith(t, disk, 1<<20)
		ids := stock(t, s, newID(), 2)
		disk.takes = time.Second
		disk.Fail(kumotest.Fault{At: disk.Ops() + 2, Err: syscall.EIO})
		took := make(chan error)
		go func() {
			time.Sleep(500 * time.Millisecond)
			_, err := s.TakeIf(ids[0], spool.DueBits(time.Unix(1_800_000_000, 77)))
			took <- err
		}()
		if _, err := s.Apply(context.Background(), "hold", spool.ChangeHold, time.Time{}, ids); !errors.Is(err, syscall.EIO) {
			t.Errorf("apply: %v", err)
		}
		if err := <-took; err != nil {
			t.Errorf("take: %v", err)
		}
		wantStates(t, s, ids, "t s")
		disk.takes = 0
		_ = s.Close()
	})
}

// TestEveryBitOfOrdersFlipped is row S2 for the records of orders: a flipped bit costs the record that it is in, which
// is reported; no message is delivered changed, and none is lost for a record that is not its own.
func TestEveryBitOfOrdersFlipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		s := openWith(t, disk, 1<<20)
		ids := stock(t, s, newID(), 4)
		ctx := context.Background()
		m, err := s.Load(ids[0])
		if err != nil {
			t.Fatal(err)
		}
		m.Tried(message.Try{At: time.Unix(5, 5), Response: "451 later"})
		err = errors.Join(s.Update(m), s.BeginOrder(ctx, spool.Order{ID: "o", Kind: spool.OrderHold, Payload: []byte("{}")}),
			s.AddNotes(ctx, []byte("note one"), []byte("note two")))
		if err != nil {
			t.Fatal(err)
		}
		apply(t, s, "o", spool.ChangeHold, ids[1], ids[2])
		apply(t, s, "b", spool.ChangeTrash, ids[2])
		_, _ = s.Notes()
		s.DropNotes()
		if err := errors.Join(s.AddNotes(ctx, []byte("note three")), s.Close()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(crashDir, "log", "0000000001.log")
		data := disk.Bytes(path)
		step := 1
		if testing.Short() {
			step = 17
		}
		for bit := 128 * 8; bit < len(data)*8; bit += step {
			what := fmt.Sprintf("bit %d of byte %d", bit%8, bit/8)
			bad := append([]byte(nil), data...)
			bad[bit/8] ^= 1 << (bit % 8)
			other := disk.Kill()
			other.Put(path, bad)
			s := reopen(t, other)
			if r := s.Recovery(); len(r.Damaged) != 1 && r.Torn == 0 {
				t.Errorf("%s: %+v", what, r)
			}
			lost := 0
			for i, id := range ids {
				m, err := s.Load(id)
				if errors.Is(err, spool.ErrGone) {
					lost++
					continue
				}
				if body, berr := m.Data(); err != nil || berr != nil || string(body) != fmt.Sprint("body ", i) {
					t.Errorf("%s: body %q, %v, %v", what, body, err, berr)
				}
			}
			if lost > 1 {
				t.Errorf("%s: %d messages are lost", what, lost)
			}
			_ = s.Close()
		}
	})
}
