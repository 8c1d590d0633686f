package cli

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Style is how a value stands out on a terminal.
type Style uint8

// The styles.
const (
	Plain Style = iota
	Strong
	Good
	Warning
	Bad
	Dim
)

// Styler is a column value that chooses its own style.
type Styler interface{ Style() Style }

// paint wraps s in the style's colour if the stream is a terminal that may have colours.
func (c *Console) paint(s string, st Style, tty bool) string {
	if !tty || !c.Color || st == Plain {
		return s
	}
	codes := [...]string{Strong: "1", Good: "32", Warning: "33", Bad: "31", Dim: "2"}
	return "\x1b[" + codes[st] + "m" + s + "\x1b[0m"
}

// Paint is s in a style on a terminal that has colours, and s elsewhere, for values that write their own text.
func (c *Console) Paint(s string, st Style) string { return c.paint(s, st, c.OutTTY) }

// Clip shortens s to n characters; the last one is then an ellipsis.
func Clip(s string, n int) string { return clip(s, n) }

var (
	stringerType = reflect.TypeFor[fmt.Stringer]()
	textType     = reflect.TypeFor[encoding.TextMarshaler]()
)

// cell is the text of one column of one row; "-" stands for nothing.
func (c *Console) cell(v reflect.Value) string {
	s := c.cellText(v)
	if s == "" {
		return "-"
	}
	return s
}

func (c *Console) cellText(v reflect.Value) string {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return c.timeText(x)
	case time.Duration:
		return ShortDuration(x)
	case encoding.TextMarshaler:
		b, _ := x.MarshalText()
		return tame(string(b))
	case fmt.Stringer:
		return tame(x.String())
	case error:
		return tame(x.Error())
	}
	switch v.Kind() {
	case reflect.String:
		return tame(v.String())
	case reflect.Bool:
		if v.Bool() {
			return "yes"
		}
		return ""
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', 6, 64)
	case reflect.Slice, reflect.Array:
		parts := make([]string, 0, v.Len())
		for i := range v.Len() {
			parts = append(parts, c.cellText(v.Index(i)))
		}
		return strings.Join(parts, ",")
	}
	return tame(fmt.Sprint(v.Interface()))
}

func (c *Console) timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if !c.OutTTY {
		return t.UTC().Format(time.RFC3339)
	}
	switch d := t.Sub(c.Now()); {
	case d > -time.Second && d < time.Second:
		return "now"
	case d > 0:
		return "in " + ShortDuration(d)
	default:
		return ShortDuration(-d) + " ago"
	}
}

// ShortDuration shows a duration with its two largest units: 4d2h, 20m, 1m30s, 250ms.
func ShortDuration(d time.Duration) string {
	if d < 0 {
		return "-" + ShortDuration(-d)
	}
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	units := [...]struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	var b strings.Builder
	for i, u := range units {
		n := d / u.size
		if n == 0 {
			continue
		}
		fmt.Fprintf(&b, "%d%s", n, u.name)
		if i+1 < len(units) {
			if m := (d % u.size) / units[i+1].size; m > 0 {
				fmt.Fprintf(&b, "%d%s", m, units[i+1].name)
			}
		}
		break
	}
	return b.String()
}

// Time is t as cells show it: relative on a terminal, absolute (RFC 3339, UTC) in a pipe; "" for the zero time.
func (c *Console) Time(t time.Time) string { return c.timeText(t) }

// Tame makes s safe for one line of a terminal, for values that write their own text (Texter).
func Tame(s string) string { return tame(s) }

// tame makes s safe for one cell: control characters, line separators and invalid UTF-8 are shown escaped.
func tame(s string) string {
	if strings.IndexFunc(s, wild) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case wild(r):
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// wild are the characters that move a cursor, end a line or reorder text (RFC 9839 and the bidi controls).
func wild(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' ||
		(r >= '\u202a' && r <= '\u202e') || (r >= '\u2066' && r <= '\u2069')
}

// tameLines is tame for talk, which may have several lines.
func tameLines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.ReplaceAll(tame(strings.ReplaceAll(lines[i], "\t", "    ")), "\t", " ")
	}
	return strings.Join(lines, "\n")
}

// clip shortens s to n characters; the last one is then an ellipsis.
func clip(s string, n int) string {
	if n <= 0 || utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}
