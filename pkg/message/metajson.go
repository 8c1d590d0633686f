package message

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends the values of m as a JSON object, its names in no order. It is what MarshalJSON says, faster:
// the values of the base are encoded once for all who stand on it. Numbers that JSON has no word for (infinities,
// NaN) become null. An error names a value of a type that metadata cannot have.
func (m *Meta) AppendJSON(b []byte) ([]byte, error) {
	if m == nil {
		return append(b, "{}"...), nil
	}
	if m.hides() {
		return appendJSON(b, m.All())
	}
	b = append(b, '{')
	at := len(b)
	b, err := appendPairs(b, m.own)
	if err != nil || m.base == nil {
		return append(b, '}'), err
	}
	shared, err := m.base.pairs()
	if len(shared) > 0 && len(b) > at {
		b = append(b, ',')
	}
	return append(append(b, shared...), '}'), err
}

// hides reports whether m's own values hide some of its base.
func (m *Meta) hides() bool {
	for k, v := range m.own {
		if v == nil {
			return true
		}
		for l := m.base; l != nil; l = l.base {
			if _, ok := l.own[k]; ok {
				return true
			}
		}
	}
	return false
}

// pairs is the JSON of m without the braces. It is kept when m is frozen.
func (m *Meta) pairs() ([]byte, error) {
	if p := m.encoded.Load(); p != nil {
		return *p, nil
	}
	b, err := appendPairs(nil, m.All())
	if err == nil && m.snap == m {
		m.encoded.Store(&b)
	}
	return b, err
}

func appendPairs(b []byte, values map[string]any) ([]byte, error) {
	at := len(b)
	var err error
	for k, v := range values {
		if len(b) > at {
			b = append(b, ',')
		}
		b = appendJSONString(b, k)
		b = append(b, ':')
		if b, err = appendJSON(b, v); err != nil {
			return b, fmt.Errorf("metadata %q: %w", k, err)
		}
	}
	return b, nil
}

func appendJSON(b []byte, v any) ([]byte, error) {
	switch x := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, x), nil
	case string:
		return appendJSONString(b, x), nil
	case int64:
		return strconv.AppendInt(b, x, 10), nil
	case int:
		return strconv.AppendInt(b, int64(x), 10), nil
	case float64:
		if math.IsInf(x, 0) || math.IsNaN(x) {
			return append(b, "null"...), nil
		}
		return appendFloat(b, x), nil
	case []any:
		return appendList(b, x)
	case map[string]any:
		b, err := appendPairs(append(b, '{'), x)
		return append(b, '}'), err
	}
	text, err := json.Marshal(v)
	return append(b, text...), err
}

func appendList(b []byte, list []any) ([]byte, error) {
	b = append(b, '[')
	var err error
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendJSON(b, v); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

// appendFloat writes whole numbers without an exponent up to 2^53, as encoding/json does.
func appendFloat(b []byte, x float64) []byte {
	format := byte('f')
	if a := math.Abs(x); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, x, format, -1, 64)
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends s in quotes; bytes that are not UTF-8 become U+FFFD (RFC 8259 8.1).
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(append(b, s[from:i]...), escape(c)...)
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(append(b, s[from:i]...), "\ufffd"...)
			from = i + 1
		}
		i += n
	}
	return append(append(b, s[from:]...), '"')
}

func escape(c byte) string {
	switch c {
	case '"':
		return `\"`
	case '\\':
		return `\\`
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	}
	return `\u00` + string(hexDigits[c>>4]) + string(hexDigits[c&15])
}
