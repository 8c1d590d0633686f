package luahost

import (
	"crypto/sha1" //nolint:gosec // policies ask for it by name
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"hash/crc32"

	lua "github.com/yuin/gopher-lua"
)

// binaryType is what digests and ciphers give: bytes that know how to be written.
var binaryType = Type{
	Name: "binary",
	Doc:  "Bytes, as digests and ciphers give them. tostring writes them in hexadecimal.",
	Fields: append([]Field{
		{Name: "bytes", Doc: "the bytes themselves"},
		{Name: "hex", Doc: "in lower case hexadecimal"},
	}, binaryFields()...),
	Index: func(l *lua.LState) int {
		b := Check[Binary](l, 1, "a binary")
		switch field := l.CheckString(2); field {
		case "bytes":
			l.Push(lua.LString(b))
		case "hex":
			l.Push(lua.LString(hex.EncodeToString([]byte(b))))
		default:
			l.Push(lua.LNil)
			for _, c := range codings {
				if c.name == field {
					l.Pop(1)
					l.Push(lua.LString(c.encode([]byte(b))))
				}
			}
		}
		return 1
	},
	String: func(l *lua.LState) int {
		l.Push(lua.LString(hex.EncodeToString([]byte(Check[Binary](l, 1, "a binary")))))
		return 1
	},
	Eq: func(l *lua.LState) int {
		l.Push(lua.LBool(Check[Binary](l, 1, "a binary") == Check[Binary](l, 2, "a binary")))
		return 1
	},
}

func binaryFields() []Field {
	var out []Field
	for _, c := range codings {
		out = append(out, Field{Name: c.name, Doc: "in " + c.doc})
	}
	return out
}

// Binary is the value of a binary.
type Binary string

// Plain is the bytes in hexadecimal.
func (b Binary) Plain() any { return hex.EncodeToString([]byte(b)) }

// Freeze implements Freezer.
func (b Binary) Freeze() (Frozen, error) { return b, nil }

// Thaw implements Frozen.
func (b Binary) Thaw(s *State) lua.LValue { return s.NewUserData(&binaryType, b) }

// PushBinary returns bytes to Lua as a binary.
func PushBinary(l *lua.LState, b []byte) int {
	l.Push(From(l).NewUserData(&binaryType, Binary(b)))
	return 1
}

var digestModule = Module{
	Name: "kumo.digest",
	Doc:  "Hashes. Each function takes one or more strings, hashes them one after the other, and gives a binary.",
	Funcs: []Func{
		digest("sha1", "", sha1.New),
		digest("sha224", "2025.12.02-67ee9e96", sha256.New224),
		digest("sha256", "", sha256.New),
		digest("sha384", "", sha512.New384),
		digest("sha512", "", sha512.New),
		digest("sha512_256", "", sha512.New512_256),
		digest("sha3_256", "2025.12.02-67ee9e96", func() hash.Hash { return sha3.New256() }),
		digest("sha3_384", "2025.12.02-67ee9e96", func() hash.Hash { return sha3.New384() }),
		digest("sha3_512", "2025.12.02-67ee9e96", func() hash.Hash { return sha3.New512() }),
		digest("crc32", "", func() hash.Hash { return crc32.NewIEEE() }),
	},
}

func digest(name, since string, algorithm func() hash.Hash) Func {
	return Func{
		Name: name, Args: "(string, …)", Returns: "binary", Since: since,
		Doc:     "The " + name + " of the strings together.",
		Example: "print(kumo.digest." + name + "('hello').hex)",
		Go: func(l *lua.LState) int {
			h := algorithm()
			l.CheckString(1)
			for i := 1; i <= l.GetTop(); i++ {
				_, _ = h.Write([]byte(l.CheckString(i)))
			}
			return PushBinary(l, h.Sum(nil))
		},
	}
}
