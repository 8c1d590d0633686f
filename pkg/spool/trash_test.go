package spool_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/kumotest"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/spool"
)

// dump is a spool with messages in the trash of two orders, the second bounced 20 minutes after the first, and one on
// hold that was bounced too.
func dump(t *testing.T, disk *kumotest.CrashFS, keep time.Duration) (*spool.Spool, []message.ID) {
	t.Helper()
	cfg := crashConfig(disk)
	cfg.TrashKeep, cfg.MinFreeSpace = keep, option.Amount{Value: 1 << 20}
	s, err := spool.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ids := stock(t, s, newID(), 5)
	apply(t, s, "hold", spool.ChangeHold, ids[1])
	for i, order := range []string{"first", "second"} {
		payload := []byte(`{"match":{"all":true}}`)
		if err := s.BeginOrder(context.Background(), spool.Order{ID: order, Kind: spool.OrderBounce, Created: time.Now(), Payload: payload}); err != nil {
			t.Fatal(err)
		}
		apply(t, s, order, spool.ChangeTrash, ids[2*i:2*i+2]...)
		time.Sleep(20 * time.Minute)
	}
	return s, ids
}

func wantStates(t *testing.T, s *spool.Spool, ids []message.ID, want string) {
	t.Helper()
	if got := states(s, ids); got != want {
		t.Errorf("%s: states are %q, want %q", time.Now().Format(time.TimeOnly), got, want)
	}
}

func TestTheTrashIsEmptiedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		s, ids := dump(t, disk, time.Hour)
		full := "x:first x:first x:second x:second s"
		wantStates(t, s, ids, full)
		_ = s.Close()
		s = reopen(t, disk)
		time.Sleep(19 * time.Minute)
		wantStates(t, s, ids, full)
		if st := s.Stats(); st.Trashed != 4 || st.Held != 0 || st.Live != 5 {
			t.Errorf("%+v", st)
		}
		time.Sleep(3 * time.Minute)
		wantStates(t, s, ids, "- - x:second x:second s")
		if o := s.Standing(); len(o) != 1 || o[0].ID != "second" {
			t.Errorf("standing: %v", o)
		}
		apply(t, s, "undo", spool.ChangeRestore, ids[2])
		time.Sleep(20 * time.Minute)
		wantStates(t, s, ids, "- - s - s")
		if st := s.Stats(); st.Endings.AdminBounced != 3 || len(s.Standing()) != 0 {
			t.Errorf("%+v, standing %v", st.Endings, s.Standing())
		}
		_ = s.Close()
	})
}

func TestTheTrashIsEmptiedEarlyWhenRoomIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		s, ids := dump(t, disk, 10*time.Hour)
		disk.SetSpace(spool.Space{TotalBytes: 1 << 30, FreeBytes: 1 << 10})
		time.Sleep(2 * time.Second)
		wantStates(t, s, ids, "- - x:second x:second s")
		if a := apply(t, s, "third", spool.ChangeTrash, ids[2], ids[4]); !a.Ended || !slices.Equal(a.Done, ids[4:5]) {
			t.Errorf("a bounce without room: %+v", a)
		}
		wantStates(t, s, ids, "- - x:second x:second -")
		disk.SetSpace(spool.Space{TotalBytes: 1 << 30, FreeBytes: 1 << 30})
		time.Sleep(10 * time.Second)
		wantStates(t, s, ids, "- - x:second x:second -")
		_ = s.Close()
	})
}

func TestWithoutATrashBouncesEndMail(t *testing.T) {
	cfg := crashConfig(kumotest.NewCrashFS())
	cfg.TrashKeep = -1
	s, err := spool.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ids := stock(t, s, newID(), 2)
	if a := apply(t, s, "bounce", spool.ChangeTrash, ids[0]); !a.Ended {
		t.Errorf("%+v", a)
	}
	wantStates(t, s, ids, "- s")
	_ = s.Close()
}

func TestASpoolRemembersWhereItsLogsAre(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	if dirs, err := spool.LogDirs(dir); err != nil || dirs != nil {
		t.Errorf("no spool: %q, %v", dirs, err)
	}
	for _, want := range [][]string{nil, {"/var/log/a", "/var/log/b c"}, {"/var/log/d"}} {
		s, err := spool.Open(t.Context(), spool.Config{Dir: dir, Log: quiet, LogDirs: want, NoIndex: true})
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		if dirs, err := spool.LogDirs(dir); err != nil || !slices.Equal(dirs, want) {
			t.Errorf("%q, %v, want %q", dirs, err, want)
		}
	}
	_ = open(t, dir).Close()
	if dirs, _ := spool.LogDirs(dir); strings.Join(dirs, "") != "/var/log/d" {
		t.Errorf("an owner without logs: %q", dirs)
	}
}

// TestNobodyElseReadsASpool: every file of a spool is its owner's alone.
func TestNobodyElseReadsASpool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s, err := spool.Open(t.Context(), spool.Config{Dir: dir, Log: quiet, LogDirs: []string{"/var/log"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Accept(t.Context(), "", newMessage(newID()(), "x")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an index", func() bool {
		_, err := os.Stat(filepath.Join(dir, "index.db-wal"))
		return err == nil
	})
	err = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	_ = s.Close()
}
