package smtp

import (
	"strconv"
	"strings"
)

// Enhanced is an enhanced mail system status code (RFC 3463). The zero value means none.
type Enhanced struct {
	Class   int `json:"class"`
	Subject int `json:"subject"`
	Detail  int `json:"detail"`
}

// IsZero reports whether there is no enhanced code.
func (e Enhanced) IsZero() bool { return e == Enhanced{} }

func (e Enhanced) String() string {
	if e.IsZero() {
		return ""
	}
	return string(e.Append(nil))
}

// Append appends "X.Y.Z".
func (e Enhanced) Append(dst []byte) []byte {
	dst = strconv.AppendInt(dst, int64(e.Class), 10)
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, int64(e.Subject), 10)
	dst = append(dst, '.')
	return strconv.AppendInt(dst, int64(e.Detail), 10)
}

// Reply is one SMTP reply. Text holds its lines joined by "\n", without code and enhanced code.
// Command is the verb that it answers, "." for the end of data, "" when it answers no command.
type Reply struct {
	Code     int
	Enhanced Enhanced
	Text     string
	Command  string
}

// Positive reports a 2xx or 3xx reply.
func (r Reply) Positive() bool { return r.Code >= 200 && r.Code < 400 }

// Permanent reports a 5xx reply.
func (r Reply) Permanent() bool { return r.Code >= 500 && r.Code < 600 }

// Content is the text on one line, as log records have it.
func (r Reply) Content() string { return strings.ReplaceAll(r.Text, "\n", " ") }

// String is `CODE X.Y.Z text` on one line: what the classifier and shaping rules match on.
func (r Reply) String() string {
	s := strconv.Itoa(r.Code)
	if !r.Enhanced.IsZero() {
		s += " " + r.Enhanced.String()
	}
	if r.Text != "" {
		s += " " + r.Content()
	}
	return s
}

// NewReply makes a reply from a code, an enhanced code such as "4.3.2" ("" for none) and a text. A malformed
// enhanced code is taken as part of the text.
func NewReply(code int, enhanced, text string) Reply {
	r := Reply{Code: code, Text: text}
	if enhanced == "" {
		return r
	}
	if e, ok := ParseEnhanced(enhanced); ok {
		r.Enhanced = e
		return r
	}
	r.Text = strings.TrimSpace(enhanced + " " + text)
	return r
}

// ParseEnhanced reads "X.Y.Z" (RFC 3463 2).
func ParseEnhanced(s string) (Enhanced, bool) {
	var part [3]int
	field := 0
	digits := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9' && digits < 3:
			part[field] = part[field]*10 + int(c-'0')
			digits++
		case c == '.' && digits > 0 && field < 2:
			field++
			digits = 0
		default:
			return Enhanced{}, false
		}
	}
	if field != 2 || digits == 0 || (part[0] != 2 && part[0] != 4 && part[0] != 5) {
		return Enhanced{}, false
	}
	return Enhanced{part[0], part[1], part[2]}, true
}

// Error is a refusal: Reply is what the peer hears, Detail what the log gets (a traceback, say), and
// Disconnect asks for the connection to be closed after the reply. Policies raise it with kumo.reject.
type Error struct {
	Reply      Reply
	Detail     string
	Disconnect bool
	Cause      error
}

func (e *Error) Error() string {
	if e.Detail != "" {
		return e.Reply.String() + ": " + e.Detail
	}
	return e.Reply.String()
}

func (e *Error) Unwrap() error { return e.Cause }
