package option

// hide replaces what a line says about secrets by what may be shown of them.
func (e Explained) hide(f *field) Explained {
	e.Value = f.show(e.Value)
	over := make([]Setting, len(e.Over))
	for i, o := range e.Over {
		over[i] = Setting{f.show(o.Value), o.Origin}
	}
	parts := make([]Explained, len(e.Parts))
	for i, p := range e.Parts {
		parts[i] = p.hide(&field{tag: tag{secret: f.secret}, hidden: f.hidden, sub: f.sub})
	}
	e.Over, e.Parts = over, parts
	return e
}

// show is a value of the option as it may be shown.
func (f *field) show(v any) any {
	switch {
	case v == nil:
		return nil
	case f.secret:
		return "(secret)"
	case f.hidden:
		var s Secret
		if s.DecodeOption(v) != nil {
			return "(secret)"
		}
		return s.String()
	case f.sub == nil || !f.sub.secrets:
		return v
	}
	return f.sub.showIn(v, 2)
}

// showIn hides the secrets of a table of the type, or of tables that lie one list or map deeper.
func (st *structType) showIn(v any, depth int) any {
	if list, ok := v.([]any); ok {
		out := make([]any, len(list))
		for i, x := range list {
			out[i] = st.showIn(x, depth-1)
		}
		return out
	}
	m, ok := v.(map[string]any)
	if !ok || depth < 0 {
		return "(secret)"
	}
	out := make(map[string]any, len(m))
	for k, x := range m {
		if i, ok := st.index[k]; ok {
			out[k] = st.fields[i].show(x)
		} else {
			out[k] = st.showIn(x, depth-1)
		}
	}
	return out
}
