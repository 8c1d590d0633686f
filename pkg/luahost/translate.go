package luahost

import (
	"strconv"
	"unicode/utf8"
)

// Bounds of one text. Lua itself allows 200 levels.
const (
	maxNesting = 200  // brackets and blocks within each other
	maxChain   = 1000 // operators, calls and indexes in one expression; elseif in one if
)

// translator makes one pass over the tokens of a text. It copies what gopher-lua understands and rewrites what it
// would silently get wrong, keeping every line where it was.
type translator struct {
	name string
	src  []byte
	pos  int
	line int
	out  []byte

	levels  []level
	operand bool // the last token ends an operand
	local   bool // inside the name list of a local statement
}

// level counts what makes the compiler recurse inside one bracket or block.
type level struct{ chain, elseifs int }

// translate is the pre-pass of Compile.
func translate(name string, src []byte) ([]byte, error) {
	t := &translator{name: name, src: src, line: 1, out: make([]byte, 0, len(src)+16), levels: make([]level, 1, 32)}
	if len(src) > 0 && src[0] == '#' { // a shebang line
		for t.pos < len(src) && src[t.pos] != '\n' {
			t.pos++
		}
	}
	for t.pos < len(src) {
		if err := t.next(); err != nil {
			return nil, err
		}
	}
	return t.out, nil
}

func (t *translator) fail(msg, hint string) error {
	return &SyntaxError{File: t.name, Line: t.line, Msg: msg, Hint: hint}
}

// next handles one token, comment or run of white space.
func (t *translator) next() error {
	c := t.src[t.pos]
	switch {
	case c == '\n':
		t.line++
		t.copy(1)
	case c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f':
		t.copy(1)
	case c == '-' && t.at(1) == '-':
		t.comment()
	case c == '"' || c == '\'':
		return t.quoted()
	case c == '[' && (t.at(1) == '[' || t.at(1) == '='):
		if n := t.longBracket(t.pos); n > 0 {
			t.copyLines(n)
			return t.afterOperand(true)
		}
		return t.symbol()
	case isNameByte(c) && !isDigit(c):
		return t.word()
	case isDigit(c) || c == '.' && isDigit(t.at(1)):
		t.number()
		return t.afterOperand(false)
	default:
		return t.symbol()
	}
	return nil
}

func (t *translator) at(n int) byte {
	if t.pos+n < len(t.src) {
		return t.src[t.pos+n]
	}
	return 0
}

func (t *translator) copy(n int) {
	t.out = append(t.out, t.src[t.pos:t.pos+n]...)
	t.pos += n
}

// copyLines copies n bytes that may hold line ends.
func (t *translator) copyLines(n int) {
	for _, c := range t.src[t.pos : t.pos+n] {
		if c == '\n' {
			t.line++
		}
	}
	t.copy(n)
}

func (t *translator) comment() {
	if n := t.longBracket(t.pos + 2); n > 0 {
		t.copyLines(n + 2)
		return
	}
	n := 2
	for t.pos+n < len(t.src) && t.src[t.pos+n] != '\n' {
		n++
	}
	t.copy(n)
}

// longBracket is the length of the long bracket that starts at i, 0 if there is none. An unfinished one reaches to
// the end; the parser complains about it.
func (t *translator) longBracket(i int) int {
	start := i
	if i >= len(t.src) || t.src[i] != '[' {
		return 0
	}
	i++
	signs := 0
	for i < len(t.src) && t.src[i] == '=' {
		i++
		signs++
	}
	if i >= len(t.src) || t.src[i] != '[' {
		return 0
	}
	for i++; i < len(t.src); i++ {
		if t.src[i] != ']' {
			continue
		}
		j := i + 1
		for j < len(t.src) && t.src[j] == '=' {
			j++
		}
		if j < len(t.src) && t.src[j] == ']' && j-i-1 == signs {
			return j + 1 - start
		}
	}
	return len(t.src) - start
}

func (t *translator) number() {
	n := 1
	for t.pos+n < len(t.src) {
		c := t.src[t.pos+n]
		sign := (c == '+' || c == '-') && (t.src[t.pos+n-1]|0x20 == 'e' || t.src[t.pos+n-1]|0x20 == 'p')
		if !isNameByte(c) && c != '.' && !sign || c == '.' && t.at(n+1) == '.' {
			break
		}
		n++
	}
	t.copy(n)
}

// quoted copies a string, rewriting \xNN, \u{…} and \z. Line ends that \z swallows come again after the string, so
// that line numbers stay right.
func (t *translator) quoted() error {
	quote := t.src[t.pos]
	t.copy(1)
	swallowed := 0
	for {
		if t.pos >= len(t.src) || t.src[t.pos] == '\n' {
			return t.fail("unfinished string", "")
		}
		switch c := t.src[t.pos]; c {
		case quote:
			t.copy(1)
			for range swallowed {
				t.out = append(t.out, '\n')
			}
			return t.afterOperand(true)
		case '\\':
			n, err := t.escape()
			if err != nil {
				return err
			}
			swallowed += n
		default:
			t.copy(1)
		}
	}
}

// escape handles one backslash; it returns how many line ends it swallowed.
func (t *translator) escape() (int, error) {
	switch c := t.at(1); {
	case c == 'x':
		v, err := strconv.ParseUint(string(t.src[min(t.pos+2, len(t.src)):min(t.pos+4, len(t.src))]), 16, 8)
		if err != nil {
			return 0, t.fail(`hexadecimal digits expected after \x`, "")
		}
		t.pos += 4
		t.putByte(byte(v))
	case c == 'u':
		return 0, t.unicodeEscape()
	case c == 'z':
		lines := 0
		for t.pos += 2; t.pos < len(t.src); t.pos++ {
			switch t.src[t.pos] {
			case '\n':
				lines++
				t.line++
				continue
			case ' ', '\t', '\r', '\v', '\f':
				continue
			}
			break
		}
		return lines, nil
	case c == '\n':
		t.line++
		t.copy(2)
	case c == '\r' && t.at(2) == '\n':
		t.line++
		t.pos += 3
		t.out = append(t.out, '\\', '\n')
	case isDigit(c):
		return 0, t.decimalEscape()
	case c == 0 && t.pos+1 >= len(t.src):
		return 0, t.fail("unfinished string", "")
	case isEscape(c):
		t.copy(2)
	default:
		return 0, t.fail(`invalid escape sequence '\`+string(rune(c))+"'", `write \\ for a backslash`)
	}
	return 0, nil
}

func isEscape(c byte) bool {
	switch c {
	case 'a', 'b', 'f', 'n', 'r', 't', 'v', '\\', '"', '\'':
		return true
	}
	return false
}

func (t *translator) decimalEscape() error {
	n, v := 0, 0
	for n < 3 && isDigit(t.at(1+n)) {
		v = v*10 + int(t.at(1+n)-'0')
		n++
	}
	if v > 255 {
		return t.fail("decimal escape too large", "")
	}
	t.pos += 1 + n
	t.putByte(byte(v))
	return nil
}

// unicodeEscape handles \u{XXX}: up to 0x7FFFFFFF in Lua, up to 0x10FFFF here.
func (t *translator) unicodeEscape() error {
	i := t.pos + 3
	for i < len(t.src) && i < t.pos+12 && t.src[i] != '}' {
		i++
	}
	if t.at(2) != '{' || i >= len(t.src) || t.src[i] != '}' {
		return t.fail(`malformed \u{XXX} escape`, "")
	}
	v, err := strconv.ParseUint(string(t.src[t.pos+3:i]), 16, 32)
	if err != nil || v > utf8.MaxRune {
		return t.fail(`malformed \u{XXX} escape`, "the largest character is 10FFFF")
	}
	t.pos = i + 1
	var b [utf8.UTFMax]byte
	for _, c := range b[:utf8.EncodeRune(b[:], rune(v))] {
		t.putByte(c)
	}
	return nil
}

// putByte writes c as three decimal digits, which needs no look at what follows.
func (t *translator) putByte(c byte) {
	t.out = append(t.out, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c)
}
