package luahost

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"
)

// maxString is the largest string that one library call may make, in bytes.
const maxString = 64 << 20

// formatNumber prints a number as Lua does: whole numbers without a fraction, others with 14 digits.
func formatNumber(n lua.LNumber) string {
	f := float64(n)
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	case f == math.Trunc(f) && math.Abs(f) < 1<<63:
		return strconv.FormatInt(int64(f), 10)
	}
	return fmt.Sprintf("%.14g", f)
}

// openString replaces what differs from Lua 5.4.
func (s *State) openString() {
	mod := s.library("string")
	mod.RawSetString("rep", s.L.NewFunction(stringRep))
	for _, gone := range []string{"gfind", "dump"} {
		mod.RawSetString(gone, lua.LNil)
	}
}

// stringRep knows the separator and refuses to make too much.
func stringRep(l *lua.LState) int {
	str, n, sep := l.CheckString(1), l.CheckInt(2), l.OptString(3, "")
	if n <= 0 {
		l.Push(lua.LString(""))
		return 1
	}
	if one := len(str) + len(sep); one > 0 && n > maxString/one {
		l.RaiseError("resulting string too large (more than %d bytes)", maxString)
	}
	From(l).guard.spend(l, n*(len(str)+len(sep)))
	if sep == "" {
		l.Push(lua.LString(strings.Repeat(str, n)))
		return 1
	}
	l.Push(lua.LString(strings.Repeat(str+sep, n-1) + str))
	return 1
}

func (s *State) openMath() {
	mod := s.set(s.library("math"), mathLib)
	mod.RawSetString("huge", lua.LNumber(math.Inf(1)))
	mod.RawSetString("maxinteger", lua.LNumber(math.MaxInt64))
	mod.RawSetString("mininteger", lua.LNumber(math.MinInt64))
}

var mathLib = lib{
	"type": func(l *lua.LState) int {
		n, ok := l.CheckAny(1).(lua.LNumber)
		switch {
		case !ok:
			l.Push(lua.LNil)
		case wholeNumber(n):
			l.Push(lua.LString("integer"))
		default:
			l.Push(lua.LString("float"))
		}
		return 1
	},
	"tointeger": func(l *lua.LState) int {
		var n lua.LNumber
		switch v := l.CheckAny(1).(type) {
		case lua.LNumber:
			n = v
		case lua.LString:
			f, err := strconv.ParseFloat(strings.TrimSpace(string(v)), 64)
			if err != nil {
				f = math.NaN()
			}
			n = lua.LNumber(f)
		default:
			n = lua.LNumber(math.NaN())
		}
		if wholeNumber(n) {
			l.Push(n)
		} else {
			l.Push(lua.LNil)
		}
		return 1
	},
}

func wholeNumber(n lua.LNumber) bool {
	f := float64(n)
	return f == math.Trunc(f) && math.Abs(f) <= 1<<63
}

// charPattern matches one UTF-8 character.
const charPattern = "[\x00-\x7F\xC2-\xFD][\x80-\xBF]*"

var utf8Lib = lib{
	"char": func(l *lua.LState) int {
		var b []byte
		for i := 1; i <= l.GetTop(); i++ {
			n := l.CheckInt(i)
			if n < 0 || n > utf8.MaxRune {
				l.ArgError(i, "value out of range")
			}
			b = utf8.AppendRune(b, rune(n))
		}
		l.Push(lua.LString(b))
		return 1
	},
	"len": func(l *lua.LState) int {
		str := l.CheckString(1)
		i, j := textRange(l, len(str), 2, 1, -1)
		n := 0
		for i < j {
			r, size := utf8.DecodeRuneInString(str[i:])
			if r == utf8.RuneError && size < 2 {
				l.Push(lua.LNil)
				l.Push(lua.LNumber(i + 1))
				return 2
			}
			i += size
			n++
		}
		l.Push(lua.LNumber(n))
		return 1
	},
	"codepoint": func(l *lua.LState) int {
		str := l.CheckString(1)
		first := l.OptInt(2, 1)
		i, j := textRange(l, len(str), 2, first, first)
		n := 0
		for i < j {
			r, size := utf8.DecodeRuneInString(str[i:])
			if r == utf8.RuneError && size < 2 {
				l.RaiseError("invalid UTF-8 code")
			}
			l.Push(lua.LNumber(r))
			i += size
			n++
		}
		return n
	},
	"codes": func(l *lua.LState) int {
		str := l.CheckString(1)
		next := 0
		l.Push(l.NewFunction(func(l *lua.LState) int {
			if next >= len(str) {
				l.Push(lua.LNil)
				return 1
			}
			r, size := utf8.DecodeRuneInString(str[next:])
			if r == utf8.RuneError && size < 2 {
				l.RaiseError("invalid UTF-8 code")
			}
			l.Push(lua.LNumber(next + 1))
			l.Push(lua.LNumber(r))
			next += size
			return 2
		}))
		l.Push(lua.LString(str))
		l.Push(lua.LNumber(0))
		return 3
	},
}

// textRange reads the positions at arguments n and n+1 as Lua counts them and gives Go's half-open range.
func textRange(l *lua.LState, size, n, first, last int) (int, int) {
	i, j := l.OptInt(n, first), l.OptInt(n+1, last)
	if i < 0 {
		i += size + 1
	}
	if j < 0 {
		j += size + 1
	}
	return min(max(i-1, 0), size), min(max(j, 0), size)
}
