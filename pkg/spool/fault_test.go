package spool_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/kumotest"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/spool"
	"kumo/pkg/spool/internal/segment"
)

func openOn(t testing.TB, disk spool.FS) *spool.Spool {
	t.Helper()
	s, err := spool.Open(context.Background(), spool.Config{Dir: crashDir, FS: disk, NoIndex: true, Log: quiet, SegmentSize: 6 << 10, Reserve: 24 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAFullDiskHeals is row S4 of the promises: a full disk refuses new mail, ends and updates still work, and mail
// is taken again soon after there is room.
func TestAFullDiskHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		disk.SetCapacity(120 << 10)
		s := openOn(t, disk)
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
				t.Fatalf("round %d: ends are not durable: %v", round, err)
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
		s := openOn(t, disk)
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

func TestSpaceLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		space  spool.Space
		bytes  option.Amount
		inodes option.Amount
		ok     bool
		why    string
	}{
		{name: "no limits", space: spool.Space{TotalBytes: 100, FreeBytes: 1}, ok: true},
		{name: "10 % of bytes, just there", space: spool.Space{TotalBytes: 1000, FreeBytes: 100}, bytes: option.Amount{Percent: true, Value: 10}, ok: true},
		{name: "10 % of bytes, one short", space: spool.Space{TotalBytes: 1000, FreeBytes: 99}, bytes: option.Amount{Percent: true, Value: 10}, why: "min_free_space (10%)"},
		{name: "bytes", space: spool.Space{TotalBytes: 1000, FreeBytes: 99}, bytes: option.Amount{Value: 500}, why: "99 bytes free"},
		{name: "inodes", space: spool.Space{TotalInodes: 100, FreeInodes: 9}, inodes: option.Amount{Percent: true, Value: 10}, why: "min_free_inodes"},
		{name: "file system without inodes", inodes: option.Amount{Percent: true, Value: 10}, ok: true},
		{name: "read-only", space: spool.Space{ReadOnly: true}, why: "read-only"},
	} {
		disk := kumotest.NewCrashFS()
		s, err := spool.Open(context.Background(), spool.Config{
			Dir: crashDir, FS: disk, NoIndex: true, Log: quiet, MinFreeSpace: c.bytes, MinFreeInodes: c.inodes,
		})
		if err != nil {
			t.Fatal(err)
		}
		disk.SetSpace(c.space)
		room, err := s.Space()
		if err != nil || room.OK != c.ok || !strings.Contains(room.Why, c.why) || (c.why == "") != (room.Why == "") {
			t.Errorf("%s: %+v, %v", c.name, room, err)
		}
		_ = s.Close()
	}
}

func TestPlacesThatMailMustNotBeKeptIn(t *testing.T) {
	disk := kumotest.NewCrashFS()
	disk.SetSpace(spool.Space{Type: "nfs"})
	if _, err := spool.Open(context.Background(), crashConfig(disk)); err == nil || !strings.Contains(err.Error(), "nfs") {
		t.Errorf("nfs: %v", err)
	}
	disk.SetSpace(spool.Space{Type: "tmpfs"})
	var told strings.Builder
	cfg := crashConfig(disk)
	cfg.Log = textLog(&told)
	s, err := spool.Open(context.Background(), cfg)
	if err != nil || !strings.Contains(told.String(), "tmpfs") {
		t.Fatalf("tmpfs: %v, %s", err, told.String())
	}
	_ = s.Close()
}

// deniedFS is a directory that belongs to somebody else.
type deniedFS struct{ *kumotest.CrashFS }

func (deniedFS) Create(name string) (spool.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EACCES}
}

func TestWrongOwner(t *testing.T) {
	cfg := crashConfig(kumotest.NewCrashFS())
	cfg.FS = deniedFS{kumotest.NewCrashFS()}
	_, err := spool.Open(context.Background(), cfg)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), crashDir) || !strings.Contains(err.Error(), "uid") {
		t.Errorf("%v", err)
	}
}

func TestLaterFormatsAreRefusedUnharmed(t *testing.T) {
	text := "kumo spool, format 2\nkey 1badcafe0123456789abcdef\n"
	disk := kumotest.NewCrashFS()
	s := openOn(t, disk)
	_ = s.Close()
	path := filepath.Join(crashDir, "FORMAT")
	full := text + checkLine(text)
	disk.Put(path, []byte(full))
	before := disk.Ops()
	_, err := spool.Open(context.Background(), crashConfig(disk))
	if err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("later FORMAT: %v", err)
	}
	if string(disk.Bytes(path)) != full {
		t.Error("the later FORMAT was changed")
	}
	for _, op := range disk.Trace()[before:] {
		if strings.Contains(op, "/log/") {
			t.Errorf("refused, but: %s", op)
		}
	}
}

func checkLine(text string) string {
	const digits = "0123456789abcdef"
	sum := segment.Checksum([]byte(text))
	out := []byte("check ")
	for shift := 28; shift >= 0; shift -= 4 {
		out = append(out, digits[sum>>shift&15])
	}
	return string(append(out, '\n'))
}

func TestStraysAreNeitherReadNorFollowed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	m := newMessage(newID()(), "x")
	if err := s.Accept(context.Background(), "", m); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	logs := filepath.Join(dir, "log")
	outside := filepath.Join(t.TempDir(), "outside")
	data, err := os.ReadFile(filepath.Join(logs, "0000000001.log"))
	if err != nil {
		t.Fatal(err)
	}
	steps := []error{
		os.WriteFile(outside, data, 0o600), os.Symlink(outside, filepath.Join(logs, "0000000002.log")),
		syscall.Mkfifo(filepath.Join(logs, "0000000003.log"), 0o600), os.Mkdir(filepath.Join(logs, "0000000004.log"), 0o700),
		os.WriteFile(filepath.Join(logs, "notes.txt"), nil, 0o600), os.WriteFile(filepath.Join(logs, "5.log"), data, 0o600),
		os.Symlink(outside, filepath.Join(dir, "FORMAT.new")),
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if got := s.Recovery().Strays; strings.Join(got, " ") != "0000000002.log 0000000003.log 0000000004.log 5.log notes.txt" {
		t.Errorf("strays: %q", got)
	}
	check(t, s, []*message.Message{m})
	_ = s.Close()
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if s, err := spool.Open(context.Background(), spool.Config{Dir: dir, Log: quiet, NoIndex: true}); err == nil {
		_ = s.Close()
		t.Error("a lock file that is a symbolic link was followed")
	}
	if now, _ := os.ReadFile(outside); string(now) != string(data) {
		t.Error("a file outside of the spool was changed")
	}
}

func TestTheDirectoryIsReplacedWhileInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		s := openOn(t, disk)
		logs := filepath.Join(crashDir, "log")
		if err := disk.Rename(logs, logs+".old"); err != nil {
			t.Fatal(err)
		}
		if err := disk.Mkdir(logs); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := s.Healthy(); err == nil || !strings.Contains(err.Error(), "replaced") {
			t.Errorf("healthy: %v", err)
		}
		_ = s.Close()
	})
}

// TestClocksDoNotMatter is row S9: what is in the log is alive whatever the clock says.
func TestClocksDoNotMatter(t *testing.T) {
	disk := kumotest.NewCrashFS()
	next := newID()
	for i, now := range []time.Time{time.Unix(2e9, 0), time.Unix(1e9, 0), time.Unix(7e9, 0), time.Unix(-1e9, 0), time.Unix(0, 0)} {
		cfg := crashConfig(disk)
		cfg.Now = func() time.Time { return now }
		s, err := spool.Open(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if s.Len() != i {
			t.Errorf("at %s: %d messages, want %d", now, s.Len(), i)
		}
		m := newMessage(next(), "x")
		m.Created, m.Due = now, now.Add(time.Hour)
		if err := s.Accept(context.Background(), "", m); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
	}
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
		full := s.Stats().Segments
		for _, id := range ids[1:] {
			_ = s.End(id, spool.EndDelivered)
		}
		time.Sleep(3 * time.Second)
		if n := s.Stats().Segments; n < full {
			t.Errorf("%d of %d segments are left while the first is needed", n, full)
		}
		_ = s.End(ids[0], spool.EndDelivered)
		time.Sleep(3 * time.Second)
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
