package option

// Kind says what sort of place a value came from.
type Kind string

const (
	KindDefault    Kind = "default"
	KindTOML       Kind = "toml"
	KindLua        Kind = "lua"
	KindAutomation Kind = "automation"
	KindFlag       Kind = "flag"
)

// Origin is where a value was set. At is "file:line" for files and Lua, a flag's name for flags, "" for defaults.
type Origin struct {
	Kind Kind   `json:"kind"`
	At   string `json:"at,omitempty"`
}

// Setting is one value with its origin. Value is one of nil, bool, int64, float64, string, []any, map[string]any
// (and those within each other): what Lua, TOML and JSON have in common.
type Setting struct {
	Value  any
	Origin Origin
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

// Explained is one line of a Trace: an option, its value in force as a user would write it, and who set it.
// Over holds what this setting overrode, nearest first.
type Explained struct {
	Name   string   `json:"name"`
	Value  any      `json:"value"`
	Origin Origin   `json:"origin"`
	Over   []Origin `json:"over,omitempty"`
}

// Trace explains every option of a resolved value, in the order of declaration.
type Trace []Explained
