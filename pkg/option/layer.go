package option

import "maps"

// Kind says what sort of place a value came from.
type Kind string

const (
	KindDefault    Kind = "default"    // the tag of the field
	KindTOML       Kind = "toml"       // a TOML or JSON file
	KindLua        Kind = "lua"        // a table given by the policy
	KindAutomation Kind = "automation" // a traffic-shaping rule
	KindFlag       Kind = "flag"       // the command line
)

// Origin is where a value was set. At is "file:line" for files and Lua, a flag's name for flags, "" for defaults.
type Origin struct {
	Kind Kind   `json:"kind"`
	At   string `json:"at,omitempty"`
}

// String is the origin as route-test prints it: "toml shaping.toml:112".
func (o Origin) String() string {
	if o.At == "" {
		return string(o.Kind)
	}
	return string(o.Kind) + " " + o.At
}

// Setting is one value with its origin. Value is one of nil, bool, int64, float64, string, []any, map[string]any
// (and those within each other): what Lua, TOML and JSON have in common.
type Setting struct {
	Value  any    `json:"value"`
	Origin Origin `json:"origin"`
}

// Layer is one source's settings by option name.
type Layer map[string]Setting

// NewLayer gives every value of values the same origin.
func NewLayer(values map[string]any, origin Origin) Layer {
	l := make(Layer, len(values))
	for k, v := range values {
		l[k] = Setting{Value: v, Origin: origin}
	}
	return l
}

// Clone copies the layer; values are shared.
func (l Layer) Clone() Layer { return maps.Clone(l) }

// Explained is one line of a Trace: an option, its value in force as a user would write it, and who set it.
// Over holds the settings that this one overrode, nearest first, without the default. Parts explains each key of a
// map option that several layers merged (merge=map), sorted by key; it is empty for all others.
type Explained struct {
	Name   string      `json:"name"`
	Value  any         `json:"value"`
	Origin Origin      `json:"origin"`
	Over   []Setting   `json:"over,omitempty"`
	Parts  []Explained `json:"parts,omitempty"`
}

// IsDefault tells that no layer set the option.
func (e Explained) IsDefault() bool { return e.Origin.Kind == KindDefault }

// Trace explains every option of a resolved value, in the order of declaration.
type Trace []Explained

// Find returns the line of the option with this name ("max_ready", "protocol.smtp.mx_list").
func (t Trace) Find(name string) (Explained, bool) {
	for i := range t {
		if t[i].Name == name {
			return t[i], true
		}
	}
	return Explained{}, false
}
