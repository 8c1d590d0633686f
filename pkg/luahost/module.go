package luahost

import lua "github.com/yuin/gopher-lua"

// Func is one function of a module or method of a type: the row from which the state, the manual and the checks are made.
type Func struct {
	Name    string // "define_spool"
	Args    string // "{ PARAMS }", as the manual prints it
	Returns string // "" for none
	Since   string // KumoMTA's version that had it first, "" for always or unknown
	Doc     string // a sentence or two
	Example string // a policy that uses it; a test runs it
	Go      lua.LGFunction
}

// Value is a constant of a module.
type Value struct {
	Name string
	Doc  string
	Get  func(*State) any // called once per State; the result goes through ToLua
}

// Module is what require gives for Name. A dotted name ("kumo.dns") is also a field of its parent.
type Module struct {
	Name   string
	Doc    string
	Funcs  []Func
	Values []Value
}

// Type is a kind of userdata. Methods are called with a colon; Fields are read through Index when there is no method
// of that name.
type Type struct {
	Name    string
	Doc     string
	Methods []Func
	Fields  []Field
	Index   lua.LGFunction // __index for names that are not methods; nil means nil
	Assign  lua.LGFunction // __newindex; nil means that fields cannot be set
	Pairs   lua.LGFunction // __pairs
	String  lua.LGFunction // __tostring
	Eq      lua.LGFunction // __eq
	Len     lua.LGFunction // __len
	Add     lua.LGFunction // __add
	Sub     lua.LGFunction // __sub
	Less    lua.LGFunction // __lt
}

// Field documents a field that Index answers.
type Field struct{ Name, Doc string }

// Event is one thing that a policy may handle.
type Event struct {
	Name     string
	Args     string // "(domain, tenant, campaign, routing_domain)"
	Returns  string
	Multiple bool // several handlers may be registered; they form a chain
	Unfired  bool // known to KumoMTA, not fired by this version: registering warns
	Doc      string
}

// EventID is an Event's place in Options.Events.
type EventID int

// install makes the module's table and preloads it.
func (m *Module) install(s *State) *lua.LTable {
	t := s.L.CreateTable(0, len(m.Funcs)+len(m.Values))
	for i := range m.Funcs {
		t.RawSetString(m.Funcs[i].Name, s.L.NewFunction(m.Funcs[i].Go))
	}
	for _, v := range m.Values {
		t.RawSetString(v.Name, ToLua(s.L, v.Get(s)))
	}
	return t
}

// metatable makes the type's metatable.
func (t *Type) metatable(s *State) *lua.LTable {
	mt := s.L.CreateTable(0, 6)
	methods := s.L.CreateTable(0, len(t.Methods))
	for i := range t.Methods {
		methods.RawSetString(t.Methods[i].Name, s.L.NewFunction(t.Methods[i].Go))
	}
	mt.RawSetString("__index", methods)
	mt.RawSetString("__name", lua.LString(t.Name))
	mt.RawSetString("__metatable", lua.LString(t.Name))
	if t.Index != nil {
		if len(t.Methods) == 0 {
			mt.RawSetString("__index", s.L.NewFunction(t.Index))
		} else {
			mt.RawSetString("__index", s.L.NewFunction(methodOr(methods, t.Index)))
		}
	}
	for name, fn := range map[string]lua.LGFunction{"__newindex": t.Assign, "__pairs": t.Pairs, "__tostring": t.String, "__eq": t.Eq, "__len": t.Len, "__add": t.Add, "__sub": t.Sub, "__lt": t.Less} {
		if fn != nil {
			mt.RawSetString(name, s.L.NewFunction(fn))
		}
	}
	return mt
}

// methodOr looks among the methods first.
func methodOr(methods *lua.LTable, index lua.LGFunction) lua.LGFunction {
	return func(l *lua.LState) int {
		if name, ok := l.Get(2).(lua.LString); ok {
			if m := methods.RawGetString(string(name)); m != lua.LNil {
				l.Push(m)
				return 1
			}
		}
		return index(l)
	}
}
