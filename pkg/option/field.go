package option

import "reflect"

// Field describes one option to generators, lint, completion and the parity ledgers.
type Field struct {
	Name       string   // the option, "max_ready"
	Aliases    []string // other names that mean the same
	GoType     string   // the struct that declares it, "egress.Path"
	GoName     string   // the field, "MaxReady": its comment is the prose, see Docs
	Type       string   // for the manual: boolean, integer, number, string, enum, duration, bytes, keysource, list of …, map of …
	Default    any      // as a user would write it; nil = no default, or unset
	HasDefault bool     // the tag has a default
	Enum       []string
	Min, Max   string // in the option's own notation; "" = no bound
	Unit       string // "s" or "bytes"
	Since      string // KumoMTA version that has it
	Deprecated string // what to do instead; "" = not deprecated
	Required   bool
	Secret     bool // never shown
	MergeMap   bool // layers merge it by key
	List, Map  bool // Fields describe each element
	Fields     []Field
}

// Fields describes the options in the order of declaration. A struct that contains itself is described once.
func (s *Schema[T]) Fields() []Field { return s.typ.describe(nil) }

func (st *structType) describe(above []*structType) []Field {
	for _, a := range above {
		if a == st {
			return nil
		}
	}
	above = append(above[:len(above):len(above)], st)
	out := make([]Field, 0, len(st.fields))
	for _, f := range st.fields {
		out = append(out, f.describe(above))
	}
	return out
}

func (f *field) describe(above []*structType) Field {
	t := f.typ
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	d := Field{
		Name: f.name, Aliases: f.aliases, GoType: f.owner.String(), GoName: f.goName, Type: f.codec.name,
		Default: f.raw, HasDefault: f.hasDefault, Enum: f.enum, Min: f.min, Max: f.max, Unit: f.unit,
		Since: f.since, Deprecated: f.deprecated, Required: f.required, Secret: f.hidden, MergeMap: f.mergeMap,
		List: t.Kind() == reflect.Slice, Map: t.Kind() == reflect.Map,
	}
	if d.Unit == "" {
		switch t {
		case durationType, stdDuration:
			d.Unit = "s"
		case sizeType:
			d.Unit = "bytes"
		}
	}
	if f.sub != nil {
		d.Default = nil
		d.Fields = f.sub.describe(above)
	}
	return d
}
