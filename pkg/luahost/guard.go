package luahost

import (
	"context"
	"errors"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// ErrTimeout is in every error of a call that ran too long.
var ErrTimeout = errors.New("the handler ran too long")

// checkEvery is how many VM instructions pass between two looks at the clock: some microseconds.
const checkEvery = 512

// guard is the context of a State and its coroutines. gopher-lua asks Done before each instruction; a nil channel
// lets it go on. So the question itself is the step counter, and no timer is needed.
type guard struct {
	state    *State
	ctx      context.Context // of the running call
	deadline time.Time
	steps    uint64 // instructions of the running call
	next     uint64 // when to look at the clock again
	err      error
}

var _ context.Context = (*guard)(nil)

// arm begins a call.
func (g *guard) arm(ctx context.Context, now time.Time, limit time.Duration) {
	g.ctx, g.err, g.steps, g.next = ctx, nil, 0, checkEvery
	g.deadline = now.Add(limit)
	if d, ok := ctx.Deadline(); ok && d.Before(g.deadline) {
		g.deadline = d
	}
}

// disarm ends it, so that the call's context is not kept.
func (g *guard) disarm() { g.ctx = context.Background() }

// Done counts an instruction. Only gopher-lua's loop may call it.
func (g *guard) Done() <-chan struct{} {
	g.steps++
	if g.steps < g.next {
		return nil
	}
	return g.look()
}

// look decides whether the call may go on. Once it may not, each further instruction fails, so that a pcall cannot
// go on either.
func (g *guard) look() <-chan struct{} {
	if g.err == nil {
		g.err = g.expired()
	}
	if g.err == nil {
		g.next = g.steps + checkEvery
		return nil
	}
	return closed
}

// spend charges a library function for work that the instruction counter does not see, so that a loop around it is
// stopped in time: one instruction for 16 bytes. It raises the error when the call's time is over.
func (g *guard) spend(l *lua.LState, bytes int) {
	g.steps += uint64(bytes)/16 + 1
	if g.steps >= g.next && g.look() != nil {
		l.RaiseError("%s", g.err.Error())
	}
}

// expired says why the call must end now, nil if it may go on. Blocking functions ask it too.
func (g *guard) expired() error {
	if err := context.Cause(g.ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if !g.state.host.opt.Now().Before(g.deadline) {
		return fmt.Errorf("%w and was stopped", ErrTimeout)
	}
	return nil
}

// Err, Deadline and Value make guard a context.
func (g *guard) Err() error                  { return g.err }
func (g *guard) Deadline() (time.Time, bool) { return g.deadline, true }
func (g *guard) Value(key any) any           { return g.ctx.Value(key) }

// closed is ready at once.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
