package cli

import (
	"fmt"
	"reflect"
	"strings"
)

// column is one field of a row struct that people see.
type column struct {
	title string
	index []int
	right bool // numbers stand on the right
	keep  bool // never clipped, whatever the width of the terminal
	wide  bool // left out on terminals under wideTerminal columns
	drawn bool // left out where the output is no terminal
}

const wideTerminal = 120

// columnsOf reads the `col` tags of a row type: `col:"TITLE"`, followed by any of ",keep" (never clipped: ids),
// ",right", ",left", ",wide" (left out on narrow terminals), ",terminal" (there on terminals only: bars, and what else
// only eyes want). Embedded structs are part of the row. A tagged field without a json name panics: it is a mistake of
// the program.
func columnsOf(t reflect.Type) []column {
	var cols []column
	for _, f := range reflect.VisibleFields(t) {
		tag, ok := f.Tag.Lookup("col")
		if !ok || !f.IsExported() {
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name == "" {
			panic(fmt.Sprintf("cli: %s.%s has a col tag and no json name", t, f.Name))
		}
		words := strings.Split(tag, ",")
		c := column{title: words[0], index: f.Index, right: numeric(f.Type)}
		for _, w := range words[1:] {
			switch w {
			case "keep":
				c.keep = true
			case "right":
				c.right = true
			case "left":
				c.right = false
			case "wide":
				c.wide = true
			case "terminal":
				c.drawn = true
			default:
				panic(fmt.Sprintf("cli: %s.%s: unknown word %q in its col tag", t, f.Name, w))
			}
		}
		cols = append(cols, c)
	}
	return cols
}

func numeric(t reflect.Type) bool {
	if t.Implements(stringerType) || t.Implements(textType) {
		return false
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64:
		return true
	}
	return false
}

// structType is the struct behind t, through one pointer.
func structType(t reflect.Type) (reflect.Type, bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t, t.Kind() == reflect.Struct
}
