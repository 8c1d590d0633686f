package luahost

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
	"golang.org/x/net/publicsuffix"
)

var stringModule = Module{
	Name: "kumo.string",
	Doc:  "Text. Patterns are plain text here; kumo.regex has expressions.",
	Funcs: []Func{
		{Name: "starts_with", Args: "(text, prefix)", Returns: "boolean", Since: "2026.04.09-ea3b2a9b", Doc: "Whether the text begins so.", Example: `assert(kumo.string.starts_with('hello', 'he'))`, Go: textTest(strings.HasPrefix)},
		{Name: "ends_with", Args: "(text, suffix)", Returns: "boolean", Since: "2026.04.09-ea3b2a9b", Doc: "Whether the text ends so.", Example: `assert(kumo.string.ends_with('hello', 'lo'))`, Go: textTest(strings.HasSuffix)},
		{Name: "replace", Args: "(text, from, to)", Returns: "string", Since: serdeSince, Doc: "Replaces every occurrence.", Example: `assert(kumo.string.replace('aXbX', 'X', '-') == 'a-b-')`, Go: func(l *lua.LState) int {
			return textReplace(l, -1, l.CheckString(3))
		}},
		{Name: "replacen", Args: "(text, from, to, count)", Returns: "string", Since: serdeSince, Doc: "Replaces the first occurrences, count of them.", Example: `assert(kumo.string.replacen('aXbX', 'X', '-', 1) == 'a-bX')`, Go: func(l *lua.LState) int {
			return textReplace(l, max(l.CheckInt(4), 0), l.CheckString(3))
		}},
		{Name: "split", Args: "(text, separator)", Returns: "list of strings", Since: serdeSince, Doc: "The parts between separators.", Example: `assert(#kumo.string.split('a,b,c', ',') == 3)`, Go: func(l *lua.LState) int {
			return pushTexts(l, strings.Split(l.CheckString(1), l.CheckString(2)))
		}},
		{Name: "splitn", Args: "(text, limit, separator)", Returns: "list of strings", Since: serdeSince, Doc: "At most limit parts; the last one is the rest.", Example: `assert(kumo.string.splitn('a,b,c', 2, ',')[2] == 'b,c')`, Go: func(l *lua.LState) int {
			return pushTexts(l, strings.SplitN(l.CheckString(1), l.CheckString(3), max(l.CheckInt(2), 0)))
		}},
		{Name: "rsplit", Args: "(text, separator)", Returns: "list of strings", Since: serdeSince, Doc: "The parts between separators, the last one first.", Example: `assert(kumo.string.rsplit('a,b,c', ',')[1] == 'c')`, Go: func(l *lua.LState) int {
			return pushTexts(l, splitBack(l.CheckString(1), l.CheckString(2), -1))
		}},
		{Name: "rsplitn", Args: "(text, limit, separator)", Returns: "list of strings", Since: serdeSince, Doc: "At most limit parts, the last one first; the last of the list is the rest.", Example: `assert(kumo.string.rsplitn('a,b,c', 2, ',')[2] == 'a,b')`, Go: func(l *lua.LState) int {
			return pushTexts(l, splitBack(l.CheckString(1), l.CheckString(3), max(l.CheckInt(2), 0)))
		}},
		{Name: "split_whitespace", Args: "(text)", Returns: "list of strings", Since: serdeSince, Doc: "The words, parted by white space of any kind.", Example: `assert(#kumo.string.split_whitespace ' a  b ' == 2)`, Go: func(l *lua.LState) int {
			return pushTexts(l, strings.Fields(l.CheckString(1)))
		}},
		{Name: "split_ascii_whitespace", Args: "(text)", Returns: "list of strings", Since: serdeSince, Doc: "The words, parted by white space of ASCII.", Example: `assert(#kumo.string.split_ascii_whitespace ' a  b ' == 2)`, Go: func(l *lua.LState) int {
			return pushTexts(l, strings.FieldsFunc(l.CheckString(1), func(r rune) bool { return strings.ContainsRune(" \t\n\f\r", r) }))
		}},
		{Name: "trim", Args: "(text)", Returns: "string", Since: serdeSince, Doc: "The text without white space at both ends.", Example: `assert(kumo.string.trim ' a ' == 'a')`, Go: textMap(strings.TrimSpace)},
		{Name: "trim_start", Args: "(text)", Returns: "string", Since: serdeSince, Doc: "The text without white space in front.", Example: `assert(kumo.string.trim_start ' a' == 'a')`, Go: textMap(func(s string) string {
			return strings.TrimLeftFunc(s, isSpace)
		})},
		{Name: "trim_end", Args: "(text)", Returns: "string", Since: serdeSince, Doc: "The text without white space at its end.", Example: `assert(kumo.string.trim_end 'a ' == 'a')`, Go: textMap(func(s string) string {
			return strings.TrimRightFunc(s, isSpace)
		})},
		{Name: "wrap", Args: "(text [, soft_limit [, hard_limit]])", Returns: "string", Since: "2025.12.02-67ee9e96", Doc: "Breaks a header value into lines: at white space, so that most stay below soft_limit (75) bytes, and inside words that are longer than hard_limit (900). A break is CR, LF and a tab.", Example: `print(kumo.string.wrap(('hello '):rep(20)))`, Go: textWrap},
		{Name: "psl_domain", Args: "(domain)", Returns: "string or nil", Since: serdeSince, Doc: "The part of a domain that somebody registered, by Mozilla's Public Suffix List. nil for a public suffix.", Example: `assert(kumo.string.psl_domain 'www.example.co.uk' == 'example.co.uk')`, Go: func(l *lua.LState) int {
			d, err := publicsuffix.EffectiveTLDPlusOne(domainArg(l))
			if err != nil {
				l.Push(lua.LNil)
				return 1
			}
			l.Push(lua.LString(d))
			return 1
		}},
		{Name: "psl_suffix", Args: "(domain)", Returns: "string", Since: serdeSince, Doc: "The public suffix that a domain is registered under, by Mozilla's Public Suffix List.", Example: `assert(kumo.string.psl_suffix 'www.example.co.uk' == 'co.uk')`, Go: func(l *lua.LState) int {
			d, _ := publicsuffix.PublicSuffix(domainArg(l))
			l.Push(lua.LString(d))
			return 1
		}},
	},
}

func domainArg(l *lua.LState) string {
	return strings.ToLower(strings.TrimSuffix(l.CheckString(1), "."))
}

func isSpace(r rune) bool { return strings.TrimSpace(string(r)) == "" }

func textTest(test func(s, part string) bool) lua.LGFunction {
	return func(l *lua.LState) int {
		l.Push(lua.LBool(test(l.CheckString(1), l.CheckString(2))))
		return 1
	}
}

func textMap(f func(string) string) lua.LGFunction {
	return func(l *lua.LState) int {
		l.Push(lua.LString(f(l.CheckString(1))))
		return 1
	}
}

func textReplace(l *lua.LState, n int, to string) int {
	s, from := l.CheckString(1), l.CheckString(2)
	k := strings.Count(s, from)
	if n >= 0 {
		k = min(k, n)
	}
	if len(to) > 0 && k > maxString/len(to) {
		l.RaiseError("resulting string too large (more than %d bytes)", maxString)
	}
	l.Push(lua.LString(strings.Replace(s, from, to, n)))
	return 1
}

func pushTexts(l *lua.LState, parts []string) int {
	if len(parts) > maxConvertNodes {
		Fail(l, errTooBig)
	}
	l.Push(ToLua(l, parts))
	return 1
}

// splitBack splits from the end; n is how many parts at most, negative for all.
func splitBack(s, sep string, n int) []string {
	var out []string
	if sep == "" {
		parts := strings.Split(s, "")
		for i := len(parts) - 1; i >= 0; i-- {
			out = append(out, parts[i])
		}
		return out
	}
	for n != 0 {
		i := strings.LastIndex(s, sep)
		if i < 0 || n == 1 {
			return append(out, s)
		}
		out = append(out, s[i+len(sep):])
		s = s[:i]
		n--
	}
	return out
}

// textWrap is kumo.string.wrap.
func textWrap(l *lua.LState) int {
	s, soft, hard := l.CheckString(1), l.OptInt(2, 75), l.OptInt(3, 900)
	if soft < 1 || hard < 1 {
		l.ArgError(2, "expected limits above zero")
	}
	l.Push(lua.LString(wrap(s, soft, max(hard, 1))))
	return 1
}

const lineBreak = "\r\n\t"

func wrap(s string, soft, hard int) string {
	var b strings.Builder
	line := 0
	for _, word := range strings.Fields(s) {
		if line > 0 {
			if line+1+len(word) > soft {
				b.WriteString(lineBreak)
				line = 0
			} else {
				b.WriteByte(' ')
				line++
			}
		}
		for len(word) > hard {
			b.WriteString(word[:hard] + lineBreak)
			word = word[hard:]
		}
		b.WriteString(word)
		line += len(word)
	}
	return b.String()
}
