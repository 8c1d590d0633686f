package jinja

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

var errNotJSON = errors.New("tojson: a value that JSON does not have")

// appendJSON appends v as JSON, in which <, >, & and ' are escaped as MiniJinja does, so that it can stand in HTML.
// Records keep the order of their fields.
func appendJSON(b []byte, v *exec.Value, depth int) ([]byte, error) {
	switch {
	case isNull(v):
		return append(b, "null"...), nil
	case depth > maxNesting:
		return b, errNotJSON
	case v.IsString():
		return appendJSONString(b, v.String()), nil
	case v.IsBool():
		return strconv.AppendBool(b, v.Bool()), nil
	case v.IsInteger():
		return strconv.AppendInt(b, int64(v.Integer()), 10), nil
	case v.IsFloat():
		if f := v.Float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return appendFloat(b, f), nil
		}
		return append(b, "null"...), nil
	case v.IsList():
		return appendJSONList(b, v, depth)
	case v.IsDict():
		return appendJSONDict(b, v, depth)
	}
	return b, errNotJSON
}

func appendJSONList(b []byte, v *exec.Value, depth int) ([]byte, error) {
	b = append(b, '[')
	var err error
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendJSON(b, v.Index(i), depth+1); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func appendJSONDict(b []byte, v *exec.Value, depth int) ([]byte, error) {
	var keys []string
	for _, k := range v.Keys() {
		keys = append(keys, k.String())
	}
	sortKeys(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		item, _ := v.GetItem(k)
		var err error
		if b, err = appendJSON(append(appendJSONString(b, k), ':'), item, depth+1); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// appendJSONString quotes s as encoding/json does, which escapes what HTML would take amiss; but for "'", which
// MiniJinja escapes, too.
func appendJSONString(b []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string has always a form
	return append(b, strings.ReplaceAll(string(text), "'", `\u0027`)...)
}
