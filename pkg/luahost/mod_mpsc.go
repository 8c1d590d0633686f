package luahost

import (
	"errors"
	"fmt"
	"sync"
	"time"

	lua "github.com/yuin/gopher-lua"
)

const mpscSince = "2025.10.06-5ec871ab"

// mailbox is a queue of frozen values that many send to and one receives from. It belongs to the Host.
type mailbox struct {
	name  string
	limit int // 0: as long as there is memory

	mu      sync.Mutex
	items   []any
	closed  bool
	changed chan struct{} // closed, and made anew, whenever something changes
	reading bool
}

var (
	errBoxClosed = errors.New("the queue is closed")
	errBoxFull   = errors.New("there was no room in time")
	errBoxRead   = errors.New("somebody else receives from the queue: only one may")
)

// mailbox finds or makes the queue of that name. The first who asks says how long it may get.
func (h *Host) mailbox(name string, limit int) *mailbox {
	b, _ := h.boxes.LoadOrStore(name, &mailbox{name: name, limit: limit, changed: make(chan struct{})})
	return b.(*mailbox)
}

// signal wakes everybody who waits. The caller holds mu.
func (b *mailbox) signal() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// put adds a value if there is room; else it says what to wait for.
func (b *mailbox) put(v any) (wait <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, errBoxClosed
	case b.limit > 0 && len(b.items) >= b.limit:
		return b.changed, nil
	}
	b.items = append(b.items, v)
	b.signal()
	return nil, nil
}

// take removes at most n values; none and a channel when there are none, none and no channel when there never will be.
func (b *mailbox) take(n int) (out []any, wait <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.items) == 0 {
		if b.closed {
			return nil, nil
		}
		return nil, b.changed
	}
	n = min(n, len(b.items))
	out = append(out, b.items[:n]...)
	b.items = append(b.items[:0], b.items[n:]...)
	b.signal()
	return out, nil
}

// alone makes the caller the one who receives, until done is called.
func (b *mailbox) alone(l *lua.LState) (done func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading {
		Fail(l, fmt.Errorf("mpsc queue %s: %w", b.name, errBoxRead))
	}
	b.reading = true
	return func() {
		b.mu.Lock()
		b.reading = false
		b.mu.Unlock()
	}
}

// await waits for c, the end of the call, or the time; false when it was the time.
func await(l *lua.LState, c <-chan struct{}, timeout <-chan time.Time) bool {
	s := From(l)
	end := time.NewTimer(time.Until(s.Deadline()) + time.Millisecond)
	defer end.Stop()
	select {
	case <-c:
	case <-timeout:
		return false
	case <-end.C:
		Pause(l, 0)
	case <-s.Context().Done():
		Pause(l, 0)
	}
	return true
}

var mpscModule = Module{
	Name: "kumo.mpsc",
	Doc:  "Queues of values in memory that every context can send to and one task receives from. They are lost when the process ends.",
	Funcs: []Func{
		{Name: "define", Args: "(name [, limit])", Returns: "mpsc_queue", Since: mpscSince, Doc: "The queue of a name. The first call says how many values it may hold; without a limit it takes whatever memory there is.", Example: `local q = kumo.mpsc.define('events', 1000)`, Go: func(l *lua.LState) int {
			limit := 0
			if l.Get(2) != lua.LNil {
				if limit = l.CheckInt(2); limit < 1 {
					l.ArgError(2, "a number above zero expected")
				}
			}
			s := From(l)
			l.Push(s.NewUserData(&mpscType, s.host.mailbox(l.CheckString(1), limit)))
			return 1
		}},
	},
}

var mpscType = Type{
	Name: "mpsc_queue",
	Doc:  "A queue of values. Values are those that kumo.memoize can keep. Only one task may receive at a time.",
	Methods: []Func{
		{Name: "send", Args: "(value)", Since: mpscSince, Doc: "Adds a value, waiting for room if need be. A closed queue is an error.", Example: `kumo.mpsc.define('a'):send { 1, 2 }`, Go: func(l *lua.LState) int {
			mpscSend(l, nil)
			return 0
		}},
		{Name: "send_timeout", Args: "(value, seconds)", Since: mpscSince, Doc: "As send, but waits at most so long; then it is an error.", Example: `kumo.mpsc.define('b'):send_timeout('x', 0.5)`, Go: func(l *lua.LState) int {
			n := float64(l.CheckNumber(3))
			if !(n >= 0) {
				l.ArgError(3, "a number of seconds expected, zero or more")
			}
			t := time.NewTimer(time.Duration(min(n, 1e9) * float64(time.Second)))
			defer t.Stop()
			mpscSend(l, t.C)
			return 0
		}},
		{Name: "try_send", Args: "(value)", Returns: "boolean", Since: mpscSince, Doc: "Adds a value if there is room now and the queue is open, and says whether.", Example: `kumo.mpsc.define('c'):try_send 'x'`, Go: func(l *lua.LState) int {
			wait, err := boxArg(l).put(mpscValue(l))
			l.Push(lua.LBool(wait == nil && err == nil))
			return 1
		}},
		{Name: "recv", Args: "()", Returns: "value", Since: mpscSince, Doc: "Waits for a value and takes it. nil when the queue is closed and empty.", Example: `local q = kumo.mpsc.define 'd'
q:send 'x'
print(q:recv())`, Go: func(l *lua.LState) int {
			v := mpscReceive(l, 1, true)
			if len(v) == 0 {
				l.Push(lua.LNil)
				return 1
			}
			l.Push(Thaw(From(l), v[0]))
			return 1
		}},
		{Name: "try_recv", Args: "()", Returns: "value", Since: mpscSince, Doc: "Takes a value if there is one; nil if not.", Example: `print(kumo.mpsc.define('e'):try_recv())`, Go: func(l *lua.LState) int {
			v := mpscReceive(l, 1, false)
			if len(v) == 0 {
				l.Push(lua.LNil)
				return 1
			}
			l.Push(Thaw(From(l), v[0]))
			return 1
		}},
		{Name: "recv_many", Args: "(limit)", Returns: "list", Since: mpscSince, Doc: "Waits for a value and takes all that there are, at most limit. nil when the queue is closed and empty.", Example: `local q = kumo.mpsc.define 'f'
q:send 'x'
print(#q:recv_many(128))`, Go: func(l *lua.LState) int {
			n := l.CheckInt(2)
			if n < 1 {
				l.ArgError(2, "a number above zero expected")
			}
			v := mpscReceive(l, n, true)
			if v == nil {
				l.Push(lua.LNil)
				return 1
			}
			t := l.CreateTable(len(v), 0)
			for i, x := range v {
				t.RawSetInt(i+1, Thaw(From(l), x))
			}
			l.Push(t)
			return 1
		}},
		{Name: "close", Args: "()", Since: mpscSince, Doc: "Lets nothing more be sent. What is in the queue can still be received.", Example: `kumo.mpsc.define('g'):close()`, Go: func(l *lua.LState) int {
			b := boxArg(l)
			b.mu.Lock()
			defer b.mu.Unlock()
			if !b.closed {
				b.closed = true
				b.signal()
			}
			return 0
		}},
		boxState("is_closed", "boolean", "Whether the queue is closed.", func(b *mailbox) lua.LValue { return lua.LBool(b.closed) }),
		boxState("is_empty", "boolean", "Whether nothing is in the queue.", func(b *mailbox) lua.LValue { return lua.LBool(len(b.items) == 0) }),
		boxState("len", "number", "How many values are in the queue.", func(b *mailbox) lua.LValue { return lua.LNumber(len(b.items)) }),
	},
}

func boxArg(l *lua.LState) *mailbox { return Check[*mailbox](l, 1, "an mpsc_queue") }

func boxState(name, returns, doc string, get func(*mailbox) lua.LValue) Func {
	return Func{
		Name: name, Args: "()", Returns: returns, Since: mpscSince, Doc: doc, Example: "print(kumo.mpsc.define('h'):" + name + "())",
		Go: func(l *lua.LState) int {
			b := boxArg(l)
			b.mu.Lock()
			defer b.mu.Unlock()
			l.Push(get(b))
			return 1
		},
	}
}

// mpscValue is argument 2 as a value of no State.
func mpscValue(l *lua.LState) any {
	v, err := Freeze(l.CheckAny(2))
	if err != nil {
		l.ArgError(2, err.Error())
	}
	return v
}

func mpscSend(l *lua.LState, timeout <-chan time.Time) {
	b, v := boxArg(l), mpscValue(l)
	for {
		wait, err := b.put(v)
		if err == nil && wait != nil && !await(l, wait, timeout) {
			err = errBoxFull
		}
		if err != nil {
			Fail(l, fmt.Errorf("mpsc queue %s: %w", b.name, err))
		}
		if wait == nil {
			return
		}
	}
}

func mpscReceive(l *lua.LState, n int, patient bool) []any {
	b := boxArg(l)
	defer b.alone(l)()
	for {
		v, wait := b.take(n)
		if v != nil || wait == nil || !patient {
			return v
		}
		await(l, wait, nil)
	}
}
