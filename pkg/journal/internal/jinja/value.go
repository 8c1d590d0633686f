package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// null is none. As an array without elements it is false and empty for the library, and unlike a nil it can be
// told from a variable that does not exist, and asked for attributes.
type null [0]struct{}

// String implements fmt.Stringer.
func (null) String() string { return "none" }

// GetItem implements exec.ItemGetter.
func (null) GetItem(any) (*exec.Value, bool) { return exec.AsValue(nil), false }

// GetAttribute implements exec.AttributeGetter.
func (null) GetAttribute(string) (*exec.Value, bool) { return exec.AsValue(nil), false }

// Prepare makes every nil in v none. Maps and lists are changed in place.
func Prepare(v any) any {
	switch x := v.(type) {
	case nil:
		return null{}
	case map[string]any:
		for k, e := range x {
			x[k] = Prepare(e)
		}
	case []any:
		for i, e := range x {
			x[i] = Prepare(e)
		}
	}
	return v
}

// maxNesting bounds how deep values are printed.
const maxNesting = 32

// appendShown appends a value as MiniJinja prints it; quoted is how it looks inside of lists and maps.
func appendShown(b []byte, v *exec.Value, quoted bool, depth int) []byte {
	switch {
	case v == nil || v.IsNil():
		if quoted {
			return append(b, "none"...)
		}
		return b
	case depth > maxNesting:
		return append(b, "…"...)
	case v.IsString():
		if quoted {
			return appendJSONString(b, v.String())
		}
		return append(b, v.String()...)
	case v.IsBool():
		return strconv.AppendBool(b, v.Bool())
	case v.IsFloat():
		return appendFloat(b, v.Float())
	case isNull(v):
		return append(b, "none"...)
	case v.IsList():
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendShown(b, v.Index(i), true, depth+1)
		}
		return append(b, ']')
	case v.IsDict():
		return appendDict(b, v, depth)
	}
	return append(b, v.String()...)
}

func appendDict(b []byte, v *exec.Value, depth int) []byte {
	b = append(b, '{')
	for i, key := range v.Keys() {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(appendShown(b, key, true, depth+1), ": "...)
		item, _ := v.GetItem(key.Interface())
		b = appendShown(b, item, true, depth+1)
	}
	return append(b, '}')
}

func isNull(v *exec.Value) bool {
	if v == nil || v.IsNil() {
		return true
	}
	_, ok := v.Interface().(null)
	return ok
}

func appendFloat(b []byte, f float64) []byte {
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	if f == math.Trunc(f) && !math.IsInf(f, 0) {
		b = append(b, ".0"...)
	}
	return b
}

// clean replaces what must not stand in a line of a log by blanks: a value that a peer chose must not look like
// another record.
func clean(s string) string {
	bad := func(r rune) bool {
		return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
	}
	if !strings.ContainsFunc(s, bad) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if bad(r) {
			return ' '
		}
		return r
	}, s)
}

// rank is where the fields of a record stand in its JSON form; what is not here follows in the order of the alphabet.
var rank = ranked(
	"type", "id", "sender", "recipient", "queue", "site", "size", "response", "code", "enhanced_code", "class", "subject",
	"detail", "content", "command", "peer_address", "name", "addr", "timestamp", "event_time", "created", "created_time",
	"num_attempts", "bounce_classification", "egress_pool", "egress_source", "source_address", "address", "protocol", "server",
	"feedback_report", "delivery_protocol", "reception_protocol", "nodeid", "tls_cipher", "tls_protocol_version",
	"tls_peer_subject_name", "provider_name", "session_id", "meta", "headers")

func ranked(names ...string) map[string]int {
	m := make(map[string]int, len(names))
	for i, n := range names {
		m[n] = i + 1
	}
	return m
}

func sortKeys(keys []string) {
	slices.SortFunc(keys, func(a, b string) int {
		x, y := rank[a], rank[b]
		switch {
		case x != 0 && y != 0:
			return x - y
		case x != 0:
			return -1
		case y != 0:
			return 1
		}
		return strings.Compare(a, b)
	})
}
