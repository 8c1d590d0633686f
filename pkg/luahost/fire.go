package luahost

import (
	"errors"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/option"
)

// On registers a handler for an event (kumo.on). Only while the policy loads.
func (s *State) On(event string, fn *lua.LFunction, at string) error {
	if s.phase != Loading {
		return fmt.Errorf("kumo.on(%q) may only be called while the policy file loads, not inside an event handler", event)
	}
	id, known := s.host.byName[event]
	if !known {
		return s.onNamed(event, fn, at)
	}
	ev := &s.host.opt.Events[id]
	if have := s.handlers[id]; len(have) > 0 && !ev.Multiple {
		return fmt.Errorf("%s event already has a handler defined at %s", event, have[0].at)
	}
	if ev.Unfired {
		s.host.warnOnce("event "+event, at+": this version never fires the event "+event)
	}
	s.handlers[id] = append(s.handlers[id], handler{fn, at})
	s.edition.has[id].Store(true)
	return nil
}

// onNamed registers a handler for an event that the policy names itself (a constructor, a filter).
func (s *State) onNamed(event string, fn *lua.LFunction, at string) error {
	if have := s.named[event]; len(have) > 0 {
		return fmt.Errorf("%s event already has a handler defined at %s", event, have[0].at)
	}
	if like := s.host.similarEvent(event); like != "" {
		s.host.warnOnce("event "+event, fmt.Sprintf("%s: nothing fires the event %s by itself; did you mean %s?", at, event, like))
	}
	if s.named == nil {
		s.named = make(map[string][]handler, 2)
	}
	s.named[event] = append(s.named[event], handler{fn, at})
	return nil
}

// Fire calls the handlers of an event. The first result is returned, and how many there were: none at all from every
// handler means that the policy has no opinion, which is not the same as an explicit nil. Handlers of a Multiple event
// run in order until one returns something. Errors are *Error.
func (s *State) Fire(id EventID, args ...lua.LValue) (lua.LValue, int, error) {
	name := s.host.opt.Events[id].Name
	for _, h := range s.handlers[id] {
		v, n, err := s.call(name, h.fn, args)
		if err != nil || n > 0 {
			return v, n, err
		}
	}
	return lua.LNil, 0, nil
}

// FireAll calls every handler of an event, whatever they return (pre_init, validate_config).
func (s *State) FireAll(id EventID, args ...lua.LValue) error {
	for _, h := range s.handlers[id] {
		if _, _, err := s.call(s.host.opt.Events[id].Name, h.fn, args); err != nil {
			return err
		}
	}
	return nil
}

// ErrNoHandler is the error of FireNamed when the policy does not handle the event.
var ErrNoHandler = errors.New("no handler is registered")

// FireNamed calls the handler of an event that the policy names itself.
func (s *State) FireNamed(event string, args ...lua.LValue) (lua.LValue, int, error) {
	if id, ok := s.host.byName[event]; ok {
		return s.Fire(id, args...)
	}
	have := s.named[event]
	if len(have) == 0 {
		return lua.LNil, 0, fmt.Errorf("event %s: %w", event, ErrNoHandler)
	}
	return s.call(event, have[0].fn, args)
}

// Handles reports whether the policy handles an event, one of those that it names itself included.
func (s *State) Handles(event string) bool {
	if id, ok := s.host.byName[event]; ok {
		return len(s.handlers[id]) > 0
	}
	return len(s.named[event]) > 0
}

// EventName is the name of the event with this id.
func (s *State) EventName(id EventID) string { return s.host.EventName(id) }

// HandlerAt is where the first handler of an event was registered, "" if there is none.
func (s *State) HandlerAt(id EventID) string {
	if len(s.handlers[id]) == 0 {
		return ""
	}
	return s.handlers[id][0].at
}

// Invoke calls the handlers of an event from within a running call, as Fire does; errors are the running call's.
func (s *State) Invoke(l *lua.LState, id EventID, args ...lua.LValue) (lua.LValue, int) {
	s.enter(l)
	defer func() { s.depth-- }()
	for _, h := range s.handlers[id] {
		top := l.GetTop()
		l.Push(h.fn)
		for _, a := range args {
			l.Push(a)
		}
		l.Call(len(args), lua.MultRet)
		if n := l.GetTop() - top; n > 0 {
			v := l.Get(top + 1)
			l.SetTop(top)
			return v, n
		}
	}
	return lua.LNil, 0
}

// Registered tells where the handlers of an event were registered, in their order.
func (s *State) Registered(event string) []string {
	have := s.named[event]
	if id, ok := s.host.byName[event]; ok {
		have = s.handlers[id]
	}
	out := make([]string, len(have))
	for i, h := range have {
		out[i] = h.at
	}
	return out
}

// Endless lets the running call go on for as long as its context lets it; the State is not used again.
func (s *State) Endless() {
	s.broken = true
	s.guard.deadline = s.guard.deadline.AddDate(100, 0, 0)
	if d, ok := s.guard.ctx.Deadline(); ok {
		s.guard.deadline = d
	}
}

// Script prepares for the event main: kumo.on may be called in it, it may run as long as its context lets it, and
// the State is not used again.
func (s *State) Script() {
	s.Endless()
	s.phase = Loading
}

// call runs one function under the guard.
func (s *State) call(event string, fn *lua.LFunction, args []lua.LValue) (lua.LValue, int, error) {
	l := s.L
	top := l.GetTop()
	l.Push(fn)
	for _, a := range args {
		l.Push(a)
	}
	if err := l.PCall(len(args), lua.MultRet, s.onError); err != nil {
		fail, good := s.failure(event, err)
		s.broken = s.broken || !good
		l.SetTop(top)
		return lua.LNil, 0, fail
	}
	n := l.GetTop() - top
	v := lua.LNil
	if n > 0 {
		v = l.Get(top + 1)
	}
	l.SetTop(top)
	return v, n, nil
}

// similarEvent is a known event that name may be a misspelling of, "" if it looks like none.
func (h *Host) similarEvent(name string) string {
	names := make([]string, len(h.opt.Events))
	for i := range h.opt.Events {
		names[i] = h.opt.Events[i].Name
	}
	return option.Suggest(name, names)
}
