package cli

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// paceDelay is how long a row may stay in a buffer while nothing follows: the eye does not notice, and a program that
// follows a stream does not wait.
const paceDelay = 100 * time.Millisecond

// pace is a buffered writer for sequences. While rows come fast they are written in big pieces; when a row has waited
// for paceDelay, show runs and everything is written.
type pace struct {
	mu    sync.Mutex
	w     *bufio.Writer
	show  func() // writes what is held back elsewhere; called with mu held
	timer *time.Timer
	armed bool
	err   error
}

func newPace(w io.Writer) *pace {
	p := &pace{w: bufio.NewWriterSize(w, 32<<10), show: func() {}}
	p.timer = time.AfterFunc(time.Hour, p.rest)
	p.timer.Stop()
	return p
}

// row runs add, which writes to p.w or holds back for show.
func (p *pace) row(add func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := add(); err != nil {
		return err
	}
	if !p.armed {
		p.armed = true
		p.timer.Reset(paceDelay)
	}
	return p.err
}

// rest writes everything because nothing came for a while.
func (p *pace) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	p.show()
	p.flush()
}

func (p *pace) flush() {
	if err := p.w.Flush(); err != nil && p.err == nil {
		p.err = Failf("write to stdout: %w", err)
	}
}

// end writes what is left and returns the first error of writing.
func (p *pace) end() error {
	p.timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.show()
	p.flush()
	return p.err
}
