package option

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time, never negative, up to 292 years. An option is given as a number of seconds (integer
// or not) or as text such as "5 mins", "1h 30m", "1 day", "500ms": KumoMTA's, hence humantime's, units.
type Duration time.Duration

// unitLength gives the length of each unit's names; a month is 30.44 days and a year 365.25 days, as in humantime.
func unitLength(unit string) (time.Duration, bool) {
	switch unit {
	case "nanos", "nsec", "ns":
		return time.Nanosecond, true
	case "micros", "usec", "us", "µs", "μs":
		return time.Microsecond, true
	case "millis", "msec", "ms":
		return time.Millisecond, true
	case "seconds", "second", "secs", "sec", "s":
		return time.Second, true
	case "minutes", "minute", "mins", "min", "m":
		return time.Minute, true
	case "hours", "hour", "hrs", "hr", "h":
		return time.Hour, true
	case "days", "day", "d":
		return 24 * time.Hour, true
	case "weeks", "week", "wks", "wk", "w":
		return 7 * 24 * time.Hour, true
	case "months", "month", "M":
		return 2_630_016 * time.Second, true
	case "years", "year", "yrs", "yr", "y":
		return 31_557_600 * time.Second, true
	}
	return 0, false
}

const durationForm = `a duration such as "5 mins" or "1h 30m", or a number of seconds`

// ParseDuration reads "1h 30m", "90s", "1.5 days", "0". Units may follow their number with or without a space.
func ParseDuration(s string) (Duration, error) {
	rest := strings.TrimSpace(s)
	if rest == "0" {
		return 0, nil
	}
	if rest == "" || len(s) > 256 {
		return 0, InvalidValue(s, durationForm)
	}
	var total time.Duration
	for rest != "" {
		d, tail, err := parsePart(s, rest)
		if err != nil {
			return 0, err
		}
		if total > math.MaxInt64-d {
			return 0, tooLong(s)
		}
		total, rest = total+d, tail
	}
	return Duration(total), nil
}

// parsePart reads one "30 m" off the front of rest; whole is for errors.
func parsePart(whole, rest string) (time.Duration, string, error) {
	n := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if n == 0 {
		return 0, "", InvalidValue(whole, durationForm)
	}
	if n < 0 {
		e := InvalidValue(whole, durationForm)
		e.Hint = fmt.Sprintf("time unit needed, for example %ssec", cut(rest))
		return 0, "", e
	}
	num, rest := rest[:n], strings.TrimLeft(rest[n:], " ")
	end := strings.IndexFunc(rest, func(r rune) bool { return r == ' ' || (r >= '0' && r <= '9') })
	if end < 0 {
		end = len(rest)
	}
	unit, ok := unitLength(rest[:end])
	if !ok {
		e := InvalidValue(whole, durationForm)
		e.Hint = fmt.Sprintf("unknown time unit %q", cut(rest[:end]))
		return 0, "", e
	}
	d, err := times(whole, num, unit)
	return d, strings.TrimLeft(rest[end:], " "), err
}

// times multiplies exactly where the number is whole.
func times(whole, num string, unit time.Duration) (time.Duration, error) {
	if n, err := strconv.ParseInt(num, 10, 64); err == nil {
		if n > math.MaxInt64/int64(unit) {
			return 0, tooLong(whole)
		}
		return time.Duration(n) * unit, nil
	}
	f, err := strconv.ParseFloat(num, 64)
	if err != nil {
		return 0, InvalidValue(whole, durationForm)
	}
	if f *= float64(unit); f >= math.MaxInt64 {
		return 0, tooLong(whole)
	}
	return time.Duration(math.Round(f)), nil
}

func tooLong(v any) error { return InvalidValue(v, "a duration of at most 292 years") }

// DecodeOption reads a number of seconds or a text.
func (d *Duration) DecodeOption(v any) error {
	switch x := v.(type) {
	case string:
		p, err := ParseDuration(x)
		if err != nil {
			return err
		}
		*d = p
		return nil
	case int64:
		if x < 0 {
			return InvalidValue(v, "a duration that is not negative")
		}
		if x > math.MaxInt64/int64(time.Second) {
			return tooLong(v)
		}
		*d = Duration(time.Duration(x) * time.Second)
		return nil
	case float64:
		return d.fromSeconds(x)
	}
	return InvalidType(v, durationForm)
}

func (d *Duration) fromSeconds(x float64) error {
	ns := math.Round(x * float64(time.Second))
	switch {
	case math.IsNaN(x) || x < 0:
		return InvalidValue(x, "a duration that is not negative")
	case ns >= math.MaxInt64:
		return tooLong(x)
	}
	*d = Duration(ns)
	return nil
}

// Std is the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Seconds is the duration in seconds.
func (d Duration) Seconds() float64 { return time.Duration(d).Seconds() }

// String is the shortest text that ParseDuration reads as d: "1h30m", "7d", "500ms", "0s".
func (d Duration) String() string {
	if d <= 0 {
		return "0s"
	}
	var b []byte
	rest := time.Duration(d)
	for _, u := range [...]struct {
		name string
		len  time.Duration
	}{
		{"d", 24 * time.Hour},
		{"h", time.Hour},
		{"m", time.Minute},
		{"s", time.Second},
		{"ms", time.Millisecond},
		{"us", time.Microsecond},
		{"ns", time.Nanosecond},
	} {
		if n := rest / u.len; n > 0 {
			b = append(strconv.AppendInt(b, int64(n), 10), u.name...)
			rest -= n * u.len
		}
	}
	return string(b)
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration.
func (d *Duration) UnmarshalText(text []byte) error {
	p, err := ParseDuration(string(text))
	if err == nil {
		*d = p
	}
	return err
}

// EncodeOption is the text form.
func (d Duration) EncodeOption() any { return d.String() }

// OptionType names the type in the manual.
func (d *Duration) OptionType() string { return "duration" }
