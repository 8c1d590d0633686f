package spool_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
	text := "kumo spool, format 3\nkey 1badcafe0123456789abcdef\n"
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
