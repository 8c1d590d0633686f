package jinja

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/parser"
)

// MaxOutput bounds what a template prints, in bytes.
const MaxOutput = 256 << 10

// ErrTooLong is a template that prints more than MaxOutput.
var ErrTooLong = fmt.Errorf("the template prints more than %d bytes", MaxOutput)

// Error is a template that cannot be used.
type Error struct {
	Line int // 0 when it is not known
	Msg  string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Msg
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
}

// Template is a compiled template. It may be used by many goroutines.
type Template struct{ t *exec.Template }

// Compile reads a template. Errors are *Error.
func Compile(source string) (t *Template, err error) {
	defer caught(&err)
	env := environment()
	text, err := rewrite(source, env)
	if err != nil {
		return nil, err
	}
	parsed, err := exec.NewTemplate(only, config.New(), alone(text), env)
	if err != nil {
		return nil, locate(explain(err, text), source, text)
	}
	return &Template{parsed}, nil
}

// locate finds the line of an error that names none: the first that is enough to cause it.
func locate(e *Error, source, text string) error {
	if e.Line != 0 {
		return e
	}
	end := 0
	for n, line := range strings.Split(text, "\n") {
		end += len(line) + 1
		if n == maxLocated || end > len(text) {
			break
		}
		_, err := exec.NewTemplate(only, config.New(), alone(text[:end]), environment())
		if err != nil && explain(err, text[:end]).Msg == e.Msg {
			e.Line = n + 1
			return e
		}
	}
	e.Line = strings.Count(strings.TrimRight(source, "\n"), "\n") + 1
	return e
}

// maxLocated bounds the search for the line of an error.
const maxLocated = 500

// Render appends what the template makes of the variables to b. The values are what JSON has: nil, bool, int64,
// float64, string, []any and map[string]any; Prepare makes nil known. Errors are *Error, and ErrTooLong; b is
// returned as it was then.
func (t *Template) Render(b []byte, vars map[string]any) (out []byte, err error) {
	w := &bounded{b: b, limit: len(b) + MaxOutput}
	defer func() {
		if err != nil {
			out = b
		}
	}()
	defer caught(&err)
	if err := t.t.Execute(w, exec.NewContext(vars)); err != nil {
		if w.full {
			return b, ErrTooLong
		}
		return b, explain(err, "")
	}
	return w.b, nil
}

// caught turns a panic of the library (a division by zero is one) into an error.
func caught(err *error) {
	if p := recover(); p != nil {
		*err = &Error{Msg: fmt.Sprint(p)}
	}
}

// bounded is a writer that appends until its limit.
type bounded struct {
	b     []byte
	limit int
	full  bool
}

func (w *bounded) Write(p []byte) (int, error) {
	if len(w.b)+len(p) > w.limit {
		w.full = true
		return 0, ErrTooLong
	}
	w.b = append(w.b, p...)
	return len(p), nil
}

// WriteString implements io.StringWriter.
func (w *bounded) WriteString(s string) (int, error) {
	if len(w.b)+len(s) > w.limit {
		w.full = true
		return 0, ErrTooLong
	}
	w.b = append(w.b, s...)
	return len(s), nil
}

// only is the name of the one template that there is.
const only = "template"

// alone is a loader that knows one template and no files.
type alone string

var errNoFiles = errors.New("templates read no files")

// Read implements loaders.Loader.
func (a alone) Read(path string) (io.Reader, error) {
	if path != only {
		return nil, errNoFiles
	}
	return bytes.NewReader([]byte(a)), nil
}

// Resolve implements loaders.Loader.
func (alone) Resolve(path string) (string, error) {
	if path != only {
		return "", errNoFiles
	}
	return path, nil
}

// Inherit implements loaders.Loader.
func (a alone) Inherit(string) (loaders.Loader, error) { return a, nil }

// statements are the ones that read no files.
var statements = []string{"autoescape", "block", "call", "do", "filter", "for", "if", "macro", "raw", "set", "with", "break", "continue"}

// environment is what templates can use.
func environment() *exec.Environment {
	known := make(map[string]parser.ControlStructureParser, len(statements))
	for _, name := range statements {
		if p, ok := builtins.ControlStructures.Get(name); ok {
			known[name] = p
		}
	}
	filters := exec.NewFilterSet(map[string]exec.FilterFunction{}).Update(builtins.Filters).Update(exec.NewFilterSet(ownFilters))
	tests := exec.NewTestSet(map[string]exec.TestFunction{}).Update(builtins.Tests).Update(exec.NewTestSet(ownTests))
	return &exec.Environment{
		Context: exec.NewContext(globals()), Filters: filters, Tests: tests,
		ControlStructures: exec.NewControlStructureSet(known), Methods: builtins.Methods,
	}
}

var (
	lineOf = regexp.MustCompile(`(?i)\bline:? ?=?(\d+)`)
	noise  = regexp.MustCompile(` ?\(?Line: ?\d+ Col: ?\d+(, near "[^"]*")?\)?| at line \d+:?|unable to execute template: |` +
		`filtered_expression\(|unable to evaluate filter &\{<.*?\]\}: |invalid call to filter '\w+': |Unable to (render expression|execute controlStructure):? `)
)

// explain makes an *Error of the library's error, which repeats the whole source.
func explain(err error, source string) *Error {
	text := err.Error()
	text = strings.TrimPrefix(text, fmt.Sprintf("failed to parse template '%s': ", source))
	e := &Error{}
	if m := lineOf.FindStringSubmatch(text); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
	}
	text = strings.ReplaceAll(noise.ReplaceAllString(text, ""), printFilter, "print")
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	e.Msg = strings.TrimSpace(text)
	return e
}
