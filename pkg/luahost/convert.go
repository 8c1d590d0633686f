package luahost

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"

	lua "github.com/yuin/gopher-lua"
)

// Bounds of one conversion. Tables that contain each other, or share parts over and over, end here.
const (
	maxConvertDepth = 64
	maxConvertNodes = 200_000
)

// Plainer is userdata that converts to a neutral value, such as the result of make_queue_config.
type Plainer interface{ Plain() any }

var (
	errTooDeep = fmt.Errorf("a table is nested more than %d deep (or contains itself)", maxConvertDepth)
	errTooBig  = fmt.Errorf("a table has more than %d values", maxConvertNodes)
	errMixed   = errors.New("a table has both list items and named values")
)

// ToGo turns a Lua value into nil, bool, int64 (a whole number), float64, string, []any or map[string]any. A table
// with items is a list; an empty table is an empty map; number keys that form no list become strings.
// Functions, threads and foreign userdata are errors.
func ToGo(v lua.LValue) (any, error) {
	nodes := 0
	return toGo(v, 0, &nodes)
}

func toGo(v lua.LValue, depth int, nodes *int) (any, error) {
	*nodes++
	if *nodes > maxConvertNodes {
		return nil, errTooBig
	}
	switch x := v.(type) {
	case lua.LString:
		return string(x), nil
	case lua.LNumber:
		return number(x), nil
	case lua.LBool:
		return bool(x), nil
	case *lua.LNilType:
		return nil, nil
	case *lua.LTable:
		if depth >= maxConvertDepth {
			return nil, errTooDeep
		}
		return tableToGo(x, depth+1, nodes)
	case *lua.LUserData:
		if p, ok := x.Value.(Plainer); ok {
			return p.Plain(), nil
		}
		return nil, fmt.Errorf("cannot convert %s", typeName(v))
	}
	return nil, fmt.Errorf("cannot convert a %s", v.Type())
}

// number keeps whole numbers whole.
func number(n lua.LNumber) any {
	f := float64(n)
	if f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		return int64(f)
	}
	return f
}

func tableToGo(t *lua.LTable, depth int, nodes *int) (any, error) {
	if n := t.Len(); n > 0 && t.RawGetInt(1) != lua.LNil { // gopher-lua fills gaps below a number key with nils
		return listToGo(t, n, depth, nodes)
	}
	out := map[string]any{}
	var failed error
	t.ForEach(func(k, v lua.LValue) {
		if failed != nil || v == lua.LNil {
			return
		}
		var key string
		switch x := k.(type) {
		case lua.LString:
			key = string(x)
		case lua.LNumber:
			key = x.String()
		default:
			failed = fmt.Errorf("a table key is a %s, expected a string", k.Type())
			return
		}
		out[key], failed = within(v, key, depth, nodes)
	})
	return out, failed
}

func listToGo(t *lua.LTable, n, depth int, nodes *int) (any, error) {
	if n > maxConvertNodes {
		return nil, errTooBig
	}
	mixed := false
	t.ForEach(func(k, _ lua.LValue) {
		i, ok := k.(lua.LNumber)
		mixed = mixed || !ok || i < 1 || i > lua.LNumber(n) || float64(i) != math.Trunc(float64(i))
	})
	if mixed {
		return nil, errMixed
	}
	out := make([]any, n)
	for i := range out {
		v, err := within(t.RawGetInt(i+1), "["+strconv.Itoa(i+1)+"]", depth, nodes)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// within converts a value inside a table; at the outermost level its key goes into the error.
func within(v lua.LValue, key string, depth int, nodes *int) (any, error) {
	out, err := toGo(v, depth, nodes)
	if err != nil && depth == 1 {
		err = fmt.Errorf("%s: %w", clip(key, 60), err)
	}
	return out, err
}

// ToLua turns a neutral value into a Lua value. Anything else becomes nil.
func ToLua(l *lua.LState, v any) lua.LValue {
	switch x := v.(type) {
	case string:
		return lua.LString(x)
	case int64:
		return lua.LNumber(x)
	case int:
		return lua.LNumber(x)
	case float64:
		return lua.LNumber(x)
	case bool:
		return lua.LBool(x)
	case []any:
		t := l.CreateTable(len(x), 0)
		for i, e := range x {
			t.RawSetInt(i+1, ToLua(l, e))
		}
		return t
	case []string:
		t := l.CreateTable(len(x), 0)
		for i, e := range x {
			t.RawSetInt(i+1, lua.LString(e))
		}
		return t
	case map[string]any:
		t := l.CreateTable(0, len(x))
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		sort.Strings(keys) // so that pairs has one order
		for _, k := range keys {
			t.RawSetString(k, ToLua(l, x[k]))
		}
		return t
	case lua.LValue:
		return x
	}
	return lua.LNil
}

// typeName is what errors call a value: the type's name for userdata.
func typeName(v lua.LValue) string {
	if ud, ok := v.(*lua.LUserData); ok {
		if mt, ok := ud.Metatable.(*lua.LTable); ok {
			if n, ok := mt.RawGetString("__name").(lua.LString); ok {
				return string(n)
			}
		}
	}
	return v.Type().String()
}
