package message

import (
	"encoding/json"
	"maps"
	"slices"
	"sync/atomic"
)

// Meta is metadata: names with JSON-like values (nil, bool, int64, float64, string, []any, map[string]any).
// A Meta may stand on a base that it shares with others (the metadata of the connection) and does not change;
// its own values hide those of the base. A nil *Meta is empty and can be read.
type Meta struct {
	base *Meta
	own  map[string]any
	snap *Meta // the frozen view of the present values, nil when there is none; m itself when m is frozen

	// The JSON of a frozen Meta's values without the braces, made once: connections share it among their messages.
	encoded atomic.Pointer[[]byte]
}

// NewMeta makes an empty Meta on the present values of base, which may be nil. What is set on base afterwards is
// not seen: messages that went their way do not change when policy sets something on their connection.
func NewMeta(base *Meta) *Meta { return &Meta{base: base.Freeze()} }

// Freeze is a view of the present values that never changes and that goroutines may share. It costs nothing when
// nothing was set since the last time. Setting a value of a frozen Meta panics: it would change others' values.
func (m *Meta) Freeze() *Meta {
	if m == nil {
		return nil
	}
	if m.snap == nil {
		f := &Meta{base: m.base, own: m.own}
		f.snap = f
		m.snap = f
	}
	return m.snap
}

// Get is the value of name, nil if there is none.
func (m *Meta) Get(name string) any {
	for ; m != nil; m = m.base {
		if v, ok := m.own[name]; ok {
			return v
		}
	}
	return nil
}

// String is the value of name if it is a string, else "".
func (m *Meta) String(name string) string {
	s, _ := m.Get(name).(string)
	return s
}

// Set gives name a value; nil hides what the base has.
func (m *Meta) Set(name string, value any) {
	if m.snap == m {
		panic("message: set " + name + " of frozen metadata")
	}
	if m.snap != nil {
		m.own, m.snap = maps.Clone(m.own), nil
	}
	if m.own == nil {
		m.own = make(map[string]any, 4)
	}
	m.own[name] = value
}

// Len is an upper bound of the number of values.
func (m *Meta) Len() int {
	n := 0
	for ; m != nil; m = m.base {
		n += len(m.own)
	}
	return n
}

// All is a copy of everything that is not nil.
func (m *Meta) All() map[string]any {
	var layers []*Meta
	for l := m; l != nil; l = l.base {
		layers = append(layers, l)
	}
	out := make(map[string]any, m.Len())
	for _, l := range slices.Backward(layers) {
		maps.Copy(out, l.own)
	}
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}

// Clone is a Meta of its own with the same values.
func (m *Meta) Clone() *Meta { return &Meta{own: m.All()} }

// MarshalJSON writes a JSON object with sorted names.
func (m *Meta) MarshalJSON() ([]byte, error) { return json.Marshal(m.All()) }

// UnmarshalJSON replaces the values. Whole numbers stay whole.
func (m *Meta) UnmarshalJSON(b []byte) error {
	v, err := decodeJSON(b)
	if err != nil {
		return err
	}
	m.base, m.own, m.snap = nil, v, nil
	return nil
}
