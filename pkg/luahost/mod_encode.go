package luahost

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	lua "github.com/yuin/gopher-lua"
)

// coding is one way to write bytes as text.
type coding struct {
	name   string
	doc    string
	encode func([]byte) string
	decode func(string) ([]byte, error)
}

// codings are those with and without padding, as policies name them.
var codings = []coding{
	{"base32", "base32 (RFC 4648 section 6)", base32.StdEncoding.EncodeToString, base32.StdEncoding.DecodeString},
	{"base32_nopad", "base32 without padding", base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString, base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString},
	{"base32hex", "base32hex, which sorts as the bytes do (RFC 4648 section 7)", base32.HexEncoding.EncodeToString, base32.HexEncoding.DecodeString},
	{"base32hex_nopad", "base32hex without padding", base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString, base32.HexEncoding.WithPadding(base32.NoPadding).DecodeString},
	{"base64", "base64 (RFC 4648 section 4)", base64.StdEncoding.EncodeToString, base64.StdEncoding.DecodeString},
	{"base64_nopad", "base64 without padding", base64.RawStdEncoding.EncodeToString, base64.RawStdEncoding.DecodeString},
	{"base64url", "base64 with an alphabet for URLs (RFC 4648 section 5)", base64.URLEncoding.EncodeToString, base64.URLEncoding.DecodeString},
	{"base64url_nopad", "base64 for URLs without padding", base64.RawURLEncoding.EncodeToString, base64.RawURLEncoding.DecodeString},
}

var encodeModule = Module{
	Name:  "kumo.encode",
	Doc:   "Bytes as text and back.",
	Funcs: encodeFuncs(),
}

func encodeFuncs() []Func {
	const since = "2023.08.22-4d895015"
	var out []Func
	all := append([]coding{{"hex", "lower case hexadecimal", hex.EncodeToString, hex.DecodeString}}, codings...)
	for _, c := range all {
		out = append(out, Func{
			Name: c.name + "_encode", Args: "(string)", Returns: "string", Since: since, Doc: "Writes bytes in " + c.doc + ".",
			Example: "print(kumo.encode." + c.name + "_encode('hello'))",
			Go: func(l *lua.LState) int {
				l.Push(lua.LString(c.encode([]byte(l.CheckString(1)))))
				return 1
			},
		}, Func{
			Name: c.name + "_decode", Args: "(string)", Returns: "string", Since: since, Doc: "Reads bytes written in " + c.doc + ". Text that is not is an error.",
			Example: "local text = kumo.encode." + c.name + "_encode('hello')\nassert(kumo.encode." + c.name + "_decode(text) == 'hello')",
			Go: func(l *lua.LState) int {
				b, err := c.decode(l.CheckString(1))
				if err != nil {
					Fail(l, fmt.Errorf("kumo.encode.%s_decode: %w", c.name, err))
				}
				l.Push(lua.LString(b))
				return 1
			},
		})
	}
	return out
}
