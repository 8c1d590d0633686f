package option

import (
	"encoding"
	"fmt"
	"reflect"
	"time"
)

// structType is a struct's declarations, compiled.
type structType struct {
	typ     reflect.Type
	fields  []*field
	index   map[string]int // names and aliases
	names   []string       // names only, for suggestions
	nested  bool           // some field is traced leaf by leaf
	secrets bool           // some field, or one of a nested struct, must not be shown
	lines   Trace          // a default line for each field
}

// field is one declared option.
type field struct {
	tag
	goName   string
	owner    reflect.Type // the struct that holds the declaration
	path     []int        // for reflect.Value.FieldByIndex
	typ      reflect.Type
	codec    codec
	sub      *structType // of a nested struct, or of the elements of a pointer, list or map
	leafy    bool        // traced leaf by leaf: a nested struct or a pointer to one
	hidden   bool        // tagged secret, or a Secret
	raw      any         // the default as a user would write it
	defValue reflect.Value
}

// codec reads values of one type and writes them back.
type codec struct {
	decode func(dst reflect.Value, v any) *Error
	encode func(src reflect.Value) any
	name   string // type name for the manual
}

// compiler holds the struct types of one SchemaOf, so that recursive declarations end.
type compiler map[reflect.Type]*structType

var (
	decoderType  = reflect.TypeFor[Decoder]()
	encoderType  = reflect.TypeFor[Encoder]()
	stringerType = reflect.TypeFor[fmt.Stringer]()
	typedType    = reflect.TypeFor[Typed]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	textOutType  = reflect.TypeFor[encoding.TextMarshaler]()
	durationType = reflect.TypeFor[Duration]()
	stdDuration  = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	secretType   = reflect.TypeFor[Secret]()
)

// structOf compiles t, or returns what is already being compiled.
func (c compiler) structOf(t reflect.Type) *structType {
	if st, ok := c[t]; ok {
		return st
	}
	st := &structType{typ: t, index: map[string]int{}}
	c[t] = st
	c.collect(st, t, nil)
	for i, f := range st.fields {
		for _, name := range append([]string{f.name}, f.aliases...) {
			if _, taken := st.index[name]; taken {
				panic(fmt.Sprintf("option: %s: option %s is declared twice", t, name))
			}
			st.index[name] = i
		}
		st.names = append(st.names, f.name)
		st.nested = st.nested || f.leafy
		st.lines = append(st.lines, Explained{Name: f.name, Value: f.raw, Origin: Origin{Kind: KindDefault}})
	}
	return st
}

// collect adds the fields of t, which is st's type or embedded in it at prefix.
func (c compiler) collect(st *structType, t reflect.Type, prefix []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		text, tagged := sf.Tag.Lookup("opt")
		path := append(append([]int(nil), prefix...), i)
		switch {
		case sf.Anonymous && !tagged && sf.Type.Kind() == reflect.Struct:
			c.collect(st, sf.Type, path)
		case !tagged || text == "-":
		case !sf.IsExported():
			panic(fmt.Sprintf("option: %s.%s: has a tag but is not exported", t, sf.Name))
		default:
			st.fields = append(st.fields, c.fieldOf(t, sf, path, text))
		}
	}
}

// fieldOf compiles one field. Anything wrong with it is a panic that names it.
func (c compiler) fieldOf(owner reflect.Type, sf reflect.StructField, path []int, text string) *field {
	fail := func(err error) {
		if err != nil {
			panic(fmt.Sprintf("option: %s.%s: %v", owner, sf.Name, err))
		}
	}
	t, err := parseTag(text)
	fail(err)
	f := &field{tag: t, goName: sf.Name, owner: owner, path: path, typ: sf.Type}
	f.codec, err = c.codecOf(sf.Type, f)
	fail(err)
	f.hidden = t.secret || innermost(sf.Type) == secretType
	fail(f.bound())
	fail(f.setDefault())
	return f
}

// innermost is the type that pointers, lists and maps of it lead to.
func innermost(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

// markSecrets tells every struct type whether a secret lies anywhere in it. Types may contain each other, so it
// repeats until nothing changes.
func (c compiler) markSecrets() {
	for changed := true; changed; {
		changed = false
		for _, st := range c {
			for _, f := range st.fields {
				if !st.secrets && (f.hidden || (f.sub != nil && f.sub.secrets)) {
					st.secrets, changed = true, true
				}
			}
		}
	}
}

// in is the field's place in a struct of its type.
func (f *field) in(v reflect.Value) reflect.Value {
	if len(f.path) == 1 {
		return v.Field(f.path[0])
	}
	return v.FieldByIndex(f.path)
}

// setDefault decodes the default of the tag, so that a bad one is found when the program starts.
func (f *field) setDefault() error {
	if !f.hasDefault {
		if f.required {
			return nil
		}
		f.raw = f.emptyRaw()
		return nil
	}
	raw, err := parseDefault(f.typ, f.def)
	if err != nil {
		return err
	}
	v := reflect.New(f.typ).Elem()
	if e := f.codec.decode(v, raw); e != nil {
		return fmt.Errorf("default %q: %s", f.def, e.Msg)
	}
	f.raw, f.defValue = raw, v
	return nil
}

// emptyRaw is what a user would write for a field without a default: its zero value, or nil where zero means unset.
func (f *field) emptyRaw() any {
	return f.encode(reflect.Zero(f.typ))
}

// fill sets the defaults in v, a zero struct of the type.
func (st *structType) fill(v reflect.Value) {
	for _, f := range st.fields {
		dst := f.in(v)
		switch {
		case f.defValue.IsValid():
			dst.Set(f.defValue)
		case f.sub != nil && dst.Kind() == reflect.Struct:
			f.sub.fill(dst)
		}
	}
}
