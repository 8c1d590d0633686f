package spool_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/kumotest"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

func openOn(t testing.TB, disk spool.FS) *spool.Spool {
	t.Helper()
	return openWith(t, disk, 6<<10)
}

func openWith(t testing.TB, disk spool.FS, segment int64) *spool.Spool {
	t.Helper()
	s, err := spool.Open(context.Background(), spool.Config{Dir: crashDir, FS: disk, NoIndex: true, Log: quiet, SegmentSize: segment, Reserve: 24 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAFullDiskHeals is row S4 of the promises: a full disk refuses new mail, ends and updates still work, and mail
// is taken again soon after there is room. With segments that are larger than the disk, nothing but the active segment
// fills it.
func TestAFullDiskHeals(t *testing.T) {
	for name, segment := range map[string]int64{"small segments": 6 << 10, "segments larger than the disk": 64 << 20} {
		t.Run(name, func(t *testing.T) { fillAndHeal(t, segment) })
	}
}

func fillAndHeal(t *testing.T, segment int64) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		disk.SetCapacity(120 << 10)
		s := openWith(t, disk, segment)
		next := newID()
		live := make(map[message.ID]bool)
		for round := range 100 {
			for {
				m := newMessage(next(), strings.Repeat("x", 100+round*37%3000))
				err := s.Accept(context.Background(), "", m)
				if err != nil {
					if !errors.Is(err, spool.ErrFull) {
						t.Fatalf("round %d: %v", round, err)
					}
					break
				}
				live[m.ID] = true
			}
			if err := s.Healthy(); err != nil {
				t.Fatalf("round %d: a full disk is no sick disk: %v", round, err)
			}
			n := 0
			for id := range live {
				if n++; n%4 == 0 {
					continue
				}
				if err := s.End(id, spool.EndAdminBounced); err != nil {
					t.Fatalf("round %d: end: %v", round, err)
				}
				delete(live, id)
			}
			if err := s.Flush(); err != nil {
				t.Fatalf("round %d: ends are not durable: %v, %d live\n%s", round, err, len(live), disk)
			}
			for id := range live {
				if _, err := s.Load(id); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
			for id := range live { // nothing lives on, so that old segments can go
				if err := s.End(id, spool.EndAdminBounced); err != nil {
					t.Fatal(err)
				}
				delete(live, id)
			}
			time.Sleep(5 * time.Second)
			room, err := s.Space()
			if err != nil || !room.OK {
				t.Fatalf("round %d: no room after 5 s: %+v, %v\n%s", round, room, err, disk)
			}
			m := newMessage(next(), "x")
			if err := s.Accept(context.Background(), "", m); err != nil {
				t.Fatalf("round %d: mail is not taken after 5 s: %v", round, err)
			}
			live[m.ID] = true
		}
		_ = s.Close()
	})
}

func TestADiskErrorIsNeverPaperedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		s := openOn(t, disk)
		next := newID()
		kept := newMessage(next(), "kept")
		if err := s.Accept(context.Background(), "", kept); err != nil {
			t.Fatal(err)
		}
		disk.Fail(kumotest.Fault{At: disk.Ops() + 2, Err: syscall.EIO}) // the sync behind the next write
		bad := newMessage(next(), "bad")
		if err := s.Accept(context.Background(), "", bad); !errors.Is(err, spool.ErrUnhealthy) || !errors.Is(err, syscall.EIO) {
			t.Errorf("accept: %v", err)
		}
		if err := s.Healthy(); !errors.Is(err, spool.ErrUnhealthy) {
			t.Errorf("healthy: %v", err)
		}
		if err := s.Accept(context.Background(), "", newMessage(next(), "too soon")); !errors.Is(err, spool.ErrUnhealthy) {
			t.Errorf("accept while unhealthy: %v", err)
		}
		if _, err := s.Load(kept.ID); err != nil {
			t.Errorf("load while unhealthy: %v", err)
		}
		time.Sleep(10 * time.Second)
		if err := s.Healthy(); err != nil {
			t.Errorf("10 s later: %v", err)
		}
		if err := s.Accept(context.Background(), "", newMessage(next(), "later")); err != nil {
			t.Errorf("accept 10 s later: %v", err)
		}
		first, syncs := filepath.Join(crashDir, "log", "0000000001.log"), 0
		for _, op := range disk.Trace() {
			if op == "sync "+first {
				syncs++
			}
		}
		if syncs != 3 { // its header, the kept message, the failure
			t.Errorf("the failed segment was synced %d times", syncs)
		}
		_ = s.Close()
	})
}

// slowFS lets syncs of segments take time.
type slowFS struct {
	*kumotest.CrashFS
	takes time.Duration
}

type slowFile struct {
	spool.File
	takes *time.Duration
}

func (f *slowFS) Create(name string) (spool.File, error) {
	file, err := f.CrashFS.Create(name)
	if err != nil {
		return nil, err
	}
	return slowFile{file, &f.takes}, nil
}

func (f slowFile) Sync() error {
	time.Sleep(*f.takes)
	return f.File.Sync()
}

func TestASlowDiskDelaysAndAHangingOneIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowFS{CrashFS: kumotest.NewCrashFS()}
		s := openWith(t, disk, 1<<20) // a second segment would take time, too
		next := newID()
		if err := s.Accept(context.Background(), "", newMessage(next(), "first")); err != nil {
			t.Fatal(err)
		}
		disk.takes = 5 * time.Second
		before := s.Stats().Syncs
		start := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := s.Accept(context.Background(), "", newMessage(next(), "x")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took > 10*time.Second+time.Millisecond || s.Stats().Syncs-before > 2 {
			t.Errorf("50 messages took %s and %d syncs", took, s.Stats().Syncs-before)
		}
		disk.takes = time.Minute
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel() // comes too late: the log has the message
			if err := s.Accept(ctx, "", newMessage(next(), "x")); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(15 * time.Second)
		if err := s.Healthy(); !errors.Is(err, spool.ErrUnhealthy) {
			t.Errorf("hanging disk: %v", err)
		}
		wg.Wait()
		if err := s.Healthy(); err != nil {
			t.Errorf("disk that answers again: %v", err)
		}
		disk.takes = 0
		_ = s.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Accept(ctx, "", newMessage(next(), "x")); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before it began: %v", err)
		}
		if err := s.Accept(context.Background(), "", newMessage(next(), "x")); !errors.Is(err, spool.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

// TestAnEndIsSoonOnDisk: a lone tombstone is written after 10 ms and synced 200 ms later, and many of them share
// that.
func TestAnEndIsSoonOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		s := openOn(t, disk)
		next := newID()
		var ms []*message.Message
		for range 30 {
			ms = append(ms, newMessage(next(), "x"))
		}
		if err := s.Accept(context.Background(), "", ms...); err != nil {
			t.Fatal(err)
		}
		ops, syncs := disk.Ops(), s.Stats().Syncs
		for _, m := range ms {
			if err := s.End(m.ID, spool.EndDelivered); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if disk.Ops() != ops {
			t.Error("written at once: a write for each end")
		}
		time.Sleep(11 * time.Millisecond)
		synctest.Wait()
		if disk.Ops() != ops+1 || s.Stats().Syncs != syncs {
			t.Errorf("after 11 ms: %d operations, %d syncs", disk.Ops()-ops, s.Stats().Syncs-syncs)
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if disk.Ops() != ops+2 || s.Stats().Syncs != syncs+1 {
			t.Errorf("after 211 ms: %d operations, %d syncs", disk.Ops()-ops, s.Stats().Syncs-syncs)
		}
		_ = s.Close()
	})
}

func TestDeadSegmentsGoOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		s := openOn(t, disk)
		next := newID()
		var ids []message.ID
		for range 40 {
			m := newMessage(next(), strings.Repeat("x", 1000))
			if err := s.Accept(context.Background(), "", m); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, m.ID)
		}
		for _, id := range ids[len(ids)/2:] {
			_ = s.End(id, spool.EndDelivered)
		}
		full := s.Stats().Segments
		time.Sleep(4 * time.Second)
		if n := s.Stats().Segments; n < full {
			t.Errorf("%d of %d segments are left while the first is needed", n, full)
		}
		for _, id := range ids[:len(ids)/2] {
			_ = s.End(id, spool.EndDelivered)
		}
		time.Sleep(4 * time.Second)
		gone := ""
		for _, op := range disk.Trace() {
			if name, ok := strings.CutPrefix(op, "remove "); ok && strings.Contains(name, "/log/") {
				if name <= gone {
					t.Errorf("%s was deleted after %s", name, gone)
				}
				gone = name
			}
		}
		if n := s.Stats().Segments; n != 1 {
			t.Errorf("%d segments are left, nothing is alive", n)
		}
		_ = s.Close()
		s = openOn(t, disk)
		if s.Len() != 0 {
			t.Errorf("%d messages", s.Len())
		}
		_ = s.Close()
	})
}

func TestASegmentWithDamageIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		im := makeImage(t, 100, 100)
		data := append([]byte(nil), im.data...)
		data[im.ends[0]-3] ^= 1
		im.disk.Put(im.seg, data)
		s := openOn(t, im.disk)
		if err := s.End(message.ID{9, 1}, spool.EndDelivered); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		kept := im.disk.Bytes(filepath.Join(crashDir, "damaged", "0000000001.log"))
		if string(kept) != string(data) || im.disk.Bytes(im.seg) != nil {
			t.Errorf("the damaged segment is gone:\n%s", im.disk)
		}
		_ = s.Close()
	})
}
