package throttle

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kumo/pkg/option"
)

// Spec is a rate as operators write it: "[local:]N/[K]unit[,max_burst=B]", e.g. "100/s", "1,000/5min,max_burst=20".
// N and B may have "_" or "," between their digits; the units are d day h hr hour m min minute s sec second.
// The zero Spec is no throttle.
type Spec struct {
	Limit    int64         // tokens per Period, above zero
	Period   time.Duration // above zero
	MaxBurst int64         // tokens beyond the first that may come at once; Limit when the spec does not say
	Local    bool          // counts in this process even when throttles are shared
}

const specForm = `a rate such as "100/s", "1,000/5min" or "local:10/hour,max_burst=2"`

// maxCount bounds N and B, so that no sum of them can overflow.
const maxCount = 1 << 53

// maxPeriod bounds K units.
const maxPeriod = 366 * 24 * time.Hour

// ParseSpec reads a Spec. Errors are *option.Error.
func ParseSpec(text string) (Spec, error) {
	rest, local := strings.CutPrefix(text, "local:")
	count, rest, ok := strings.Cut(rest, "/")
	s := Spec{Local: local}
	if !ok || len(text) > 128 {
		return Spec{}, option.InvalidValue(text, specForm)
	}
	if s.Limit, ok = option.ParseDigits(count); !ok || s.Limit > maxCount {
		return Spec{}, option.InvalidValue(text, specForm)
	}
	if s.Limit == 0 {
		return Spec{}, option.InvalidValue(text, "a rate above zero")
	}
	period, burst, hasBurst := strings.Cut(rest, ",max_burst=")
	var err error
	if s.Period, err = parsePeriod(text, period); err != nil {
		return Spec{}, err
	}
	s.MaxBurst = s.Limit
	if hasBurst {
		if s.MaxBurst, ok = option.ParseDigits(burst); !ok || s.MaxBurst > maxCount {
			return Spec{}, option.InvalidValue(text, `max_burst to be a whole number, as in "100/s,max_burst=10"`)
		}
	}
	return s, nil
}

// parsePeriod reads "[K]unit".
func parsePeriod(text, period string) (time.Duration, error) {
	n := 0
	for n < len(period) && period[n] >= '0' && period[n] <= '9' {
		n++
	}
	unit, ok := unitLength(period[n:])
	if !ok {
		return 0, option.InvalidValue(text, "a unit of d, day, h, hr, hour, m, min, minute, s, sec or second after the /")
	}
	k := int64(1)
	if n > 0 {
		var err error
		if k, err = strconv.ParseInt(period[:n], 10, 64); err != nil || k == 0 || k > int64(maxPeriod/unit) {
			return 0, option.InvalidValue(text, "a period above zero and of at most 366 days")
		}
	}
	return time.Duration(k) * unit, nil
}

func unitLength(unit string) (time.Duration, bool) {
	switch unit {
	case "d", "day":
		return 24 * time.Hour, true
	case "h", "hr", "hour":
		return time.Hour, true
	case "m", "min", "minute":
		return time.Minute, true
	case "s", "sec", "second":
		return time.Second, true
	}
	return 0, false
}

// DecodeOption reads the text of an option.
func (s *Spec) DecodeOption(v any) error {
	text, ok := v.(string)
	if !ok {
		return option.InvalidType(v, specForm)
	}
	p, err := ParseSpec(text)
	if err == nil {
		*s = p
	}
	return err
}

// EncodeOption is String, or nil for no throttle.
func (s Spec) EncodeOption() any {
	if s.IsZero() {
		return nil
	}
	return s.String()
}

// OptionType names the type in the manual.
func (s *Spec) OptionType() string { return "throttle" }

// IsZero tells that there is no throttle.
func (s Spec) IsZero() bool { return s.Limit == 0 }

// String is the spec as ParseSpec reads it, in its shortest form; "" for no throttle.
func (s Spec) String() string {
	if s.IsZero() {
		return ""
	}
	var b strings.Builder
	if s.Local {
		b.WriteString("local:")
	}
	b.WriteString(strconv.FormatInt(s.Limit, 10) + "/")
	for _, u := range [...]struct {
		name string
		len  time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if k := s.Period / u.len; s.Period%u.len == 0 && k > 0 {
			if k > 1 {
				b.WriteString(strconv.FormatInt(int64(k), 10))
			}
			b.WriteString(u.name)
			break
		}
	}
	if s.MaxBurst != s.Limit {
		b.WriteString(",max_burst=" + strconv.FormatInt(s.MaxBurst, 10))
	}
	return b.String()
}

// MarshalText is String.
func (s Spec) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSpec.
func (s *Spec) UnmarshalText(text []byte) error { return s.DecodeOption(string(text)) }

// PerSecond is the rate in tokens per second.
func (s Spec) PerSecond() float64 { return float64(s.Limit) / s.Period.Seconds() }

// Compare sorts specs by rate, then burst, smallest first: the order in which several of them are tried.
func (s Spec) Compare(o Spec) int {
	return cmp.Or(cmp.Compare(s.PerSecond(), o.PerSecond()), cmp.Compare(s.MaxBurst, o.MaxBurst))
}

// Key names the bucket of a throttle: name:limit:max_burst:period, the period in seconds.
func (s Spec) Key(name string) string {
	return fmt.Sprintf("%s:%d:%d:%d", name, s.Limit, s.MaxBurst, int64(s.Period/time.Second))
}
