package luahost

import (
	"errors"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// Error is a failure in Lua code that nobody caught.
type Error struct {
	Event     string // "" while the policy loads
	Msg       string // "init.lua:41: attempt to …"
	Traceback string // "stack traceback:\n\t…"
	Cause     error  // what a binding raised, or ErrTimeout; may be nil
}

// Error is message and traceback.
func (e *Error) Error() string {
	s := e.Msg
	if e.Event != "" {
		s = e.Event + ": " + s
	}
	if e.Traceback != "" {
		s += "\n" + e.Traceback
	}
	return s
}

// Unwrap gives what a binding raised.
func (e *Error) Unwrap() error { return e.Cause }

// raised is the userdata under which a Go error travels through Lua: pcall catches it, error(e) raises it again.
type raised struct {
	err error
	at  string
}

var raisedType = Type{
	Name: "error",
	Doc:  "An error raised by a function of kumo on purpose, such as kumo.reject.",
	String: func(l *lua.LState) int {
		r, _ := l.CheckUserData(1).Value.(*raised)
		if r == nil {
			return 0
		}
		l.Push(lua.LString(r.err.Error()))
		return 1
	},
}

// Raise ends the running Lua function with a Go error that errors.As finds in the call's error. The state stays
// good: this is for answers such as kumo.reject, not for faults.
func Raise(l *lua.LState, err error) {
	s := From(l)
	l.Error(s.NewUserData(&raisedType, &raised{err: err, at: Where(l)}), 1)
}

// Fail ends the running Lua function with a fault: err's text with the caller's position, unless it has one.
func Fail(l *lua.LState, err error) {
	msg := err.Error()
	if at := Where(l); at != "" && !strings.HasPrefix(msg, at) {
		msg = at + ": " + msg
	}
	l.Error(lua.LString(msg), 0)
}

// Where is the "file:line" of the Lua code that called the running function, "" if there is none.
func Where(l *lua.LState) string {
	for level := 1; level < 1000; level++ {
		d, ok := l.GetStack(level)
		if !ok {
			return ""
		}
		if _, err := l.GetInfo("l", d, lua.LNil); err == nil && d.CurrentLine > 0 {
			return strings.TrimSuffix(l.Where(level), ":")
		}
	}
	return ""
}

// failure makes an *Error of what a protected call returned, and says whether the state can be used again.
func (s *State) failure(event string, err error) (fail *Error, good bool) {
	fail = &Error{Event: event, Msg: err.Error()}
	var api *lua.ApiError
	if !errors.As(err, &api) {
		return fail, false
	}
	fail.Traceback, s.trace, s.depth = s.trace, "", 0
	if api.Object != nil {
		fail.Msg = text(api.Object)
	}
	if s.guard.err != nil {
		fail.Cause = s.guard.err
		return fail, false
	}
	if ud, ok := api.Object.(*lua.LUserData); ok {
		if r, ok := ud.Value.(*raised); ok {
			fail.Cause = r.err
			return fail, true
		}
	}
	return fail, false
}

// text shows an error value without running policy code.
func text(v lua.LValue) string {
	switch x := v.(type) {
	case lua.LString, lua.LNumber:
		return x.String()
	case *lua.LUserData:
		if r, ok := x.Value.(*raised); ok {
			if r.at != "" {
				return r.at + ": " + r.err.Error()
			}
			return r.err.Error()
		}
	case *lua.LTable:
		return "(error object is a table value)"
	}
	return "(error object is a " + v.Type().String() + " value)"
}
