package option

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// limits is a field's min and max in the unit of its numbers.
type limits struct {
	min, max float64
	text     string
}

// bound wraps the field's decoder with its min= and max=. For a list, map or pointer they bound each element; they
// are allowed for numbers, sizes (bytes) and durations ("1s").
func (f *field) bound() error {
	if len(f.enum) > 0 && !strings.HasSuffix(f.codec.name, "enum") {
		return fmt.Errorf("%s: enum= on a %s", f.name, f.codec.name)
	}
	if f.mergeMap && f.typ.Kind() != reflect.Map && f.sub == nil {
		return fmt.Errorf("%s: merge=map on a %s", f.name, f.codec.name)
	}
	t := f.typ
	f.leafy = f.sub != nil && (t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer)
	if f.min == "" && f.max == "" {
		return nil
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	isTime := t == durationType || t == stdDuration
	if !isTime && !isNumber(t.Kind()) {
		return fmt.Errorf("%s: min= or max= on a %s", f.name, f.codec.name)
	}
	l, err := parseLimits(f.min, f.max, isTime)
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	inner := f.codec.decode
	f.codec.decode = func(dst reflect.Value, v any) *Error {
		if e := inner(dst, v); e != nil {
			return e
		}
		if n := number(dst); n < l.min || n > l.max {
			return InvalidValue(v, l.text)
		}
		return nil
	}
	return nil
}

func isNumber(k reflect.Kind) bool {
	return k >= reflect.Int && k <= reflect.Float64 && k != reflect.Uintptr
}

// number is the decoded value of a field, or of what it points to.
func number(v reflect.Value) float64 {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	}
	return v.Float()
}

// parseLimits reads min and max; an empty one does not bound.
func parseLimits(lo, hi string, isTime bool) (limits, error) {
	parse := func(s string, none float64) (float64, error) {
		if s == "" {
			return none, nil
		}
		if isTime {
			d, err := ParseDuration(s)
			return float64(d), err
		}
		return strconv.ParseFloat(s, 64)
	}
	l := limits{}
	var err error
	if l.min, err = parse(lo, math.Inf(-1)); err != nil {
		return l, fmt.Errorf("min=%s: %w", lo, err)
	}
	if l.max, err = parse(hi, math.Inf(1)); err != nil {
		return l, fmt.Errorf("max=%s: %w", hi, err)
	}
	switch {
	case l.min > l.max:
		return l, fmt.Errorf("min=%s is above max=%s", lo, hi)
	case hi == "":
		l.text = "at least " + lo
	case lo == "":
		l.text = "at most " + hi
	default:
		l.text = "a value from " + lo + " to " + hi
	}
	return l, nil
}

// parseDefault makes of a default= what a layer would hold.
func parseDefault(t reflect.Type, text string) (any, error) {
	if t == stdDuration || t == durationType || reflect.PointerTo(t).Implements(decoderType) {
		return parseDecoderDefault(t, text), nil
	}
	if reflect.PointerTo(t).Implements(textType) {
		return text, nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return strconv.ParseBool(text)
	case reflect.Float32, reflect.Float64:
		return strconv.ParseFloat(text, 64)
	case reflect.Slice:
		return splitDefault(text, func(s string) (any, error) { return parseDefault(t.Elem(), s) })
	case reflect.String, reflect.Interface:
		return text, nil
	}
	if isNumber(t.Kind()) {
		return strconv.ParseInt(text, 10, 64)
	}
	return nil, fmt.Errorf("a %s takes no default in its tag", t)
}

// parseDecoderDefault gives Decoders a list where they say they read one, and a number where the text is one.
func parseDecoderDefault(t reflect.Type, text string) any {
	if t == reflect.TypeFor[CIDRSet]() || strings.Contains(text, "|") {
		list, _ := splitDefault(text, func(s string) (any, error) { return s, nil })
		return list
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	return text
}

func splitDefault(text string, one func(string) (any, error)) (any, error) {
	out := []any{}
	if text == "" {
		return out, nil
	}
	for _, s := range strings.Split(text, "|") {
		v, err := one(s)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
