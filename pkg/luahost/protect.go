package luahost

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/option"
)

// gopher-lua's own protected calls have two faults that policies would meet. An error that pcall catches detaches the
// captured locals of every function on the stack, also of those that go on. And the traceback of an error lists each
// tail call, however many millions there were. So pcall is ours, and the outermost call brings its own traceback.

// maxProtected bounds pcall and coroutine.resume within each other: each level uses Go's stack. Lua's limit is 200.
const maxProtected = 200

// maxTrace is how many levels a traceback shows.
const maxTrace = 20

// basePcall calls a function and catches its errors.
func basePcall(l *lua.LState) int {
	fn, ok := l.CheckAny(1).(*lua.LFunction)
	if !ok || fn.IsG {
		return pcallHere(l)
	}
	n, err := inThread(l, fn, 2, nil)
	if err != nil {
		return caught(l, err)
	}
	return n
}

// baseXpcall is pcall with a handler for the error, which may ask for a traceback.
func baseXpcall(l *lua.LState) int {
	fn, ok := l.CheckAny(1).(*lua.LFunction)
	handler := l.CheckFunction(2)
	if !ok || fn.IsG {
		l.Remove(2)
		return pcallHere(l, handler)
	}
	n, err := inThread(l, fn, 3, handler)
	if err != nil {
		return caught(l, err)
	}
	return n
}

// inThread runs a Lua function in a thread of its own, so that an error closes the captured locals of what failed
// and of nothing else. Arguments begin at index first. It pushes true and the results.
func inThread(l *lua.LState, fn *lua.LFunction, first int, handler *lua.LFunction) (int, error) {
	s := From(l)
	s.enter(l)
	defer func() { s.depth-- }()
	top := l.GetTop()
	args := make([]lua.LValue, 0, 8)
	for i := first; i <= top; i++ {
		args = append(args, l.Get(i))
	}
	th := s.thread(l)
	how, err, ret := l.Resume(th, fn, args...)
	switch how {
	case lua.ResumeOK:
		th.Dead = false
		s.threads = append(s.threads, th)
		l.Push(lua.LTrue)
		n := cap(ret) - top - 1 // Resume turns no result into one nil; its capacity still tells them apart
		for i := range n {
			l.Push(ret[i])
		}
		return n + 1, nil
	case lua.ResumeYield:
		l.RaiseError("attempt to yield across pcall")
	}
	if handler == nil || s.guard.err != nil {
		return 0, err
	}
	outer := s.failed
	s.failed = th
	l.Push(handler)
	l.Push(errorValue(err))
	err = l.PCall(1, 1, s.keep)
	s.failed = outer
	if err == nil {
		err = &lua.ApiError{Object: l.Get(-1)}
	}
	return 0, err
}

// pcallHere protects a Go function, or an object with __call, on the same thread: errors then know who called.
func pcallHere(l *lua.LState, handler ...*lua.LFunction) int {
	s := From(l)
	s.enter(l)
	h := s.keep
	if len(handler) > 0 {
		h = handler[0]
	}
	err := l.PCall(l.GetTop()-1, lua.MultRet, h)
	s.depth--
	if err != nil {
		return caught(l, err)
	}
	l.Insert(lua.LTrue, 1)
	return l.GetTop()
}

// caught gives what pcall gives for an error. That a call's time is over cannot be caught.
func caught(l *lua.LState, err error) int {
	if over := From(l).guard.err; over != nil {
		l.RaiseError("%s", over.Error())
	}
	l.SetTop(0)
	l.Push(lua.LFalse)
	l.Push(errorValue(err))
	return 2
}

// errorValue is what a protected call failed with.
func errorValue(err error) lua.LValue {
	if api, ok := err.(*lua.ApiError); ok && api.Object != nil {
		return api.Object
	}
	return lua.LString(err.Error())
}

// enter counts a level of protected calls.
func (s *State) enter(l *lua.LState) {
	if s.depth >= maxProtected {
		l.RaiseError("stack overflow: pcall or coroutines more than %d deep", maxProtected)
	}
	s.depth++
}

// thread is a thread for pcall: one that is done with its last, or a new one.
func (s *State) thread(l *lua.LState) *lua.LState {
	if n := len(s.threads); n > 0 {
		th := s.threads[n-1]
		s.threads = s.threads[:n-1]
		return th
	}
	th, cancel := l.NewThread()
	cancel()
	th.SetContext(&s.guard)
	return th
}

// keepError is the handler of protected calls whose errors are wanted as they are.
func keepError(l *lua.LState) int {
	l.SetTop(1)
	return 1
}

// outermost is the error handler of a whole call: it notes the traceback while the stack still stands, and closes
// captured locals, for closures may outlive the call.
func outermost(l *lua.LState) int {
	s := From(l)
	s.trace = ""
	if msg, ok := l.Get(1).(lua.LString); ok && strings.HasSuffix(string(msg), notCallable) {
		l.Replace(1, lua.LString(s.nameCallee(l, string(msg))))
	}
	if ud, ok := l.Get(1).(*lua.LUserData); !ok || !isRaised(ud) {
		s.trace = traceback(l, 1)
	}
	hook := l.Panic
	l.Panic = func(*lua.LState) {}
	l.Error(lua.LNil, 0) // closes, and with this hook does nothing else
	l.Panic = hook
	l.SetTop(1)
	return 1
}

// notCallable is how gopher-lua ends the error of a call of something that is no function: it does not say of what.
const notCallable = "attempt to call a non-function object"

// nameCallee says what was called. The error handler's own frame stands where that of the callee would have stood, so
// its name is the callee's.
func (s *State) nameCallee(l *lua.LState, msg string) string {
	d, ok := l.GetStack(0)
	if !ok {
		return msg
	}
	if _, err := l.GetInfo("n", d, lua.LNil); err != nil || d.Name == "" || strings.ContainsAny(d.Name, "?<(") {
		return msg
	}
	hint := "kumo-lua(7) lists the functions that there are"
	if like := option.Suggest(d.Name, s.host.functions()); like != "" {
		hint = "did you mean " + like + "?"
	}
	return strings.TrimSuffix(msg, notCallable) + "attempt to call '" + clip(d.Name, 60) + "', which is not a function; " + hint
}

// functions names what modules and types offer.
func (h *Host) functions() []string {
	var names []string
	for _, m := range h.opt.Modules {
		for i := range m.Funcs {
			names = append(names, m.Funcs[i].Name)
		}
	}
	for _, t := range h.opt.Types {
		for i := range t.Methods {
			names = append(names, t.Methods[i].Name)
		}
	}
	return names
}

func isRaised(ud *lua.LUserData) bool {
	_, ok := ud.Value.(*raised)
	return ok
}

// traceback lists the callers of level and above.
func traceback(l *lua.LState, level int) string {
	var b strings.Builder
	b.WriteString("stack traceback:")
	if th := From(l).failed; th != nil { // what xpcall's handler is called for
		frames(&b, th, 0)
	}
	frames(&b, l, level)
	return b.String()
}

func frames(b *strings.Builder, l *lua.LState, level int) {
	for end := level + maxTrace; level < end; level++ {
		d, ok := l.GetStack(level)
		if !ok {
			break
		}
		if _, err := l.GetInfo("nSl", d, lua.LNil); err != nil {
			break
		}
		at := strings.TrimSuffix(l.Where(level), ":")
		if d.What == "G" {
			at = "[Go]"
		}
		fmt.Fprintf(b, "\n\t%s: in %s", at, frameName(d))
		if d.What == "main" {
			break
		}
	}
}

func frameName(d *lua.Debug) string {
	switch {
	case d.What == "main" || d.Name == "" || d.Name == "main chunk":
		if d.What != "G" && d.LineDefined > 0 {
			return fmt.Sprintf("function <%s:%d>", d.Source, d.LineDefined)
		}
		return "main chunk"
	case d.Name[0] == '<' || d.Name[0] == '(':
		return "function " + d.Name
	}
	return "function '" + d.Name + "'"
}
