package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/smtp"
	"kumo/pkg/spool"
)

// gate says whether mail can be taken. What it says is worked out once a second, and read for every connection.
type gate struct {
	closed atomic.Pointer[smtp.Error]
	log    *slog.Logger

	mu       sync.Mutex
	stopping bool
	spool    *spool.Spool // nil until it has started
	journal  *journal.Journal
	memory   *memory
}

// The answers of a closed gate (faults.md); a listener puts its host name before the text.
var (
	gateStarting = busy("waiting for spool startup. Try again soon!")
	gateStopping = busy("shutting down")
	gateDisk     = busy("disk is too full. Try later")
	gateSpool    = busy("spool is not healthy. Try later")
	gateLogs     = busy("logs cannot be written. Try later")
	gateMemory   = busy("load shedding. Try later")
)

func busy(text string) *smtp.Error {
	return &smtp.Error{Reply: smtp.NewReply(421, "4.3.2", text), Disconnect: true}
}

func newGate(log *slog.Logger, j *journal.Journal, m *memory) *gate {
	g := &gate{log: log, journal: j, memory: m}
	g.closed.Store(gateStarting)
	return g
}

// Ask is listener.Gate.
func (g *gate) Ask() *smtp.Error { return g.closed.Load() }

// started lets mail in once the spool has been recovered.
func (g *gate) started(s *spool.Spool) {
	g.mu.Lock()
	g.spool = s
	g.mu.Unlock()
	g.look()
}

// stop closes the gate for good.
func (g *gate) stop() {
	g.mu.Lock()
	g.stopping = true
	g.mu.Unlock()
	g.look()
}

// Run looks once a second.
func (g *gate) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var gc garbage
	gc.tune()
	debug.FreeOSMemory() // recovery leaves a lot behind
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.look()
			gc.tune()
		}
	}
}

// look works out the answer, and tells operators when it changes.
func (g *gate) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	answer, why := g.answer(g.memory.look(time.Now()))
	was := g.closed.Swap(answer)
	switch {
	case was == answer:
	case answer == nil:
		g.log.Info("mail is taken")
	case answer != gateStopping:
		g.log.Error("mail is refused", "answer", answer.Reply.String(), "error", why)
	}
}

func (g *gate) answer(roomy bool) (*smtp.Error, error) {
	switch {
	case g.stopping:
		return gateStopping, nil
	case g.spool == nil:
		return gateStarting, nil
	}
	if err := g.spool.Healthy(); err != nil {
		return gateSpool, err
	}
	if room, err := g.spool.Space(); err != nil {
		return gateSpool, err
	} else if !room.OK {
		return gateDisk, errors.New(room.Why)
	}
	if err := g.journal.Healthy(); errors.Is(err, journal.ErrDiskFull) {
		return gateDisk, err
	} else if err != nil {
		return gateLogs, err
	}
	if !roomy {
		return gateMemory, fmt.Errorf("the process uses %d bytes of memory, more than its soft limit of %d", g.memory.used.Load(), g.memory.soft())
	}
	return nil, nil
}
