package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Exit codes of every verb. Each verb's manual page lists those that it uses.
const (
	CodeOK          = 0   // done; finding nothing is done, too
	CodeFailed      = 1   // failed
	CodeUsage       = 2   // wrong flags or arguments
	CodePartly      = 3   // some of it was done
	CodeLint        = 4   // a check found errors
	CodeNoSpool     = 10  // there is no spool at the place
	CodeSpoolHeld   = 11  // another process owns the spool; its pid is named
	CodeUnreachable = 12  // the daemon does not answer
	CodeInterrupted = 130 // the user interrupted it
)

// Exit is an error that knows its exit code. Msg reads `<what>: <why>`; Hint says what the user can do.
type Exit struct {
	Code  int
	Msg   string
	Hint  string
	Cause error // wrapped; its text follows Msg
}

// Errorf makes an Exit with the exit code given. A %w operand becomes its Cause.
func Errorf(code int, format string, args ...any) *Exit {
	err := fmt.Errorf(format, args...)
	return &Exit{Code: code, Msg: err.Error(), Cause: errors.Unwrap(err)}
}

// Usagef is an error in flags or arguments: exit code 2.
func Usagef(format string, args ...any) *Exit { return Errorf(CodeUsage, format, args...) }

// Failf is an ordinary failure: exit code 1.
func Failf(format string, args ...any) *Exit { return Errorf(CodeFailed, format, args...) }

// WithHint adds what the user can do about it.
func (e *Exit) WithHint(format string, args ...any) *Exit {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

func (e *Exit) Error() string {
	if e.Msg == "" && e.Cause != nil {
		return e.Cause.Error()
	}
	return e.Msg
}

func (e *Exit) Unwrap() error { return e.Cause }

// CodeOf is the exit code that err stands for.
func CodeOf(err error) int {
	var e *Exit
	switch {
	case err == nil:
		return CodeOK
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.Canceled):
		return CodeInterrupted
	}
	return CodeFailed
}

// Fail reports err on stderr in the console's format and returns its exit code. An error without text (an Exit with
// nothing but a code) is silent: the verb has said everything.
func (c *Console) Fail(err error) int {
	code := CodeOf(err)
	if err == nil || err.Error() == "" {
		return code
	}
	var hint string
	var e *Exit
	if errors.As(err, &e) {
		hint = e.Hint
	}
	if c.Format == JSON || c.Format == JSONL {
		writeJSONError(c.Err, code, err.Error(), hint)
		return code
	}
	fmt.Fprintf(c.Err, "%s %s\n", c.paint("kumo:", Bad, c.ErrTTY), tameLines(err.Error()))
	if hint != "" {
		fmt.Fprintf(c.Err, "%s %s\n", c.paint("hint:", Dim, c.ErrTTY), tameLines(hint))
	}
	return code
}

func writeJSONError(w io.Writer, code int, message, hint string) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
	}{code, message, hint})
}
