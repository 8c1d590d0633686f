package luahost

import "fmt"

// word handles a name or keyword.
func (t *translator) word() error {
	n := 1
	for t.pos+n < len(t.src) && isNameByte(t.src[t.pos+n]) {
		n++
	}
	w := string(t.src[t.pos : t.pos+n])
	t.copy(n)
	names := t.local
	t.local = false
	switch w {
	case "function", "do", "if", "repeat":
		return t.open()
	case "end", "until":
		t.close()
		t.operand = w == "end" // function … end is an operand
	case "elseif":
		l := t.top()
		l.elseifs++
		l.chain = 0
		t.operand = false
		if l.elseifs > maxChain {
			return t.fail(fmt.Sprintf("more than %d elseif in one statement", maxChain), "use a table")
		}
	case "local":
		t.local = true
		t.top().chain = 0
		t.operand = false
	case "and", "or", "not":
		return t.operator()
	case "then", "else", "while", "for", "in", "return", "break", "goto":
		t.top().chain = 0
		t.operand = false
	default:
		t.local = names
		return t.afterOperand(false)
	}
	return nil
}

// afterOperand notes the end of an operand. Two in a row are two statements, except that a string after a name is
// a call.
func (t *translator) afterOperand(str bool) error {
	if t.operand {
		if str {
			return t.operator2(true)
		}
		t.top().chain = 0
	}
	t.operand = true
	return nil
}

// symbol handles an operator or bracket.
func (t *translator) symbol() error {
	c, d := t.src[t.pos], t.at(1)
	if err := t.newOperator(c, d); err != nil {
		return err
	}
	switch {
	case c == '(' || c == '{' || c == '[':
		if t.operand {
			if err := t.operator2(false); err != nil {
				return err
			}
		}
		t.copy(1)
		t.local = false
		return t.open()
	case c == ')' || c == '}' || c == ']':
		t.copy(1)
		t.close()
		t.operand = true
		return nil
	case c == '<' && t.local:
		return t.attribute()
	case c == ',':
		t.copy(1)
		t.top().chain = 0
		t.operand = false
		return nil
	case c == ';' || c == '=' && d != '=':
		t.copy(1)
		t.local = false
		t.top().chain = 0
		t.operand = false
		return nil
	case c == ':' && d == ':': // a label
		t.copy(2)
		t.operand = false
		return nil
	}
	n := 1
	switch string([]byte{c, d}) {
	case "==", "~=", "<=", ">=", "..":
		n = 2
	}
	if c == '.' && d == '.' && t.at(2) == '.' {
		t.copy(3)
		return t.afterOperand(false)
	}
	t.copy(n)
	return t.operator()
}

// newOperator refuses what Lua has had since 5.3 and gopher-lua has not.
func (t *translator) newOperator(c, d byte) error {
	hint := ""
	op := string(rune(c))
	switch {
	case c == '/' && d == '/':
		op, hint = "//", "use math.floor(a / b)"
	case c == '<' && d == '<', c == '>' && d == '>':
		op, hint = string([]byte{c, d}), "use multiplication or math.floor(a / 2^n)"
	case c == '&' || c == '|' || c == '~' && d != '=':
		hint = "bitwise operators are not offered in policies"
	default:
		return nil
	}
	return t.fail("operator '"+op+"' is not available", hint)
}

// attribute handles `<const>`, which is dropped, and `<close>`, which is refused.
func (t *translator) attribute() error {
	i := t.pos + 1
	for i < len(t.src) && (t.src[i] == ' ' || t.src[i] == '\t') {
		i++
	}
	start := i
	for i < len(t.src) && isNameByte(t.src[i]) {
		i++
	}
	name := string(t.src[start:i])
	for i < len(t.src) && (t.src[i] == ' ' || t.src[i] == '\t') {
		i++
	}
	if i >= len(t.src) || t.src[i] != '>' || name != "const" && name != "close" {
		return t.fail("unknown attribute '"+clip(name, 40)+"'", "")
	}
	if name == "close" {
		return t.fail("attribute '<close>' is not available", "call :close() when done")
	}
	t.pos = i + 1
	return nil
}

func (t *translator) operator() error {
	t.operand = false
	return t.count()
}

// operator2 counts a call or index, after which an operand has ended again or a bracket opens.
func (t *translator) operator2(operand bool) error {
	t.operand = operand
	return t.count()
}

func (t *translator) count() error {
	l := t.top()
	l.chain++
	if l.chain > maxChain {
		return t.fail(fmt.Sprintf("expression with more than %d operators", maxChain), "split it, or use table.concat")
	}
	return nil
}

func (t *translator) top() *level { return &t.levels[len(t.levels)-1] }

func (t *translator) open() error {
	t.operand = false
	if len(t.levels) > maxNesting {
		return t.fail(fmt.Sprintf("blocks or brackets nested more than %d deep", maxNesting), "")
	}
	t.levels = append(t.levels, level{})
	return nil
}

func (t *translator) close() {
	if len(t.levels) > 1 {
		t.levels = t.levels[:len(t.levels)-1]
	}
}
