package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// What the named formats stand for, in the words of the "time" crate's format descriptions.
var (
	dateForms = map[string]string{
		"short":  "[year]-[month]-[day]",
		"medium": "[month repr:short] [day padding:none] [year]",
		"long":   "[month repr:long] [day padding:none] [year]",
		"full":   "[weekday], [month repr:long] [day padding:none] [year]",
	}
	datetimeForms = map[string]string{
		"short":  "[year]-[month]-[day] [hour]:[minute]",
		"medium": "[month repr:short] [day padding:none] [year] [hour]:[minute]",
		"long":   "[month repr:long] [day padding:none] [year] [hour]:[minute]:[second]",
		"full":   "[weekday], [month repr:long] [day padding:none] [year] [hour]:[minute]:[second]",
		"unix":   "[unix_timestamp]",
		"iso":    isoForm,
	}
	timeForms = map[string]string{
		"short":  "[hour]:[minute]",
		"medium": "[hour]:[minute]",
		"long":   "[hour]:[minute]:[second]",
		"full":   "[hour]:[minute]:[second].[subsecond]",
		"unix":   "[unix_timestamp]",
		"iso":    isoForm,
	}
)

const isoForm = "[year]-[month]-[day]T[hour]:[minute]:[second][offset_hour sign:mandatory]:[offset_minute]"

// timeFilter makes a filter that shows a moment. Its format comes from the argument format, else from the variable
// of that name, else it is medium; its time zone from the argument tz, else from TIMEZONE, else the value's own.
func timeFilter(variable string, forms map[string]string) exec.FilterFunction {
	return func(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
		if in.IsError() {
			return in
		}
		t, err := moment(in)
		if err != nil {
			return exec.AsValue(err)
		}
		setting := func(arg, variable, fallback string) string {
			if v, ok := params.KwArgs[arg]; ok && !isNull(v) {
				return v.String()
			}
			if v, ok := e.Environment.Context.Get(variable); ok {
				return fmt.Sprint(v)
			}
			return fallback
		}
		if zone := setting("tz", "TIMEZONE", "original"); zone != "original" {
			place, err := time.LoadLocation(zone)
			if err != nil {
				return exec.AsValue(fmt.Errorf("time zone %q: %w", zone, err))
			}
			t = t.In(place)
		}
		format := setting("format", variable, "medium")
		if named, ok := forms[format]; ok {
			format = named
		}
		b, err := appendMoment(nil, t, format)
		if err != nil {
			return exec.AsValue(err)
		}
		return exec.AsValue(string(b))
	}
}

// moment reads a Unix timestamp or a date.
func moment(v *exec.Value) (time.Time, error) {
	if v.IsInteger() {
		return time.Unix(int64(v.Integer()), 0).UTC(), nil
	}
	if v.IsFloat() {
		return time.UnixMicro(int64(v.Float() * 1e6)).UTC(), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateTime, time.DateOnly, time.RFC1123Z, time.RFC1123} {
		if t, err := time.Parse(layout, v.String()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%.50q is no time: want a Unix timestamp or an ISO 8601 date", v.String())
}

// appendMoment formats t by a description with parts in brackets; "[[" is a bracket.
func appendMoment(b []byte, t time.Time, format string) ([]byte, error) {
	for format != "" {
		text, rest, found := strings.Cut(format, "[")
		b = append(b, text...)
		if !found {
			return b, nil
		}
		if strings.HasPrefix(rest, "[") {
			b, format = append(b, '['), rest[1:]
			continue
		}
		part, after, closed := strings.Cut(rest, "]")
		if !closed {
			return b, fmt.Errorf("time format: %q has no closing bracket", rest)
		}
		var ok bool
		if b, ok = appendPart(b, t, strings.Fields(part)); !ok {
			return b, fmt.Errorf("time format: [%s] is not known", part)
		}
		format = after
	}
	return b, nil
}

// part is one bracket of a format: its name and its modifiers.
type part struct {
	padding, repr, sign, digits string
}

func appendPart(b []byte, t time.Time, words []string) ([]byte, bool) {
	if len(words) == 0 {
		return b, false
	}
	p := part{padding: "zero"}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, ":")
		switch name {
		case "padding":
			p.padding = value
		case "repr":
			p.repr = value
		case "sign":
			p.sign = value
		case "digits":
			p.digits = value
		default:
			return b, false
		}
	}
	_, offset := t.Zone()
	switch words[0] {
	case "year":
		return p.number(b, t.Year(), 4), true
	case "month":
		return p.name(b, t.Month().String(), int(t.Month())), true
	case "day":
		return p.number(b, t.Day(), 2), true
	case "ordinal":
		return p.number(b, t.YearDay(), 3), true
	case "weekday":
		if p.repr == "" {
			p.repr = "long"
		}
		return p.name(b, t.Weekday().String(), int(t.Weekday())), true
	case "hour":
		if p.repr == "12" {
			return p.number(b, (t.Hour()+11)%12+1, 2), true
		}
		return p.number(b, t.Hour(), 2), true
	case "minute":
		return p.number(b, t.Minute(), 2), true
	case "second":
		return p.number(b, t.Second(), 2), true
	case "subsecond":
		return p.fraction(b, t.Nanosecond()), true
	case "period":
		return t.AppendFormat(b, "PM"), true
	case "offset_hour":
		return p.offset(b, offset), true
	case "offset_minute":
		return p.number(b, max(offset, -offset)/60%60, 2), true
	case "unix_timestamp":
		return strconv.AppendInt(b, t.Unix(), 10), true
	}
	return b, false
}

// number appends n, padded to width as the modifiers say.
func (p part) number(b []byte, n, width int) []byte {
	text := strconv.Itoa(n)
	pad := "0"
	switch p.padding {
	case "none":
		width = 0
	case "space":
		pad = " "
	}
	return append(append(b, strings.Repeat(pad, max(width-len(text), 0))...), text...)
}

// name appends a word, in full or its first three letters, or its number.
func (p part) name(b []byte, word string, n int) []byte {
	switch p.repr {
	case "long":
		return append(b, word...)
	case "short":
		return append(b, word[:3]...)
	}
	return p.number(b, n, 2)
}

// fraction appends a part of a second: as many digits as asked for, else as needed, but at least one.
func (p part) fraction(b []byte, nanos int) []byte {
	text := fmt.Sprintf("%09d", nanos)
	if n, err := strconv.Atoi(p.digits); err == nil && n >= 1 && n <= 9 {
		return append(b, text[:n]...)
	}
	text = strings.TrimRight(text, "0")
	if text == "" {
		text = "0"
	}
	return append(b, text...)
}

func (p part) offset(b []byte, seconds int) []byte {
	switch {
	case seconds < 0:
		b = append(b, '-')
	case p.sign == "mandatory":
		b = append(b, '+')
	}
	return p.number(b, max(seconds, -seconds)/3600, 2)
}
