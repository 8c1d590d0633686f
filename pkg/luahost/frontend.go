package luahost

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// MaxSource is the largest policy file that is read, in bytes.
const MaxSource = 1 << 20

// SyntaxError is a policy text that cannot be compiled.
type SyntaxError struct {
	File string
	Line int
	Msg  string
	Hint string // what to write instead; may be empty
}

// Error is one line: "init.lua:12: unexpected symbol near '}' (hint: …)".
func (e *SyntaxError) Error() string {
	s := fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
	if e.Hint != "" {
		s += " (hint: " + e.Hint + ")"
	}
	return s
}

// Compile turns Lua 5.4 text into code that any State may run. name stands in errors and tracebacks. gopher-lua is
// only given text whose size and nesting are bounded: its parser and compiler recurse, and a Go stack that overflows
// ends the process.
func Compile(name string, src []byte) (proto *lua.FunctionProto, err error) {
	if len(src) > MaxSource {
		return nil, &SyntaxError{File: name, Line: 1, Msg: fmt.Sprintf("the file has %d bytes, more than the limit of %d", len(src), MaxSource)}
	}
	text, err := translate(name, src)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			proto, err = nil, &SyntaxError{File: name, Line: 1, Msg: fmt.Sprintf("cannot be compiled: %v", r)}
		}
	}()
	chunk, err := parse.Parse(bytes.NewReader(text), name)
	if err != nil {
		return nil, syntaxError(name, text, err)
	}
	proto, err = lua.Compile(chunk, name)
	if err != nil {
		return nil, syntaxError(name, text, err)
	}
	return proto, nil
}

// syntaxError words gopher-lua's errors as Lua does.
func syntaxError(name string, src []byte, err error) error {
	var p *parse.Error
	if errors.As(err, &p) {
		e := &SyntaxError{File: name, Line: p.Pos.Line, Msg: strings.TrimSpace(p.Message)}
		if p.Pos.Line == parse.EOF {
			e.Line = 1 + bytes.Count(bytes.TrimRight(src, "\n"), []byte{'\n'})
			e.Msg += " near <eof>"
		} else if p.Token != "" {
			e.Msg += " near '" + clip(p.Token, 40) + "'"
		}
		return e
	}
	var c *lua.CompileError
	if errors.As(err, &c) {
		return &SyntaxError{File: name, Line: c.Line, Msg: c.Message}
	}
	return &SyntaxError{File: name, Line: 1, Msg: err.Error()}
}

// clip shortens s to about n bytes for use in an error.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
