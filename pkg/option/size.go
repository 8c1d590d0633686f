package option

import (
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, never negative.
type Size int64

// Bytes is the size as a plain number.
func (s Size) Bytes() int64 { return int64(s) }

// DecodeOption reads an integer, or a text of digits with "_" or "," between them.
func (s *Size) DecodeOption(v any) error {
	n, err := countOf(v, "a number of bytes")
	if err == nil {
		*s = Size(n)
	}
	return err
}

// String is the number of bytes in digits.
func (s Size) String() string { return strconv.FormatInt(int64(s), 10) }

// EncodeOption is the number.
func (s Size) EncodeOption() any { return int64(s) }

// OptionType names the type in the manual.
func (s *Size) OptionType() string { return "bytes" }

// countOf reads a number that is not negative, as an integer or as text of digits with separators.
func countOf(v any, expected string) (int64, error) {
	if text, ok := v.(string); ok {
		n, ok := ParseDigits(text)
		if !ok {
			return 0, InvalidValue(v, expected)
		}
		return n, nil
	}
	n, e := toInt(v)
	if e != nil {
		return 0, InvalidType(v, expected)
	}
	if n < 0 {
		return 0, InvalidValue(v, expected+", not negative")
	}
	return n, nil
}

// ParseDigits reads a whole number that may have "_" or "," between its digits: "1_000", "1,000".
func ParseDigits(s string) (int64, bool) {
	if s == "" || len(s) > 40 || !isDigit(s[0]) || !isDigit(s[len(s)-1]) {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] == '_' || s[i] == ',' {
			continue
		}
		if !isDigit(s[i]) || n > (math.MaxInt64-int64(s[i]-'0'))/10 {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// Amount is a share of a whole ("10%") or a fixed number of it, as min_free_space has it. The zero value is 0.
type Amount struct {
	Percent bool    // Value is a percentage
	Value   float64 // 0 to 100, or a count or bytes
}

const amountForm = `a percentage such as "10%" or a number`

// DecodeOption reads "N%" or a number.
func (a *Amount) DecodeOption(v any) error {
	if text, ok := v.(string); ok && strings.HasSuffix(text, "%") {
		p, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(text, "%")), 64)
		if err != nil || math.IsNaN(p) || p < 0 || p > 100 {
			return InvalidValue(v, "a percentage from 0% to 100%")
		}
		*a = Amount{Percent: true, Value: p}
		return nil
	}
	n, err := countOf(v, amountForm)
	if err == nil {
		*a = Amount{Value: float64(n)}
	}
	return err
}

// Of is the amount in units of total: 10% of 1000 is 100, and a fixed number is itself.
func (a Amount) Of(total uint64) uint64 {
	if a.Percent {
		return uint64(a.Value / 100 * float64(total))
	}
	return uint64(a.Value)
}

// String is the amount as an option: "10%", "1048576".
func (a Amount) String() string {
	s := strconv.FormatFloat(a.Value, 'f', -1, 64)
	if a.Percent {
		return s + "%"
	}
	return s
}

// EncodeOption is the text of a percentage, or the number.
func (a Amount) EncodeOption() any {
	if a.Percent {
		return a.String()
	}
	return int64(a.Value)
}

// OptionType names the type in the manual.
func (a *Amount) OptionType() string { return `"N%" or integer` }
