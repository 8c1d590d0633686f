package spool_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"kumo/pkg/kumotest"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

const tracedEnv = "KUMO_TEST_TRACED_WRITER"

// TestTracedWriterChild is the process whose system calls strace breaks: it accepts 60 messages, a few at a time, goes on
// after errors, and says what it was answered about each.
func TestTracedWriterChild(t *testing.T) {
	dir := os.Getenv(tracedEnv)
	if dir == "" {
		return
	}
	s, err := spool.Open(context.Background(), spool.Config{Dir: dir, Log: quiet, SegmentSize: 8 << 10, NoIndex: true})
	if err != nil {
		fmt.Println("unopened")
		return
	}
	next := newID()
	var mu sync.Mutex
	var writers sync.WaitGroup
	for k := range 3 {
		writers.Go(func() {
			for i := 0; i < 20; i++ {
				mu.Lock()
				m := newMessage(next(), strings.Repeat("x", 20+300*k))
				mu.Unlock()
				word := "acknowledged"
				if err := s.Accept(context.Background(), "", m); err != nil {
					word = "refused"
				}
				fmt.Printf("%s %s\n", word, m.ID)
				for end := time.Now().Add(10 * time.Second); s.Healthy() != nil && time.Now().Before(end); {
					time.Sleep(50 * time.Millisecond) // a sick disk is tried again after 3 s
				}
			}
		})
	}
	writers.Wait()
	_ = s.Close()
	fmt.Println("closed")
}

// traced runs the child under strace, which breaks its system calls, and returns what it said of each message, and
// whether it came to its end.
func traced(t *testing.T, dir, inject string) (said map[message.ID]string, closed bool) {
	t.Helper()
	strace := kumotest.Need(t, "strace", "strace")
	calls, _, _ := strings.Cut(inject, ":")
	child := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace="+calls, "-e", "inject="+inject,
		os.Args[0], "-test.run=^TestTracedWriterChild$")
	child.Env = append(os.Environ(), tracedEnv+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said = make(map[message.ID]string)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, text, _ := strings.Cut(lines.Text(), " ")
		closed = closed || word == "closed"
		if id, err := message.ParseID(text); err == nil {
			said[id] = word
		}
	}
	_ = child.Wait()
	return said, closed
}

// agree opens the spool in dir: what was acknowledged is there, and readable; what was refused is not.
func agree(t *testing.T, what, dir string, said map[message.ID]string) {
	t.Helper()
	found := survey(t, what, dir, said)
	if found.lost > 0 || len(found.Damaged)+len(found.Missing) > 0 {
		t.Errorf("%s: %d acknowledged messages are lost: %+v", what, found.lost, found.Recovery)
	}
}

// surveyed is what a spool has of what a writer said.
type surveyed struct {
	spool.Recovery
	lost int // acknowledged, and not there
}

// survey opens the spool in dir. Whatever happened: nothing that was refused is there, and everything that is can be read.
func survey(t *testing.T, what, dir string, said map[message.ID]string) surveyed {
	t.Helper()
	s := open(t, dir)
	defer s.Close()
	alive := make(map[message.ID]bool)
	s.Live(func(e spool.Entry) bool {
		alive[e.ID] = true
		if _, err := s.Body(e.ID); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return true
	})
	found := surveyed{Recovery: s.Recovery()}
	for id, word := range said {
		switch {
		case word == "acknowledged" && !alive[id]:
			found.lost++
		case word == "refused" && alive[id]:
			t.Errorf("%s: %s was refused and is there", what, id)
		}
	}
	return found
}

// TestKilledAtASync is fault F02: SIGKILL exactly at the nth sync. KUMO_LONG=1 takes the first 200.
func TestKilledAtASync(t *testing.T) {
	last, step := 40, 5
	if os.Getenv("KUMO_LONG") != "" {
		last, step = 200, 1
	}
	total, killed := 0, 0
	for n := 1; n <= last; n += step {
		dir := t.TempDir()
		said, closed := traced(t, dir, fmt.Sprintf("fdatasync,fsync:signal=KILL:when=%d", n))
		agree(t, fmt.Sprintf("killed at sync %d", n), dir, said)
		if total += len(said); !closed {
			killed++
		}
	}
	if total < 20 || killed < 4 {
		t.Errorf("%d processes were killed, %d messages answered: too few to show anything", killed, total)
	}
}

// TestALyingWrite is fault F32: the kernel claims to have written 100 bytes and has not. Nobody can know before the bytes are
// read again; then the checksums tell, and nothing that is wrong is ever handed out.
func TestALyingWrite(t *testing.T) {
	dir := t.TempDir()
	said, closed := traced(t, dir, "pwritev:retval=100:when=3")
	found := survey(t, "a lying write", dir, said)
	if !closed || found.lost == 0 || found.lost > 20 || len(found.Damaged) == 0 {
		t.Errorf("%d messages are lost to the lie, and this is reported: %+v", found.lost, found.Damaged)
	}
}

// TestFailingSystemCalls are faults F21, F27, F28 and F29, with the kernel's own words: one call fails or lies. What
// came of it is told as it is, and mail is taken again afterwards.
func TestFailingSystemCalls(t *testing.T) {
	faults := map[string]string{
		"no room":            "pwritev:error=ENOSPC:when=4",
		"no quota":           "pwritev:error=EDQUOT:when=5",
		"a write fails":      "pwritev:error=EIO:when=3",
		"a sync fails":       "fdatasync:error=EIO:when=6",
		"a directory's sync": "fsync:error=EIO:when=12",
	}
	for name, inject := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			said, closed := traced(t, dir, inject)
			if !closed && len(said) > 0 {
				t.Errorf("the writer did not come to its end: %v", said)
			}
			n := 0
			for _, word := range said {
				if word == "acknowledged" {
					n++
				}
			}
			if len(said) > 0 && n < 40 {
				t.Errorf("%d of %d messages were acknowledged: one fault must not cost more than a few", n, len(said))
			}
			agree(t, inject, dir, said)
		})
	}
}
