package luahost

import lua "github.com/yuin/gopher-lua"

// maxUnpack bounds the values that table.unpack puts on the stack.
const maxUnpack = 100_000

var tableLib = lib{
	"pack": func(l *lua.LState) int {
		n := l.GetTop()
		t := l.CreateTable(n, 1)
		for i := 1; i <= n; i++ {
			t.RawSetInt(i, l.Get(i))
		}
		t.RawSetString("n", lua.LNumber(n))
		l.Push(t)
		return 1
	},
	"unpack": func(l *lua.LState) int {
		v := l.CheckAny(1)
		i := l.OptInt(2, 1)
		j := l.OptInt(3, l.ObjLen(v))
		if i > j {
			return 0
		}
		if j-i >= maxUnpack {
			l.RaiseError("too many results to unpack")
		}
		t, plain := v.(*lua.LTable)
		plain = plain && t.Metatable == lua.LNil
		for k := i; k <= j; k++ {
			if plain {
				l.Push(t.RawGetInt(k))
			} else {
				l.Push(l.GetTable(v, lua.LNumber(k)))
			}
		}
		return j - i + 1
	},
	"move": func(l *lua.LState) int {
		from := l.CheckTable(1)
		first, last, at := l.CheckInt(2), l.CheckInt(3), l.CheckInt(4)
		to := l.OptTable(5, from)
		if last-first >= maxConvertNodes*50 {
			l.ArgError(3, "too many elements to move")
		}
		if at > first && at <= last && to == from {
			for k := last; k >= first; k-- {
				l.SetTable(to, lua.LNumber(at+k-first), l.GetTable(from, lua.LNumber(k)))
			}
		} else {
			for k := first; k <= last; k++ {
				l.SetTable(to, lua.LNumber(at+k-first), l.GetTable(from, lua.LNumber(k)))
			}
		}
		l.Push(to)
		return 1
	},
}
