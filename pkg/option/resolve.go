package option

import (
	"errors"
	"reflect"
	"slices"
	"strings"
)

// resolution is one Resolve at work.
type resolution struct {
	typ      *structType
	what     string
	call     Origin
	lines    Trace // one line for each field, before nested structs are spread out
	errs     []*Error
	warnings []Warning
}

// lay puts the layers over the defaults.
func (r *resolution) lay(layers []Layer) {
	r.lines = slices.Clone(r.typ.lines)
	given := 0
	for _, l := range layers {
		given += len(l)
	}
	if given == 0 {
		return
	}
	var over []Setting
	known := 0
	for i, f := range r.typ.fields {
		if f.mergeMap {
			known += r.mergeAll(&r.lines[i], f, layers)
			continue
		}
		line, start := &r.lines[i], len(over)
		for k := len(layers) - 1; k >= 0; k-- {
			s, n := r.lookup(f, layers[k])
			known += n
			switch {
			case s.Value == nil:
			case line.Origin.Kind == KindDefault:
				line.Value, line.Origin = s.Value, s.Origin
			default:
				if over == nil { // one piece for all options, never grown
					over = make([]Setting, 0, given)
				}
				over = append(over, s)
			}
		}
		if len(over) > start {
			line.Over = over[start:len(over):len(over)]
		}
	}
	if known < given {
		r.refuse(layers)
	}
}

// lookup finds the setting of an option in a layer, by its name or an alias, and how many names were there.
func (r *resolution) lookup(f *field, l Layer) (Setting, int) {
	s, ok := l[f.name]
	n := 0
	if ok {
		n = 1
	}
	for _, a := range f.aliases {
		other, ok := l[a]
		if !ok {
			continue
		}
		n++
		if s.Value != nil && other.Value != nil {
			r.fail((&Error{Msg: "duplicate field `" + f.name + "`, also given as `" + a + "`"}).under(a), other.Origin)
		}
		if s.Value == nil {
			s = other
		}
	}
	return s, n
}

// refuse reports the names that are no options, by name, before anything else.
func (r *resolution) refuse(layers []Layer) {
	var unknown []*Error
	for _, l := range layers {
		for name, s := range l {
			if _, ok := r.typ.index[name]; !ok {
				e := r.typ.unknown(name)
				e.What, e.Origin = r.what, s.Origin
				unknown = append(unknown, e)
			}
		}
	}
	slices.SortStableFunc(unknown, func(a, b *Error) int { return strings.Compare(a.Option, b.Option) })
	r.errs = append(unknown, r.errs...)
}

// mergeAll lays the maps of an option over each other, from the first layer to the last.
func (r *resolution) mergeAll(line *Explained, f *field, layers []Layer) (known int) {
	var merged map[string]any
	for _, l := range layers {
		s, n := r.lookup(f, l)
		known += n
		m, ok := Map(s.Value)
		switch {
		case s.Value == nil:
		case !ok: // left for the decoder to refuse
			line.Value, line.Origin, line.Parts = s.Value, s.Origin, nil
			return known
		case line.Origin.Kind == KindDefault:
			line.Value, line.Origin = s.Value, s.Origin
		default:
			if merged == nil {
				merged = line.startMerge(len(m))
			}
			line.merge(merged, m, s.Origin)
		}
	}
	return known
}

// startMerge makes the line's map one that can be added to, and explains its keys.
func (e *Explained) startMerge(more int) map[string]any {
	first, _ := Map(e.Value)
	merged := make(map[string]any, len(first)+more)
	e.Parts = make([]Explained, 0, len(first)+more)
	e.merge(merged, first, e.Origin)
	e.Value = merged
	return merged
}

// merge lays m over merged, which is the line's map.
func (e *Explained) merge(merged, m map[string]any, origin Origin) {
	for k, v := range m {
		if v == nil {
			continue
		}
		merged[k] = v
		e.Parts = putPart(e.Parts, k, Setting{v, origin})
	}
	e.Origin = origin
}

// putPart sets key k among parts, which are sorted by name.
func putPart(parts []Explained, k string, s Setting) []Explained {
	i, found := slices.BinarySearchFunc(parts, k, func(e Explained, k string) int { return strings.Compare(e.Name, k) })
	if !found {
		return slices.Insert(parts, i, Explained{Name: k, Value: s.Value, Origin: s.Origin})
	}
	p := parts[i]
	over := append([]Setting{{p.Value, p.Origin}}, p.Over...)
	parts[i] = Explained{Name: k, Value: s.Value, Origin: s.Origin, Over: over}
	return parts
}

// decode reads what is in force into v, which holds the defaults already.
func (r *resolution) decode(v reflect.Value) {
	for i, f := range r.typ.fields {
		line := &r.lines[i]
		if line.Origin.Kind == KindDefault {
			if f.required {
				r.fail(f.missing(), r.call)
			}
			continue
		}
		if f.deprecated != "" {
			r.warnings = append(r.warnings, Warning{
				What: r.what, Option: f.name, Origin: line.Origin,
				Msg: "option `" + f.name + "` is deprecated: " + f.deprecated,
			})
		}
		if e := f.decode(f.in(v), line.Value); e != nil {
			r.fail(e, r.blame(f, line, e))
		}
	}
}

// blame is the origin of the part of a merged map that an error is about, or of the option.
func (r *resolution) blame(f *field, line *Explained, e *Error) Origin {
	for _, p := range line.Parts {
		if strings.HasPrefix(e.Option, f.name+`["`+p.Name+`"]`) || e.Option == f.name+"."+p.Name {
			return p.Origin
		}
	}
	return line.Origin
}

// check runs the rules across fields.
func (r *resolution) check(c checker) {
	err := c.Check()
	if err == nil {
		return
	}
	var own *Error
	if !errors.As(err, &own) {
		r.fail(&Error{Msg: err.Error()}, r.call)
		return
	}
	e := *own
	origin := r.call
	top, _, _ := strings.Cut(e.Option, ".")
	top, _, _ = strings.Cut(top, "[")
	if i, ok := r.typ.index[top]; ok && r.lines[i].Origin.Kind != KindDefault {
		origin = r.lines[i].Origin
	}
	r.fail(&e, origin)
}

func (r *resolution) fail(e *Error, origin Origin) {
	e.What = r.what
	if e.Origin == (Origin{}) {
		e.Origin = origin
	}
	r.errs = append(r.errs, e)
}

// finish is the trace as it is shown: nested structs leaf by leaf, secrets hidden.
func (r *resolution) finish() Trace {
	if !r.typ.nested && !r.typ.secrets {
		return r.lines
	}
	out := make(Trace, 0, len(r.lines)+8)
	for i, f := range r.typ.fields {
		out = f.spread(out, r.lines[i])
	}
	return out
}

// spread appends the lines of one field to out.
func (f *field) spread(out Trace, line Explained) Trace {
	if f.hidden || (f.sub != nil && f.sub.secrets && !f.leafy) {
		return append(out, line.hide(f))
	}
	if !f.leafy || (line.IsDefault() && f.typ.Kind() == reflect.Pointer) {
		return append(out, line)
	}
	m, _ := Map(line.Value)
	for i, sub := range f.sub.fields {
		leaf := f.sub.lines[i]
		if v := sub.pick(m); v != nil && !line.IsDefault() {
			leaf.Value, leaf.Origin = v, line.Origin
			for _, p := range line.Parts {
				if p.Name == sub.name {
					leaf.Origin, leaf.Over = p.Origin, p.Over
				}
			}
		}
		for _, o := range line.Over {
			om, _ := Map(o.Value)
			if v := sub.pick(om); v != nil {
				leaf.Over = append(leaf.Over, Setting{v, o.Origin})
			}
		}
		leaf.Name = line.Name + "." + leaf.Name
		out = sub.spread(out, leaf)
	}
	return out
}

// pick finds the field's value in a table, by its name or an alias.
func (f *field) pick(m map[string]any) any {
	if v := m[f.name]; v != nil {
		return v
	}
	for _, a := range f.aliases {
		if v := m[a]; v != nil {
			return v
		}
	}
	return nil
}

// decode reads one option's value; the error names the option.
func (f *field) decode(dst reflect.Value, v any) *Error {
	e := f.codec.decode(dst, v)
	if e == nil {
		return nil
	}
	if f.hidden {
		e = e.redact()
	}
	if e.Option == "" && strings.HasPrefix(e.Msg, "invalid type: ") {
		e.Msg += " for `" + f.name + "`"
	}
	return e.under(f.name)
}

// decode reads a nested table into dst.
func (st *structType) decode(dst reflect.Value, m map[string]any) *Error {
	dst.SetZero()
	st.fill(dst)
	for _, k := range sortedKeys(m) {
		if _, ok := st.index[k]; !ok {
			return st.unknown(k)
		}
	}
	for _, f := range st.fields {
		v := f.pick(m)
		if v == nil {
			if f.required {
				return f.missing()
			}
			continue
		}
		if e := f.decode(f.in(dst), v); e != nil {
			return e
		}
	}
	if c, ok := dst.Addr().Interface().(checker); ok {
		if err := c.Check(); err != nil {
			return wrapDecoder(err)
		}
	}
	return nil
}

// encode is the table that decodes to v; options that are unset are left out.
func (st *structType) encode(v reflect.Value) any {
	out := make(map[string]any, len(st.fields))
	for _, f := range st.fields {
		if x := f.encode(f.in(v)); x != nil {
			out[f.name] = x
		}
	}
	return out
}

// encode writes one option; nil is unset. Where the default is not empty, or a value must be given, an empty string
// was set.
func (f *field) encode(v reflect.Value) any {
	if f.hasDefault || f.required {
		return f.codec.encodeSet(v)
	}
	if f.codec.encode == nil || unsetNumber(v) {
		return nil
	}
	return f.codec.encode(v)
}

// unsetNumber tells a number or duration of 0 where no default says what 0 means: nobody set it.
func unsetNumber(v reflect.Value) bool {
	return (v.CanInt() || v.CanUint() || v.CanFloat()) && v.IsZero()
}

// Export is the table that a user would write for v, with every option that has a value: what a policy sees when it
// looks into the result of make_egress_path. Secrets given as data come out without it.
func (s *Schema[T]) Export(v T) map[string]any {
	return s.typ.encode(reflect.ValueOf(&v).Elem()).(map[string]any)
}

func (st *structType) unknown(name string) *Error {
	e := &Error{Option: cut(name), Msg: "unknown field `" + cut(name) + "`"}
	e.safe = e.Msg
	if near := Suggest(name, st.names); near != "" {
		e.Hint = "did you mean `" + near + "`?"
	} else if len(st.names) > 0 && len(st.names) <= 12 {
		e.Hint = "expected " + oneOf(st.names)
	}
	return e
}

func (f *field) missing() *Error {
	msg := "missing field `" + f.name + "`"
	return &Error{Option: f.name, Msg: msg, safe: msg}
}
