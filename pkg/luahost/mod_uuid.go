package luahost

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	lua "github.com/yuin/gopher-lua"
)

// uuidType is a UUID (RFC 9562).
var uuidType = Type{
	Name: "uuid",
	Doc:  "A UUID. tostring gives it with hyphens.",
	Fields: []Field{
		{Name: "bytes", Doc: "16 bytes"},
		{Name: "hyphenated", Doc: "d7df2fca-7df3-4d43-a1d9-5ac5cb1ac0d9"},
		{Name: "simple", Doc: "32 hexadecimal digits"},
		{Name: "braced", Doc: "with hyphens, in braces"},
		{Name: "urn", Doc: "urn:uuid: and the form with hyphens"},
	},
	Index: func(l *lua.LState) int {
		u := Check[uuidValue](l, 1, "a uuid").UUID
		switch l.CheckString(2) {
		case "bytes":
			l.Push(lua.LString(u[:]))
		case "hyphenated":
			l.Push(lua.LString(u.String()))
		case "simple":
			l.Push(lua.LString(strings.ReplaceAll(u.String(), "-", "")))
		case "braced":
			l.Push(lua.LString("{" + u.String() + "}"))
		case "urn":
			l.Push(lua.LString(u.URN()))
		default:
			l.Push(lua.LNil)
		}
		return 1
	},
	String: func(l *lua.LState) int {
		l.Push(lua.LString(Check[uuidValue](l, 1, "a uuid").String()))
		return 1
	},
	Eq: func(l *lua.LState) int {
		l.Push(lua.LBool(Check[uuidValue](l, 1, "a uuid") == Check[uuidValue](l, 2, "a uuid")))
		return 1
	},
}

type uuidValue struct{ uuid.UUID }

// Plain is the form with hyphens.
func (u uuidValue) Plain() any { return u.String() }

// Freeze implements Freezer.
func (u uuidValue) Freeze() (Frozen, error) { return u, nil }

// Thaw implements Frozen.
func (u uuidValue) Thaw(s *State) lua.LValue { return s.NewUserData(&uuidType, u) }

var uuidModule = Module{
	Name: "kumo.uuid",
	Doc:  "Universally unique identifiers (RFC 9562).",
	Funcs: []Func{
		newUUID("1", "of time and node", uuid.NewUUID),
		newUUID("4", "that is random", uuid.NewRandom),
		newUUID("6", "of time and node, which sorts by time", uuid.NewV6),
		newUUID("7", "of time and random bits, which sorts by time", uuid.NewV7),
		{
			Name: "parse", Args: "(string)", Returns: "uuid", Since: "2024.09.02-c5476b89",
			Doc:     "Reads a UUID in any of the forms that a uuid can be written in, its 16 bytes included. Anything else is an error.",
			Example: "local id = kumo.uuid.parse 'd7df2fca-7df3-4d43-a1d9-5ac5cb1ac0d9'\nprint(id.simple)",
			Go: func(l *lua.LState) int {
				s := l.CheckString(1)
				u, err := uuid.Parse(s)
				if err != nil && len(s) == 16 {
					u, err = uuid.FromBytes([]byte(s))
				}
				if err != nil {
					Fail(l, fmt.Errorf("kumo.uuid.parse: %q is not a UUID", clip(s, 60)))
				}
				return pushUUID(l, u, nil)
			},
		},
	},
}

func newUUID(version, what string, make func() (uuid.UUID, error)) Func {
	name := "new_v" + version
	return Func{
		Name: name, Args: "()", Returns: "uuid", Since: "2024.09.02-c5476b89", Doc: "A new UUID of version " + version + ", " + what + ".",
		Example: "print(kumo.uuid." + name + "())",
		Go: func(l *lua.LState) int {
			u, err := make()
			return pushUUID(l, u, err)
		},
	}
}

func pushUUID(l *lua.LState, u uuid.UUID, err error) int {
	if err != nil {
		Fail(l, errors.Join(errors.New("kumo.uuid: no random bytes"), err))
	}
	l.Push(From(l).NewUserData(&uuidType, uuidValue{u}))
	return 1
}
