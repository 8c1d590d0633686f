package cli

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	asideLines = 1024        // writes that wait to be passed on
	farewell   = time.Second // how long the last ones may take
)

// Aside passes what is written to it on to a writer that may stand still: a pipe that nobody reads, a terminal that
// is stopped. Write never waits and never fails. Each write is passed on at once, as it came; what comes while 1,024
// of them wait is dropped, and a line says later how many were. A daemon must not stand still with its stderr.
type Aside struct {
	w     io.Writer
	ended chan struct{}

	mu     sync.Mutex
	lines  chan []byte
	lost   int
	closed bool
}

// NewAside starts passing on to w. Close ends it.
func NewAside(w io.Writer) *Aside {
	a := &Aside{w: w, lines: make(chan []byte, asideLines), ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		for b := range a.lines {
			_, _ = w.Write(b)
		}
	}()
	return a
}

// Write takes p, which is one or more whole lines. After Close it waits until p is written, but no more than a second.
func (a *Aside) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		a.last(p)
		return len(p), nil
	}
	if a.lost > 0 && !a.offer(fmt.Appendf(nil, "(%d messages were dropped here: stderr was not read)\n", a.lost)) {
		a.lost++
		return len(p), nil
	}
	a.lost = 0
	if !a.offer(bytes.Clone(p)) {
		a.lost++
	}
	return len(p), nil
}

func (a *Aside) offer(b []byte) bool {
	select {
	case a.lines <- b:
		return true
	default:
		return false
	}
}

// last writes p when what came before is written. If that stands still, p is dropped.
func (a *Aside) last(p []byte) {
	select {
	case <-a.ended:
	default:
		return
	}
	done := make(chan struct{})
	b := bytes.Clone(p)
	go func() {
		defer close(done)
		_, _ = a.w.Write(b)
	}()
	wait(done)
}

// Close waits until everything is written, but no more than a second.
func (a *Aside) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.closed = true
		close(a.lines)
		wait(a.ended)
	}
	return nil
}

func wait(done <-chan struct{}) {
	t := time.NewTimer(farewell)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}
