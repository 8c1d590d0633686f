package option

import (
	"reflect"
)

// Decoder is for types that read their own values: unions such as "a number or 'local:N'", specs, addresses.
// v is never nil. The error's text becomes part of the option's error; InvalidType and InvalidValue make good ones.
// A Decoder must not keep v's maps and slices if it changes them.
type Decoder interface {
	DecodeOption(v any) error
}

// Encoder is for types that Export as something else than their fields; the result is made of a Setting's kinds.
type Encoder interface {
	EncodeOption() any
}

// Typed lets a Decoder name its type for the manual: "throttle", "limit", "list of hosts".
type Typed interface {
	OptionType() string
}

// checker has a rule across fields. An *Error from Check may name its Option; the rest of it is filled in.
type checker interface {
	Check() error
}

// Described is a schema without its type, so that lists of schemas can be held together by generators and lint.
type Described interface {
	// TypeName is the Go type with its package's name, "egress.Path".
	TypeName() string
	// Fields describes the options in the order of declaration.
	Fields() []Field
	// Validate resolves layers and returns only what is wrong.
	Validate(what string, layers ...Layer) error
}

// Schema is what a struct type declares: its options in order. It is immutable and safe for concurrent use.
type Schema[T any] struct {
	typ   *structType
	proto T
}

var _ Described = (*Schema[struct{}])(nil)

// SchemaOf reads the declarations of T. A malformed tag panics: it is a mistake of the program. Keep the result in
// a package variable: schemas are immutable, and reading one takes far longer than resolving with it.
func SchemaOf[T any]() *Schema[T] {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct {
		panic("option: SchemaOf[" + t.String() + "]: not a struct")
	}
	c := compiler{}
	s := &Schema[T]{typ: c.structOf(t)}
	c.markSecrets()
	s.typ.fill(reflect.ValueOf(&s.proto).Elem())
	return s
}

// TypeName is T with its package's name, "egress.Path".
func (s *Schema[T]) TypeName() string { return s.typ.typ.String() }

// Default is the value when no layer sets anything. Required options are zero in it.
func (s *Schema[T]) Default() T { return s.proto }

// Has tells whether name is an option, or an alias of one, at the top level of T.
func (s *Schema[T]) Has(name string) bool {
	_, ok := s.typ.index[name]
	return ok
}

// Resolved is a value with the explanation of each of its options. Warnings name the deprecated options in use.
type Resolved[T any] struct {
	Value    T
	Trace    Trace
	Warnings []Warning
}

// Resolve lays layers over each other, later ones winning (maps tagged merge=map are merged by key), decodes them,
// fills in defaults and runs T's Check() error if it has one.
// what names the object in errors, e.g. "make_egress_path". Errors are *Error; Resolved is the zero value then.
func (s *Schema[T]) Resolve(what string, layers ...Layer) (Resolved[T], error) {
	return s.ResolveAt(Origin{}, what, layers...)
}

// ResolveAt is Resolve with the place of the call, for errors that belong to no setting: a missing field.
func (s *Schema[T]) ResolveAt(call Origin, what string, layers ...Layer) (Resolved[T], error) {
	res := &Resolved[T]{Value: s.proto}
	r := resolution{typ: s.typ, what: what, call: call}
	r.lay(layers)
	r.decode(reflect.ValueOf(&res.Value).Elem())
	if c, ok := any(&res.Value).(checker); ok && len(r.errs) == 0 {
		r.check(c)
	}
	if len(r.errs) > 0 {
		return Resolved[T]{}, join(r.errs)
	}
	res.Trace, res.Warnings = r.finish(), r.warnings
	return *res, nil
}

// Decode reads a table as a T, with defaults and checks but without layers: for Decoders that take a table among
// other forms. Errors are *Error whose Option is the path within the table.
func (s *Schema[T]) Decode(v any) (T, error) {
	t := s.proto
	m, ok := Map(v)
	if !ok {
		return t, InvalidType(v, "a map of options")
	}
	if e := s.typ.decode(reflect.ValueOf(&t).Elem(), m); e != nil {
		return s.proto, e
	}
	return t, nil
}

// Validate resolves layers and returns only what is wrong.
func (s *Schema[T]) Validate(what string, layers ...Layer) error {
	_, err := s.Resolve(what, layers...)
	return err
}
