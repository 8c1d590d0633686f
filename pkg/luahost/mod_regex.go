package luahost

import (
	"errors"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/option"
)

// regexType is a compiled regular expression.
var regexType = Type{
	Name: "regex",
	Doc:  "A compiled regular expression. tostring gives its text.",
	Methods: []Func{
		{Name: "captures", Args: "(text)", Returns: "table or nil", Doc: "The groups of the first match by number (0 is the whole match) and by name. nil without a match.", Example: `local re = kumo.regex.compile '(?<year>\\d{4})'
assert(re:captures('in 1941').year == '1941')`, Go: regexCaptures},
		{Name: "is_match", Args: "(text)", Returns: "boolean", Doc: "Whether the expression matches anywhere.", Example: `assert(kumo.regex.compile('oo'):is_match 'foo')`, Go: regexIsMatch},
		{Name: "find", Args: "(text)", Returns: "string or nil", Doc: "The first match.", Example: `assert(kumo.regex.compile('o+'):find 'food' == 'oo')`, Go: regexFind},
		{Name: "find_all", Args: "(text)", Returns: "list of strings", Doc: "All matches that do not overlap.", Example: `assert(#kumo.regex.compile('o'):find_all 'foo' == 2)`, Go: regexFindAll},
		{Name: "replace", Args: "(text, replacement)", Returns: "string", Doc: "Replaces the first match. $1, ${1} and $name stand for groups, $$ for a dollar.", Example: `assert(kumo.regex.compile('o'):replace('foo', '0') == 'f0o')`, Go: func(l *lua.LState) int {
			return regexReplaceN(l, 1, l.CheckString(3))
		}},
		{Name: "replace_all", Args: "(text, replacement)", Returns: "string", Doc: "Replaces every match, as replace does.", Example: `assert(kumo.regex.compile('o'):replace_all('foo', '0') == 'f00')`, Go: func(l *lua.LState) int {
			return regexReplaceN(l, -1, l.CheckString(3))
		}},
		{Name: "replacen", Args: "(text, limit, replacement)", Returns: "string", Doc: "Replaces at most limit matches, all when it is 0.", Example: `assert(kumo.regex.compile('o'):replacen('fooo', 2, '0') == 'f00o')`, Go: func(l *lua.LState) int {
			n := l.CheckInt(3)
			if n <= 0 {
				n = -1
			}
			return regexReplaceN(l, n, l.CheckString(4))
		}},
		{Name: "split", Args: "(text)", Returns: "list of strings", Doc: "What stands between the matches.", Example: `assert(#kumo.regex.compile(',\\s*'):split 'a, b,c' == 3)`, Go: regexSplit},
	},
	String: func(l *lua.LState) int {
		l.Push(lua.LString(Check[*regexValue](l, 1, "a regex").String()))
		return 1
	},
}

type regexValue struct{ *option.Pattern }

// Freeze implements Freezer.
func (r *regexValue) Freeze() (Frozen, error) { return r, nil }

// Thaw implements Frozen.
func (r *regexValue) Thaw(s *State) lua.LValue { return s.NewUserData(&regexType, r) }

var regexModule = Module{
	Name: "kumo.regex",
	Doc:  "Regular expressions in Rust's syntax, with look-around and back references.",
	Funcs: []Func{
		{Name: "compile", Args: "(pattern)", Returns: "regex", Since: "2024.09.02-c5476b89", Doc: "Compiles an expression. One that is wrong is an error.", Example: `local re = kumo.regex.compile '^(451|550) '
print(re:is_match '550 no')`, Go: func(l *lua.LState) int {
			p, err := option.ParsePattern(l.CheckString(1))
			if err != nil {
				Fail(l, errors.New("kumo.regex.compile: "+plainly(err)))
			}
			l.Push(From(l).NewUserData(&regexType, &regexValue{p}))
			return 1
		}},
		{Name: "escape", Args: "(text)", Returns: "string", Since: "2024.09.02-c5476b89", Doc: "A pattern that matches just this text.", Example: `print(kumo.regex.escape 'a.b')`, Go: func(l *lua.LState) int {
			l.Push(lua.LString(escapePattern(l.CheckString(1))))
			return 1
		}},
	},
}

// plainly is an option's error without the words that options have around theirs.
func plainly(err error) string {
	if e, ok := errors.AsType[*option.Error](err); ok {
		if e.Hint != "" {
			return e.Msg + ": " + e.Hint
		}
		return e.Msg
	}
	return err.Error()
}

// escapePattern escapes what Rust's regex::escape does.
func escapePattern(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte(`\.+*?()|[]{}^$#&-~`, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// search gives the first n matches of argument 2.
func search(l *lua.LState, n int) (p *regexValue, s string, found [][]int) {
	p, s = Check[*regexValue](l, 1, "a regex"), l.CheckString(2)
	found, err := p.Find(s, n)
	if err != nil {
		Fail(l, err)
	}
	return p, s, found
}

func regexIsMatch(l *lua.LState) int {
	ok, err := Check[*regexValue](l, 1, "a regex").Match(l.CheckString(2))
	if err != nil {
		Fail(l, err)
	}
	l.Push(lua.LBool(ok))
	return 1
}

func regexFind(l *lua.LState) int {
	_, s, found := search(l, 1)
	if len(found) == 0 {
		l.Push(lua.LNil)
		return 1
	}
	l.Push(lua.LString(s[found[0][0]:found[0][1]]))
	return 1
}

func regexFindAll(l *lua.LState) int {
	_, s, found := search(l, -1)
	t := l.CreateTable(len(found), 0)
	for i, loc := range found {
		t.RawSetInt(i+1, lua.LString(s[loc[0]:loc[1]]))
	}
	l.Push(t)
	return 1
}

func regexCaptures(l *lua.LState) int {
	p, s, found := search(l, 1)
	if len(found) == 0 {
		l.Push(lua.LNil)
		return 1
	}
	t := l.CreateTable(len(p.Groups()), 0)
	for i, name := range p.Groups() {
		loc := found[0][2*i : 2*i+2]
		if loc[0] < 0 {
			continue
		}
		v := lua.LString(s[loc[0]:loc[1]])
		t.RawSet(lua.LNumber(i), v)
		if name != "" {
			t.RawSetString(name, v)
		}
	}
	l.Push(t)
	return 1
}

func regexReplaceN(l *lua.LState, n int, with string) int {
	p, s, found := search(l, n)
	var out []byte
	at := 0
	for _, loc := range found {
		out = append(out, s[at:loc[0]]...)
		out = p.Expand(out, with, s, loc)
		at = loc[1]
		if len(out) > maxString {
			Fail(l, fmt.Errorf("regex: the result is longer than %d bytes", maxString))
		}
	}
	l.Push(lua.LString(append(out, s[at:]...)))
	return 1
}

func regexSplit(l *lua.LState) int {
	_, s, found := search(l, -1)
	t := l.CreateTable(len(found)+1, 0)
	at := 0
	for i, loc := range found {
		t.RawSetInt(i+1, lua.LString(s[at:loc[0]]))
		at = loc[1]
	}
	t.RawSetInt(len(found)+1, lua.LString(s[at:]))
	l.Push(t)
	return 1
}
