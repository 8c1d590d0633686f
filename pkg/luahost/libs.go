package luahost

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// openLibs gives a State the libraries that policies may use: gopher-lua's where they behave as Lua 5.4's, ours for
// the rest, and a clear refusal for what would reach outside.
func (s *State) openLibs() {
	l := s.L
	for _, open := range []lua.LGFunction{lua.OpenBase, lua.OpenTable, lua.OpenString, lua.OpenMath, lua.OpenCoroutine} {
		l.Push(l.NewFunction(open))
		l.Call(0, 0)
	}
	global := l.G.Global
	for _, gone := range []string{"getfenv", "setfenv", "newproxy", "module", "_printregs", "loadstring", "unpack", "_GOPHER_LUA_VERSION"} {
		global.RawSetString(gone, lua.LNil)
	}
	global.RawSetString("_VERSION", lua.LString("Lua 5.4"))
	s.set(global, baseLib)
	s.set(s.library("table"), tableLib)
	s.openString()
	s.openMath()
	s.set(s.library("coroutine"), coroutineLib(s))
	s.set(s.library("utf8"), utf8Lib).RawSetString("charpattern", lua.LString(charPattern))
	s.set(s.library("debug"), debugLib)
	s.set(s.library("io"), ioLib)
	s.openOS()
	s.openPackage()
}

// library is the global table of this name, made if need be.
func (s *State) library(name string) *lua.LTable {
	if t, ok := s.L.G.Global.RawGetString(name).(*lua.LTable); ok {
		return t
	}
	t := s.L.NewTable()
	s.L.G.Global.RawSetString(name, t)
	return t
}

// lib is a library's functions by name.
type lib map[string]lua.LGFunction

func (s *State) set(t *lua.LTable, fns lib) *lua.LTable {
	for name, fn := range fns {
		t.RawSetString(name, s.L.NewFunction(fn))
	}
	return t
}

// refuse is a function that policies do not get.
func refuse(name, why string) lua.LGFunction {
	return func(l *lua.LState) int {
		l.RaiseError("%s is not available in a policy: %s", name, why)
		return 0
	}
}

var baseLib = lib{
	"pairs":          basePairs,
	"ipairs":         baseIpairs,
	"pcall":          basePcall,
	"xpcall":         baseXpcall,
	"tostring":       baseTostring,
	"print":          basePrint,
	"rawlen":         baseRawlen,
	"load":           baseLoad,
	"loadfile":       baseLoadfile,
	"dofile":         baseDofile,
	"collectgarbage": baseCollectgarbage,
}

// basePairs honours __pairs on tables and userdata.
func basePairs(l *lua.LState) int {
	v := l.CheckAny(1)
	if fn := l.GetMetaField(v, "__pairs"); fn != lua.LNil {
		l.Push(fn)
		l.Push(v)
		l.Call(1, 3)
		return 3
	}
	t, ok := v.(*lua.LTable)
	if !ok {
		l.ArgError(1, "table expected, got "+typeName(v))
	}
	l.Push(l.G.Global.RawGetString("next"))
	l.Push(t)
	l.Push(lua.LNil)
	return 3
}

// baseIpairs honours __index.
func baseIpairs(l *lua.LState) int {
	v := l.CheckAny(1)
	l.Push(l.NewFunction(ipairsStep))
	l.Push(v)
	l.Push(lua.LNumber(0))
	return 3
}

func ipairsStep(l *lua.LState) int {
	i := l.CheckInt(2) + 1
	var v lua.LValue
	if t, ok := l.Get(1).(*lua.LTable); ok && t.Metatable == lua.LNil {
		v = t.RawGetInt(i)
	} else {
		v = l.GetTable(l.Get(1), lua.LNumber(i))
	}
	if v == lua.LNil {
		l.Push(lua.LNil)
		return 1
	}
	l.Push(lua.LNumber(i))
	l.Push(v)
	return 2
}

func baseTostring(l *lua.LState) int {
	v := l.CheckAny(1)
	if n, ok := v.(lua.LNumber); ok {
		l.Push(lua.LString(formatNumber(n)))
		return 1
	}
	out := l.ToStringMeta(v)
	if _, ok := out.(lua.LString); !ok {
		l.RaiseError("'__tostring' must return a string")
	}
	l.Push(out)
	return 1
}

func basePrint(l *lua.LState) int {
	var b strings.Builder
	for i := 1; i <= l.GetTop(); i++ {
		if i > 1 {
			b.WriteByte('\t')
		}
		b.WriteString(l.ToStringMeta(l.Get(i)).String())
	}
	_, _ = fmt.Fprintln(From(l).host.opt.Print, b.String())
	return 0
}

func baseRawlen(l *lua.LState) int {
	switch v := l.CheckAny(1).(type) {
	case *lua.LTable:
		l.Push(lua.LNumber(v.Len()))
	case lua.LString:
		l.Push(lua.LNumber(len(v)))
	default:
		l.ArgError(1, "table or string expected")
	}
	return 1
}

// baseCollectgarbage does nothing: memory is the process's business.
func baseCollectgarbage(l *lua.LState) int {
	l.Push(lua.LNumber(0))
	return 1
}

var debugLib = lib{
	"traceback": func(l *lua.LState) int {
		if v := l.Get(1); v != lua.LNil && v.Type() != lua.LTString && v.Type() != lua.LTNumber {
			l.Push(v)
			return 1
		}
		text := traceback(l, max(l.OptInt(2, 1), 1))
		if l.Get(1) != lua.LNil {
			text = l.Get(1).String() + "\n" + text
		}
		l.Push(lua.LString(text))
		return 1
	},
}

// coroutineLib puts new threads under the guard: gopher-lua would give them contexts of their own.
func coroutineLib(s *State) lib {
	mod := s.library("coroutine")
	create := mod.RawGetString("create").(*lua.LFunction).GFunction
	resume := mod.RawGetString("resume").(*lua.LFunction).GFunction
	status := func(th *lua.LState) bool { return th.Dead }
	guarded := func(l *lua.LState) int {
		create(l)
		th := l.ToThread(-1)
		if _, stop := th.Context().(*guard); !stop {
			th.RemoveContext()
			th.SetContext(&From(l).guard)
		}
		return 1
	}
	return lib{
		"create": guarded,
		"resume": func(l *lua.LState) int {
			s := From(l)
			s.enter(l)
			defer func() { s.depth-- }()
			return resume(l)
		},
		"wrap": func(l *lua.LState) int {
			guarded(l)
			th := l.ToThread(-1)
			l.Push(l.NewFunction(func(l *lua.LState) int { return resumeWrapped(l, th) }))
			return 1
		},
		"isyieldable": func(l *lua.LState) int {
			l.Push(lua.LBool(l.G.MainThread != l && l.Parent != nil && !status(l)))
			return 1
		},
		"close": func(l *lua.LState) int {
			l.CheckThread(1).Dead = true
			l.Push(lua.LTrue)
			return 1
		},
	}
}

func resumeWrapped(l *lua.LState, th *lua.LState) int {
	co := l.G.Global.RawGetString("coroutine").(*lua.LTable)
	n := l.GetTop()
	l.Insert(co.RawGetString("resume"), 1)
	l.Insert(th, 2)
	l.Call(n+1, lua.MultRet)
	if l.ToBool(1) {
		return l.GetTop() - 1
	}
	l.Error(l.Get(2), 0)
	return 0
}
