package luahost

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"
)

// Freezer is a userdata value that can leave its State, for caches that all States share (kumo.memoize).
type Freezer interface {
	// Freeze gives a form that never changes and holds nothing of a State.
	Freeze() (Frozen, error)
}

// Frozen is such a form. It may be used by many goroutines.
type Frozen interface {
	// Thaw makes a value of s of it.
	Thaw(s *State) lua.LValue
}

// Freeze turns a Lua value into one that every State can have: what ToGo converts, and userdata that is a Freezer,
// also inside tables. Thaw gives it back.
func Freeze(v lua.LValue) (any, error) {
	nodes := 0
	return freeze(v, 0, &nodes)
}

// frozenTable keeps keys as they were, so that a list stays a list and an empty table empty.
type frozenTable struct {
	list  []any
	named map[string]any
	other map[float64]any
}

func freeze(v lua.LValue, depth int, nodes *int) (any, error) {
	if *nodes++; *nodes > maxConvertNodes {
		return nil, errTooBig
	}
	switch x := v.(type) {
	case *lua.LUserData:
		f, ok := x.Value.(Freezer)
		if !ok {
			return nil, fmt.Errorf("a value of type %s cannot be kept in a cache", typeName(v))
		}
		return f.Freeze()
	case *lua.LTable:
		if depth >= maxConvertDepth {
			return nil, errTooDeep
		}
		return freezeTable(x, depth+1, nodes)
	case *lua.LNilType, lua.LBool, lua.LNumber, lua.LString:
		return x, nil // these belong to no State
	}
	return nil, fmt.Errorf("a %s cannot be kept in a cache", v.Type())
}

func freezeTable(t *lua.LTable, depth int, nodes *int) (any, error) {
	out := &frozenTable{}
	var failed error
	t.ForEach(func(k, v lua.LValue) {
		if failed != nil || v == lua.LNil {
			return
		}
		var f any
		if f, failed = freeze(v, depth, nodes); failed != nil {
			return
		}
		switch key := k.(type) {
		case lua.LString:
			if out.named == nil {
				out.named = make(map[string]any)
			}
			out.named[string(key)] = f
		case lua.LNumber:
			if float64(key) == float64(len(out.list)+1) {
				out.list = append(out.list, f)
				return
			}
			if out.other == nil {
				out.other = make(map[float64]any)
			}
			out.other[float64(key)] = f
		default:
			failed = fmt.Errorf("a table key is a %s, expected a string or a number", k.Type())
		}
	})
	return out, failed
}

// Thaw makes a value of s of what Freeze gave.
func Thaw(s *State, v any) lua.LValue {
	switch x := v.(type) {
	case Frozen:
		return x.Thaw(s)
	case *frozenTable:
		t := s.L.CreateTable(len(x.list), len(x.named))
		for i, e := range x.list {
			t.RawSetInt(i+1, Thaw(s, e))
		}
		for k, e := range x.named {
			t.RawSetString(k, Thaw(s, e))
		}
		for k, e := range x.other {
			t.RawSet(lua.LNumber(k), Thaw(s, e))
		}
		return t
	case lua.LValue:
		return x
	}
	return lua.LNil
}
