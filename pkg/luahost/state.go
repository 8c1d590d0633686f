package luahost

import (
	"context"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// Phase is what a State is doing.
type Phase uint8

const (
	Loading Phase = iota // the policy's top level
	Serving              // events
)

// Stack sizes of a State. Registry slots take 16 bytes, call frames about 100; both grow on demand.
const (
	registryStart = 1024
	registryMax   = 256 * 1024
	registryStep  = 1024
	threadStart   = 256
	threadMax     = 64 * 1024
	callDepth     = 200 * 8 // Lua frames within each other
)

// State is one Lua world: libraries, modules and the policy's top level, run once. It belongs to one call at a time.
type State struct {
	L *lua.LState
	// Scope is what the running call lets bindings reach, set by the caller of Fire; nil between calls.
	Scope any

	host     *Host
	edition  *edition
	guard    guard
	phase    Phase
	born     time.Time
	uses     int
	broken   bool
	depth    int           // of pcall and coroutine.resume within each other
	threads  []*lua.LState // for pcall, not at work
	failed   *lua.LState   // the thread whose error xpcall's handler looks at
	trace    string        // of the error that ended the running call
	onError  *lua.LFunction
	keep     *lua.LFunction
	handlers [][]handler          // by EventID
	named    map[string][]handler // events that only the policy knows
	meta     map[*Type]*lua.LTable
	loaded   *lua.LTable // package.loaded
	preload  *lua.LTable
	pkg      *lua.LTable
}

// handler is a function registered with kumo.on, and where.
type handler struct {
	fn *lua.LFunction
	at string
}

func newState(h *Host, e *edition, now time.Time) *State {
	s := &State{
		host:     h,
		edition:  e,
		born:     now,
		handlers: make([][]handler, len(h.opt.Events)),
		meta:     make(map[*Type]*lua.LTable, len(h.opt.Types)+1),
		L: lua.NewState(lua.Options{
			CallStackSize:       callDepth,
			MinimizeStackMemory: true,
			RegistrySize:        registryStart,
			RegistryMaxSize:     registryMax,
			RegistryGrowStep:    registryStep,
			SkipOpenLibs:        true,
		}),
	}
	s.guard.state = s
	s.guard.ctx = context.Background()
	s.L.SetContext(&s.guard)
	s.L.Options.RegistrySize, s.L.Options.RegistryMaxSize = threadStart, threadMax // of threads
	s.onError, s.keep = s.L.NewFunction(outermost), s.L.NewFunction(keepError)
	s.openLibs()
	s.meta[&raisedType] = raisedType.metatable(s)
	s.meta[&fileType] = fileType.metatable(s)
	for _, t := range h.opt.Types {
		s.meta[t] = t.metatable(s)
	}
	s.installModules()
	return s
}

// installModules preloads the modules and hangs dotted ones into their parents.
func (s *State) installModules() {
	tables := make(map[string]*lua.LTable, len(s.host.opt.Modules))
	for i := range s.host.opt.Modules {
		m := &s.host.opt.Modules[i]
		t := m.install(s)
		tables[m.Name] = t
		s.loaded.RawSetString(m.Name, t)
		for j := len(m.Name) - 1; j > 0; j-- {
			if parent := tables[m.Name[:j]]; m.Name[j] == '.' && parent != nil {
				parent.RawSetString(m.Name[j+1:], t)
				break
			}
		}
	}
}

// From is the State that runs l.
func From(l *lua.LState) *State { return l.Context().(*guard).state }

// Owner is Options.Owner.
func (s *State) Owner() any { return s.host.opt.Owner }

// Host is the State's Host.
func (s *State) Host() *Host { return s.host }

// Phase tells whether the policy is still loading.
func (s *State) Phase() Phase { return s.phase }

// Context is the context of the running call, for bindings that block: gopher-lua does not interrupt Go functions.
// Its deadline may be later than Deadline.
func (s *State) Context() context.Context { return s.guard.ctx }

// Deadline is when the running call will be stopped.
func (s *State) Deadline() time.Time { return s.guard.deadline }

// NewUserData wraps v as a value of type t, which must be one of Options.Types.
func (s *State) NewUserData(t *Type, v any) *lua.LUserData {
	return &lua.LUserData{Value: v, Env: s.L.Env, Metatable: s.Metatable(t)}
}

// Metatable is t's metatable, for those who lay out userdata themselves.
func (s *State) Metatable(t *Type) lua.LValue {
	if mt, ok := s.meta[t]; ok {
		return mt
	}
	return lua.LNil
}

// load runs the policy's top level.
func (s *State) load() error {
	s.L.Push(s.L.NewFunctionFromProto(s.edition.main))
	if err := s.L.PCall(0, 0, s.onError); err != nil {
		fail, _ := s.failure("", err)
		return fail
	}
	s.phase = Serving
	return nil
}

func (s *State) close() {
	s.L.Close()
	s.host.pool.gone()
}

// Check is argument n as userdata that holds a T; what names it in the error, with its article: "a message".
func Check[T any](l *lua.LState, n int, what string) T {
	if ud, ok := l.Get(n).(*lua.LUserData); ok {
		if v, ok := ud.Value.(T); ok {
			return v
		}
	}
	got := typeName(l.Get(n))
	if n == 1 {
		l.ArgError(n, what+" expected, got "+got+" (methods are called with a colon)")
	}
	l.ArgError(n, what+" expected, got "+got)
	panic("unreachable")
}
