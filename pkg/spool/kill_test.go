package spool_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

const killedEnv = "KUMO_TEST_KILLED_WRITER"

// TestKilledWriterChild is the process that TestKilledWriter kills: it accepts mail and prints each id that was
// acknowledged, and each that it is about to end.
func TestKilledWriterChild(t *testing.T) {
	dir := os.Getenv(killedEnv)
	if dir == "" {
		return
	}
	s, err := spool.Open(context.Background(), spool.Config{Dir: dir, Log: quiet, SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	next := newID()
	for k := range 8 {
		go func() {
			for i := 0; ; i++ {
				m := newMessage(next(), strings.Repeat("x", 300*k))
				if err := s.Accept(context.Background(), "", m); err != nil {
					return
				}
				if i%3 == 0 {
					fmt.Printf("ended %s\n", m.ID)
					_ = s.End(m.ID, spool.EndDelivered)
				} else {
					fmt.Printf("acknowledged %s\n", m.ID)
				}
			}
		}()
	}
	select {}
}

// TestKilledWriter is fault F01 in small: kill -9, and nothing acknowledged is lost; the lock is gone at once.
func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	alive := make(map[message.ID]bool)
	for round := range 5 {
		child := exec.Command(os.Args[0], "-test.run=^TestKilledWriterChild$")
		child.Env = append(os.Environ(), killedEnv+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			word, text, _ := strings.Cut(lines.Text(), " ")
			id, err := message.ParseID(text)
			if err != nil {
				continue // a line that the kill cut off
			}
			alive[id] = word == "acknowledged"
			if n == 100+round*137 {
				_ = child.Process.Kill()
			}
		}
		_ = child.Wait()
		s := open(t, dir)
		if r := s.Recovery(); len(r.Damaged)+len(r.Missing) != 0 {
			t.Errorf("round %d: %+v", round, r)
		}
		found := make(map[message.ID]bool)
		s.Live(func(e spool.Entry) bool {
			found[e.ID] = true
			if _, err := s.Body(e.ID); err != nil {
				t.Error(err)
			}
			return true
		})
		for id, want := range alive {
			if want && !found[id] {
				t.Errorf("round %d: %s was acknowledged and is lost", round, id)
			}
		}
		_ = s.Close()
	}
	if len(alive) < 1000 {
		t.Errorf("only %d messages", len(alive))
	}
}

// TestRootLeavesNothingThatTheOwnerCannotUse: a verb run by root in a spool of another user.
func TestRootLeavesNothingThatTheOwnerCannotUse(t *testing.T) {
	if os.Getuid() != 0 {
		return // nobody else can give files away
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 12345, -1); err != nil {
		t.Fatal(err)
	}
	s := openIndexed(t, dir)
	if err := s.Accept(context.Background(), "", newMessage(newID()(), "x")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an index", func() bool {
		_, err := os.Stat(filepath.Join(dir, "index.db-wal"))
		return err == nil
	})
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != 12345 {
			t.Errorf("%s belongs to root", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	_ = s.Close()
}
