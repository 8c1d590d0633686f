package option

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxShown is the length in bytes at which a value in an error is cut.
const maxShown = 80

// maxListed is how many bad options one Error prints; all of them are in More.
const maxListed = 10

// Error is a bad option: where it was set, which one, and what is wrong with it, in KumoMTA's words.
// More holds the other bad options of the same call.
type Error struct {
	What   string // "make_egress_path"
	Option string // "max_ready"
	Origin Origin
	Msg    string // `invalid type: string "x", expected an integer`
	Hint   string // "did you mean `max_ready`?"
	More   []*Error

	safe string // Msg without the value, for options that hold secrets
}

// Error is one line for each bad option:
//
//	init.lua:41: make_egress_path: deserialize error: <what is wrong>, <hint>, while processing option max_ready
func (e *Error) Error() string {
	if len(e.More) == 0 {
		return e.line()
	}
	var b strings.Builder
	b.WriteString(e.line())
	for i, m := range e.More {
		if i == maxListed-1 {
			fmt.Fprintf(&b, "\n(and %d more)", len(e.More)-i)
			break
		}
		b.WriteByte('\n')
		b.WriteString(m.line())
	}
	return b.String()
}

func (e *Error) line() string {
	var b strings.Builder
	if e.Origin.At != "" {
		b.WriteString(e.Origin.At + ": ")
	}
	if e.What != "" {
		b.WriteString(e.What + ": ")
	}
	b.WriteString("deserialize error: " + e.Msg)
	if e.Hint != "" {
		b.WriteString(", " + e.Hint)
	}
	b.WriteString(", while processing ")
	if e.Option == "" {
		b.WriteString("options")
	} else {
		b.WriteString("option " + e.Option)
	}
	return b.String()
}

// Unwrap gives errors.As and errors.Is the other bad options of the call.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.More))
	for i, m := range e.More {
		errs[i] = m
	}
	return errs
}

// Warning is an option that works but should be changed.
type Warning struct {
	What   string `json:"what"`
	Option string `json:"option"`
	Origin Origin `json:"origin"`
	Msg    string `json:"msg"`
}

// String is one line: "init.lua:4: make_egress_path: option `x` is deprecated: use y".
func (w Warning) String() string {
	s := w.What + ": " + w.Msg
	if w.Origin.At != "" {
		s = w.Origin.At + ": " + s
	}
	return s
}

// InvalidType is the error of a value of the wrong kind; expected is a noun with its article, "an integer".
func InvalidType(v any, expected string) *Error {
	return &Error{
		Msg:  "invalid type: " + Describe(v) + ", expected " + expected,
		safe: "invalid type: " + kindOf(v) + ", expected " + expected,
	}
}

// InvalidValue is the error of a value of the right kind that cannot be; expected is a noun with its article.
func InvalidValue(v any, expected string) *Error {
	return &Error{
		Msg:  "invalid value: " + Describe(v) + ", expected " + expected,
		safe: "invalid value: a " + kindOf(v) + " that is not shown, expected " + expected,
	}
}

// under puts e below the option (or element, or key) called name.
func (e *Error) under(name string) *Error {
	switch {
	case e.Option == "":
		e.Option = name
	case e.Option[0] == '[':
		e.Option = name + e.Option
	default:
		e.Option = name + "." + e.Option
	}
	return e
}

// redact takes the value out of the message.
func (e *Error) redact() *Error {
	e.Msg, e.Hint = e.safe, ""
	if e.Msg == "" {
		e.Msg = "invalid value: not shown, for it is a secret"
	}
	return e
}

// wrapDecoder makes an *Error of what a Decoder or Check returned, in words that say "invalid". Of several it keeps
// the first, as a nested table does.
func wrapDecoder(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{Option: e.Option, Origin: e.Origin, Msg: e.Msg, Hint: e.Hint, safe: e.safe}
	}
	msg := err.Error()
	if !strings.HasPrefix(msg, "invalid") {
		msg = "invalid value: " + msg
	}
	return &Error{Msg: msg}
}

// join makes one error of several: unknown fields come first, then the others in the order of declaration.
func join(errs []*Error) *Error {
	first := errs[0]
	first.More = append(first.More, errs[1:]...)
	return first
}

// Describe is a value as errors show it: its kind and, cut at about 80 bytes, itself.
func Describe(v any) string {
	switch x := v.(type) {
	case string:
		return "string " + strconv.Quote(cut(x))
	case int64:
		return "integer `" + strconv.FormatInt(x, 10) + "`"
	case float64:
		return "floating point `" + strconv.FormatFloat(x, 'g', -1, 64) + "`"
	case bool:
		return "boolean `" + strconv.FormatBool(x) + "`"
	}
	return kindOf(v)
}

// kindOf names the kind of a value in the words of a deserializer.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case int64:
		return "integer"
	case float64:
		return "floating point"
	case bool:
		return "boolean"
	case []any:
		return "sequence"
	case map[string]any:
		return "map"
	}
	return fmt.Sprintf("%T", v)
}

// cut shortens s to maxShown bytes without splitting a character.
func cut(s string) string {
	if len(s) <= maxShown {
		return s
	}
	n := maxShown
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// oneOf lists names as errors do: one of `a`, `b`.
func oneOf(names []string) string {
	quoted := slices.Clone(names)
	for i, n := range quoted {
		quoted[i] = "`" + n + "`"
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return "one of " + strings.Join(quoted, ", ")
}
