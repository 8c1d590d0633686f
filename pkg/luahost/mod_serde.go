package luahost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	yaml "github.com/goccy/go-yaml"
	toml "github.com/pelletier/go-toml/v2"
	lua "github.com/yuin/gopher-lua"
)

// notation is one way to write tables as text.
type notation struct {
	name   string // "json"
	decode func([]byte) (any, error)
	encode func(v any, pretty bool) ([]byte, error)
}

var (
	jsonNotation = notation{"json", decodeJSON, encodeJSON}
	tomlNotation = notation{"toml", decodeTOML, encodeTOML}
	yamlNotation = notation{"yaml", decodeYAML, encodeYAML}
)

// maxDocument bounds files and texts that are read, in bytes.
const maxDocument = 64 << 20

const serdeSince = "2024.09.02-c5476b89"

var serdeModule = Module{
	Name: "kumo.serde",
	Doc:  "JSON, TOML and YAML. Whole numbers stay whole; keys are written in the order of their text.",
	Funcs: []Func{
		jsonNotation.load(serdeSince, "Reads a JSON file. Comments in the style of C, C++ and the shell are allowed."),
		jsonNotation.parse(serdeSince, "Reads JSON. Comments in the style of C, C++ and the shell are allowed."),
		jsonNotation.write("json_encode", serdeSince, false, "Writes JSON on one line."),
		jsonNotation.write("json_encode_pretty", serdeSince, true, "Writes JSON for people."),
		tomlNotation.load(serdeSince, "Reads a TOML file."),
		tomlNotation.parse(serdeSince, "Reads TOML."),
		tomlNotation.write("toml_encode", serdeSince, false, "Writes a table as TOML."),
		tomlNotation.write("toml_encode_pretty", serdeSince, true, "Writes a table as TOML, one item of a list to a line."),
		yamlNotation.load(serdeSince, "Reads a YAML file."),
		yamlNotation.parse(serdeSince, "Reads YAML."),
		yamlNotation.write("yaml_encode", serdeSince, false, "Writes YAML."),
	},
}

// SerdeAliases are the names that these functions had before KumoMTA 2024.09.02; its helpers still use them.
func SerdeAliases() []Func {
	return []Func{
		jsonNotation.load("", "The former name of kumo.serde.json_load."),
		jsonNotation.parse("", "The former name of kumo.serde.json_parse."),
		jsonNotation.write("json_encode", "", false, "The former name of kumo.serde.json_encode."),
		jsonNotation.write("json_encode_pretty", "", true, "The former name of kumo.serde.json_encode_pretty."),
		tomlNotation.load("", "The former name of kumo.serde.toml_load."),
		tomlNotation.parse("", "The former name of kumo.serde.toml_parse."),
		tomlNotation.write("toml_encode", "", false, "The former name of kumo.serde.toml_encode."),
		tomlNotation.write("toml_encode_pretty", "", true, "The former name of kumo.serde.toml_encode_pretty."),
	}
}

// module is where a function of that age is found.
func module(since string) string {
	if since == "" {
		return "kumo."
	}
	return "kumo.serde."
}

func (n notation) load(since, doc string) Func {
	name := n.name + "_load"
	return Func{
		Name: name, Args: "(filename)", Returns: "value", Since: since, Doc: doc,
		Example: "kumo.on('get_queue_config', function(domain)\n  if domain == 'known' then\n    return kumo.make_queue_config(" + module(since) + name + "('/opt/kumomta/etc/queues." + n.name + "')[domain])\n  end\nend)",
		Go: func(l *lua.LState) int {
			path := l.CheckString(1)
			text, err := readRegular(path, maxDocument)
			if err != nil {
				Fail(l, fmt.Errorf("%s%s: %w", module(since), name, err))
			}
			return n.push(l, text, module(since)+name+": "+path)
		},
	}
}

func (n notation) parse(since, doc string) Func {
	name := n.name + "_parse"
	text := map[string]string{"json": `{"a":1}`, "toml": "a = 1", "yaml": "a: 1"}[n.name]
	return Func{
		Name: name, Args: "(text)", Returns: "value", Since: since, Doc: doc,
		Example: "assert(" + module(since) + name + "('" + text + "').a == 1)",
		Go: func(l *lua.LState) int {
			return n.push(l, []byte(l.CheckString(1)), module(since)+name)
		},
	}
}

// push decodes text and returns it to Lua; where begins the error of text that is wrong.
func (n notation) push(l *lua.LState, text []byte, where string) int {
	if len(text) > maxDocument {
		Fail(l, fmt.Errorf("%s: %d bytes, at most %d can be read", where, len(text), maxDocument))
	}
	v, err := n.decode(text)
	if err == nil {
		nodes := 0
		v, err = neutral(v, 0, &nodes)
	}
	if err != nil {
		Fail(l, fmt.Errorf("%s: %w", where, err))
	}
	l.Push(ToLua(l, v))
	return 1
}

func (n notation) write(name, since string, pretty bool, doc string) Func {
	return Func{
		Name: name, Args: "(value)", Returns: "string", Since: since, Doc: doc,
		Example: "print(" + module(since) + name + " { a = 1, list = { 'x', 'y' } })",
		Go: func(l *lua.LState) int {
			v, err := ToGo(l.CheckAny(1))
			var out []byte
			if err == nil {
				out, err = n.encode(v, pretty)
			}
			if err != nil {
				Fail(l, fmt.Errorf("%s%s: %w", module(since), name, err))
			}
			l.Push(lua.LString(out))
			return 1
		},
	}
}

// neutral brings what decoders give to the values that ToLua knows, and bounds it: aliases in YAML can make small texts
// large.
func neutral(v any, depth int, nodes *int) (any, error) {
	if *nodes++; *nodes > 10*maxConvertNodes {
		return nil, errTooBig
	}
	if depth > maxConvertDepth {
		return nil, errTooDeep
	}
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			n, err := neutral(e, depth+1, nodes)
			if err != nil {
				return nil, err
			}
			x[k] = n
		}
		return x, nil
	case []any:
		for i, e := range x {
			n, err := neutral(e, depth+1, nodes)
			if err != nil {
				return nil, err
			}
			x[i] = n
		}
		return x, nil
	case nil, bool, string, int64, float64:
		return x, nil
	case uint64:
		return float64(x), nil
	case json.Number:
		if i, err := x.Int64(); err == nil {
			return i, nil
		}
		return x.Float64()
	case fmt.Stringer: // dates of TOML
		return x.String(), nil
	}
	return fmt.Sprint(v), nil
}

func decodeJSON(text []byte) (any, error) {
	text = withoutComments(text)
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more behind the value")
		}
	}
	switch {
	case err == nil:
		return v, nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return nil, errors.New("the text ends in the middle")
	}
	line, col := position(text, d.InputOffset())
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		line, col = position(text, s.Offset-1)
	}
	return nil, fmt.Errorf("line %d column %d: %w", line, col, err)
}

// position is the line and column of an offset, from 1.
func position(text []byte, off int64) (line, col int) {
	before := text[:min(max(off, 0), int64(len(text)))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

// withoutComments blanks comments out, so that places stay what they are.
func withoutComments(text []byte) []byte {
	out := bytes.Clone(text)
	blank := func(from, to int) int {
		for i := from; i < to; i++ {
			if out[i] != '\n' {
				out[i] = ' '
			}
		}
		return to
	}
	end := func(from int, mark string) int {
		if n := bytes.Index(out[from:], []byte(mark)); n >= 0 {
			return from + n + len(mark)
		}
		return len(out)
	}
	for i := 0; i < len(out); {
		switch rest := out[i:]; {
		case out[i] == '"':
			i++
			for i < len(out) && out[i] != '"' {
				if out[i] == '\\' {
					i++
				}
				i++
			}
			i++
		case out[i] == '#', bytes.HasPrefix(rest, []byte("//")):
			i = blank(i, end(i, "\n"))
		case bytes.HasPrefix(rest, []byte("/*")):
			i = blank(i, end(i+2, "*/"))
		default:
			i++
		}
	}
	return out
}

func encodeJSON(v any, pretty bool) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if pretty {
		e.SetIndent("", "  ")
	}
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func decodeTOML(text []byte) (any, error) {
	v := map[string]any{}
	err := toml.Unmarshal(text, &v)
	if d, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, col := d.Position()
		return nil, fmt.Errorf("line %d column %d: %s", line, col, strings.TrimPrefix(d.Error(), "toml: "))
	}
	return v, err
}

func encodeTOML(v any, pretty bool) ([]byte, error) {
	if _, ok := v.(map[string]any); !ok {
		return nil, errors.New("only a table with named values can be written as TOML")
	}
	var b bytes.Buffer
	e := toml.NewEncoder(&b)
	e.SetArraysMultiline(pretty)
	err := e.Encode(v)
	return b.Bytes(), err
}

func decodeYAML(text []byte) (any, error) {
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return nil, errors.New(strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	return v, nil
}

func encodeYAML(v any, _ bool) ([]byte, error) { return yaml.Marshal(v) }
