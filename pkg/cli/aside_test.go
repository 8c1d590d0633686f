package cli

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stuckWriter stands still until open is closed.
type stuckWriter struct {
	open chan struct{}
	mu   sync.Mutex
	got  strings.Builder
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	<-w.open
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got.Write(p)
}

func (w *stuckWriter) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Split(strings.TrimSuffix(w.got.String(), "\n"), "\n")
}

func TestAsidePassesOnInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stuckWriter{open: make(chan struct{})}
		close(w.open)
		a := NewAside(w)
		fmt.Fprintln(a, "one")
		fmt.Fprintln(a, "two")
		synctest.Wait() // unbuffered: nobody has to close it
		if got := strings.Join(w.lines(), ","); got != "one,two" {
			t.Errorf("got %q", got)
		}
		_ = a.Close()
		fmt.Fprintln(a, "the last word")
		if got := strings.Join(w.lines(), ","); got != "one,two,the last word" {
			t.Errorf("got %q", got)
		}
	})
}

func TestAsideNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stuckWriter{open: make(chan struct{})}
		a := NewAside(w)
		begin := time.Now()
		for i := range 5000 {
			fmt.Fprintln(a, "line", i)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("writing took %s", d)
		}
		close(w.open)
		synctest.Wait()
		fmt.Fprintln(a, "after")
		_ = a.Close()
		got := w.lines()
		kept, lost := 0, 0
		for _, l := range got {
			var n int
			if _, err := fmt.Sscanf(l, "(%d messages were dropped here", &n); err == nil {
				lost += n
			} else {
				kept++
			}
		}
		if kept < asideLines || kept > asideLines+2 || kept+lost != 5001 {
			t.Errorf("%d lines were kept and %d were said to be dropped, want about %d and 5001 together", kept, lost, asideLines)
		}
		if got[len(got)-1] != "after" {
			t.Errorf("last line is %q", got[len(got)-1])
		}
	})
}

func TestAsideEndsBeforeAStuckWriterDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stuckWriter{open: make(chan struct{})}
		a := NewAside(w)
		fmt.Fprintln(a, "stuck")
		begin := time.Now()
		_ = a.Close()
		fmt.Fprintln(a, "the last word")
		if d := time.Since(begin); d != farewell {
			t.Errorf("the end took %s, want %s", d, farewell)
		}
		close(w.open)
		synctest.Wait()
	})
}
