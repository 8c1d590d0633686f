package option

import (
	"encoding"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// codecOf finds how to read and write values of type t for field f. f gets the nested declarations, if any.
func (c compiler) codecOf(t reflect.Type, f *field) (codec, error) {
	switch {
	case t == stdDuration:
		return durationCodec(), nil
	case reflect.PointerTo(t).Implements(decoderType):
		return decoderCodec(t), nil
	case reflect.PointerTo(t).Implements(textType):
		return textCodec(t), nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return codec{decodeBool, func(v reflect.Value) any { return v.Bool() }, "boolean"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return codec{decodeInt, func(v reflect.Value) any { return v.Int() }, "integer"}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return codec{decodeUint, func(v reflect.Value) any { return int64(min(v.Uint(), math.MaxInt64)) }, "integer"}, nil
	case reflect.Float32, reflect.Float64:
		return codec{decodeFloat, func(v reflect.Value) any { return v.Float() }, "number"}, nil
	case reflect.String:
		return stringCodec(f), nil
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return codec{decodeAny, encodeAny, "any"}, nil
		}
	case reflect.Pointer:
		return c.pointerCodec(t, f)
	case reflect.Slice:
		return c.sliceCodec(t, f)
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return c.mapCodec(t, f)
		}
	case reflect.Struct:
		return c.structCodec(t, f), nil
	}
	return codec{}, fmt.Errorf("%s: a field of type %s cannot be an option", f.name, t)
}

func decodeBool(dst reflect.Value, v any) *Error {
	b, ok := v.(bool)
	if !ok {
		return InvalidType(v, "a boolean")
	}
	dst.SetBool(b)
	return nil
}

// Int reads a whole number: an integer, or a float without a fraction, as Lua and JSON make them.
func Int(v any) (int64, error) {
	n, e := toInt(v)
	if e != nil {
		return 0, e
	}
	return n, nil
}

func toInt(v any) (int64, *Error) {
	switch n := v.(type) {
	case int64:
		return n, nil
	case float64:
		if n != math.Trunc(n) || n < -(1<<63) || n >= 1<<63 {
			return 0, InvalidType(v, "an integer")
		}
		return int64(n), nil
	}
	return 0, InvalidType(v, "an integer")
}

func decodeInt(dst reflect.Value, v any) *Error {
	n, e := toInt(v)
	if e != nil {
		return e
	}
	if dst.OverflowInt(n) {
		return InvalidValue(v, fmt.Sprintf("an integer of %d bits", dst.Type().Bits()))
	}
	dst.SetInt(n)
	return nil
}

func decodeUint(dst reflect.Value, v any) *Error {
	n, e := toInt(v)
	if e != nil {
		return e
	}
	if n < 0 || dst.OverflowUint(uint64(n)) {
		return InvalidValue(v, fmt.Sprintf("an integer from 0 to %d", uint64(1)<<dst.Type().Bits()-1))
	}
	dst.SetUint(uint64(n))
	return nil
}

func decodeFloat(dst reflect.Value, v any) *Error {
	switch n := v.(type) {
	case int64:
		dst.SetFloat(float64(n))
		return nil
	case float64:
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return InvalidValue(v, "a finite number")
		}
		dst.SetFloat(n)
		return nil
	}
	return InvalidType(v, "a number")
}

func stringCodec(f *field) codec {
	enum := f.enum
	decode := func(dst reflect.Value, v any) *Error {
		s, ok := v.(string)
		if !ok {
			return InvalidType(v, "a string")
		}
		if len(enum) > 0 && !slices.Contains(enum, s) {
			return badVariant(s, enum)
		}
		dst.SetString(s)
		return nil
	}
	encode := func(v reflect.Value) any { return stringOrNil(v.String()) }
	name := "string"
	if len(enum) > 0 {
		name = "enum"
	}
	return codec{decode, encode, name}
}

// badVariant is the error of a word that is not one of an enumeration.
func badVariant(s string, enum []string) *Error {
	e := InvalidValue(s, oneOf(enum))
	if near := Suggest(s, enum); near != "" {
		e.Hint = "did you mean `" + near + "`?"
	}
	return e
}

// Enum reads a word of an enumeration; Decoders of unions use it. Errors list the words and the nearest one.
func Enum(v any, words ...string) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", InvalidType(v, oneOf(words))
	}
	if !slices.Contains(words, s) {
		return "", badVariant(s, words)
	}
	return s, nil
}

func decodeAny(dst reflect.Value, v any) *Error {
	dst.Set(reflect.ValueOf(v))
	return nil
}

func encodeAny(v reflect.Value) any { return v.Interface() }

func durationCodec() codec {
	decode := func(dst reflect.Value, v any) *Error {
		var d Duration
		if err := d.DecodeOption(v); err != nil {
			return wrapDecoder(err)
		}
		dst.SetInt(int64(d))
		return nil
	}
	return codec{decode, func(v reflect.Value) any { return Duration(v.Int()).EncodeOption() }, "duration"}
}

func decoderCodec(t reflect.Type) codec {
	decode := func(dst reflect.Value, v any) *Error {
		if err := dst.Addr().Interface().(Decoder).DecodeOption(v); err != nil {
			return wrapDecoder(err)
		}
		return nil
	}
	c := codec{decode, nil, t.Name()}
	if t.Implements(encoderType) {
		c.encode = func(v reflect.Value) any { return v.Interface().(Encoder).EncodeOption() }
	} else if t.Implements(stringerType) {
		c.encode = func(v reflect.Value) any { return stringOrNil(v.Interface().(fmt.Stringer).String()) }
	}
	if reflect.PointerTo(t).Implements(typedType) {
		c.name = reflect.New(t).Interface().(Typed).OptionType()
	}
	return c
}

func stringOrNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// textCodec serves types such as netip.Addr that read themselves from a string.
func textCodec(t reflect.Type) codec {
	name, expected := t.Name(), "a string for "+t.String()
	switch t {
	case reflect.TypeFor[netip.Addr]():
		name, expected = "ip", "an IP address"
	case reflect.TypeFor[netip.AddrPort]():
		name, expected = "ip:port", "an IP address and port"
	case reflect.TypeFor[netip.Prefix]():
		name, expected = "cidr", "a CIDR block"
	}
	decode := func(dst reflect.Value, v any) *Error {
		s, ok := v.(string)
		if !ok {
			return InvalidType(v, expected)
		}
		if err := dst.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
			return InvalidValue(v, expected)
		}
		return nil
	}
	c := codec{decode, nil, name}
	if t.Implements(textOutType) {
		c.encode = func(v reflect.Value) any {
			b, err := v.Interface().(encoding.TextMarshaler).MarshalText()
			if err != nil || len(b) == 0 {
				return nil
			}
			return string(b)
		}
	}
	return c
}

func (c compiler) pointerCodec(t reflect.Type, f *field) (codec, error) {
	if f.hasDefault {
		return codec{}, fmt.Errorf("%s: a pointer is nil when it is not set and has no other default", f.name)
	}
	if t.Elem().Kind() == reflect.Pointer {
		return codec{}, fmt.Errorf("%s: a pointer to a pointer cannot be an option", f.name)
	}
	elem, err := c.codecOf(t.Elem(), f)
	if err != nil {
		return codec{}, err
	}
	decode := func(dst reflect.Value, v any) *Error {
		p := reflect.New(t.Elem())
		if e := elem.decode(p.Elem(), v); e != nil {
			return e
		}
		dst.Set(p)
		return nil
	}
	encode := func(v reflect.Value) any {
		if v.IsNil() {
			return nil
		}
		return elem.encodeSet(v.Elem())
	}
	return codec{decode, encode, elem.name}, nil
}

// List reads a list; an empty map is an empty list, for a Lua table cannot tell them apart.
func List(v any) ([]any, bool) {
	switch x := v.(type) {
	case []any:
		return x, true
	case map[string]any:
		return nil, len(x) == 0
	}
	return nil, false
}

// Map reads a map; an empty list is an empty map, for a Lua table cannot tell them apart.
func Map(v any) (map[string]any, bool) {
	switch x := v.(type) {
	case map[string]any:
		return x, true
	case []any:
		return nil, len(x) == 0
	}
	return nil, false
}

func (c compiler) sliceCodec(t reflect.Type, f *field) (codec, error) {
	elem, err := c.codecOf(t.Elem(), f)
	if err != nil {
		return codec{}, err
	}
	decode := func(dst reflect.Value, v any) *Error {
		list, ok := List(v)
		if !ok {
			return InvalidType(v, "a list")
		}
		s := reflect.MakeSlice(t, len(list), len(list))
		for i, x := range list {
			if e := decodeElem(elem, s.Index(i), x); e != nil {
				return e.under("[" + strconv.Itoa(i+1) + "]")
			}
		}
		dst.Set(s)
		return nil
	}
	encode := func(v reflect.Value) any {
		out := make([]any, v.Len())
		for i := range out {
			out[i] = elem.encodeSet(v.Index(i))
		}
		return out
	}
	return codec{decode, encode, "list of " + elem.name}, nil
}

// encodeSet writes a value that is known to be set: an empty string is one then.
func (c codec) encodeSet(v reflect.Value) any {
	if c.encode == nil {
		return nil
	}
	x := c.encode(v)
	if x == nil && v.Kind() == reflect.String {
		return ""
	}
	return x
}

// decodeElem decodes an element of a list or map, which cannot be unset.
func decodeElem(c codec, dst reflect.Value, v any) *Error {
	if v == nil && dst.Kind() != reflect.Interface {
		return InvalidType(v, "a value of type "+c.name)
	}
	if v == nil {
		return nil
	}
	return c.decode(dst, v)
}

func (c compiler) mapCodec(t reflect.Type, f *field) (codec, error) {
	elem, err := c.codecOf(t.Elem(), f)
	if err != nil {
		return codec{}, err
	}
	decode := func(dst reflect.Value, v any) *Error {
		m, ok := Map(v)
		if !ok {
			return InvalidType(v, "a map")
		}
		out := reflect.MakeMapWithSize(t, len(m))
		for _, k := range sortedKeys(m) {
			x := reflect.New(t.Elem()).Elem()
			if m[k] == nil && elem.name != "any" {
				continue
			}
			if e := decodeElem(elem, x, m[k]); e != nil {
				return e.under("[" + strconv.Quote(cut(k)) + "]")
			}
			out.SetMapIndex(reflect.ValueOf(k).Convert(t.Key()), x)
		}
		dst.Set(out)
		return nil
	}
	encode := func(v reflect.Value) any {
		out := make(map[string]any, v.Len())
		for it := v.MapRange(); it.Next(); {
			out[it.Key().String()] = elem.encodeSet(it.Value())
		}
		return out
	}
	return codec{decode, encode, "map of " + elem.name}, nil
}

// structCodec serves nested structs; their errors carry the path of the nested option.
func (c compiler) structCodec(t reflect.Type, f *field) codec {
	f.sub = c.structOf(t)
	sub := f.sub
	decode := func(dst reflect.Value, v any) *Error {
		m, ok := Map(v)
		if !ok {
			return InvalidType(v, "a map of options")
		}
		return sub.decode(dst, m)
	}
	name := "options"
	if t.Name() != "" {
		name = strings.ToLower(t.Name()[:1]) + t.Name()[1:]
	}
	return codec{decode, sub.encode, name}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
