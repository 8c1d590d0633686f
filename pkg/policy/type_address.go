package policy

import (
	"encoding/json"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/luahost"
	"kumo/pkg/mail"
	"kumo/pkg/message"
)

// addressType is an envelope address.
var addressType = luahost.Type{
	Name: "address",
	Doc:  "An envelope address. tostring gives it as it goes over the wire.",
	Fields: []luahost.Field{
		{Name: "user", Doc: "the local part without quotes"},
		{Name: "domain", Doc: "the domain as written"},
		{Name: "email", Doc: "the whole address"},
	},
	Index: func(l *lua.LState) int {
		a := luahost.Check[*addressRef](l, 1, "an address").addr
		switch l.CheckString(2) {
		case "user":
			return text(l, a.User())
		case "domain":
			return text(l, a.Domain())
		case "email":
			return text(l, a.String())
		}
		l.Push(lua.LNil)
		return 1
	},
	String: func(l *lua.LState) int {
		return text(l, luahost.Check[*addressRef](l, 1, "an address").addr.String())
	},
	Eq: func(l *lua.LState) int {
		a, b := luahost.Check[*addressRef](l, 1, "an address"), luahost.Check[*addressRef](l, 2, "an address")
		l.Push(lua.LBool(a.addr == b.addr))
		return 1
	},
}

// addressRef is an address with its userdata in one piece of memory.
type addressRef struct {
	data lua.LUserData
	addr mail.Address
}

// Plain is the address as a string, for set_meta.
func (a *addressRef) Plain() any { return a.addr.String() }

func newAddress(l *lua.LState, a mail.Address) *lua.LUserData {
	r := &addressRef{addr: a}
	r.data = lua.LUserData{Value: r, Env: l.Env, Metatable: luahost.From(l).Metatable(&addressType)}
	return &r.data
}

func pushAddress(l *lua.LState, a mail.Address) int {
	l.Push(newAddress(l, a))
	return 1
}

// addressArg reads an address: an address object or a string that parses as one.
func addressArg(l *lua.LState, v lua.LValue, n int) mail.Address {
	switch x := v.(type) {
	case *lua.LUserData:
		if r, ok := x.Value.(*addressRef); ok {
			return r.addr
		}
	case lua.LString:
		a, err := mail.ParseAddress(string(x), true)
		if err != nil {
			l.ArgError(n, fmt.Sprintf("address %q: %v", clip(string(x)), err))
		}
		return a
	}
	l.ArgError(n, "an address or a string expected, got a "+v.Type().String())
	return mail.Address{}
}

// clip shortens text for an error.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// addressList is a parsed address header.
type addressList struct {
	name    string
	entries []mail.ListEntry
}

// addressHeaderType is a parsed address header.
var addressHeaderType = luahost.Type{
	Name: "addressheader",
	Doc:  "A parsed From or To header. user, domain, email and name raise an error unless the header has exactly one plain address; list always works.",
	Fields: []luahost.Field{
		{Name: "user", Doc: "the local part of the one address"},
		{Name: "domain", Doc: "its domain"},
		{Name: "email", Doc: "the address itself"},
		{Name: "name", Doc: "its display name, or nil"},
		{Name: "list", Doc: "all addresses, those of groups included"},
	},
	Index: func(l *lua.LState) int {
		h := luahost.Check[*addressList](l, 1, "an addressheader")
		field := l.CheckString(2)
		switch field {
		case "list":
			all := mail.Addresses(h.entries)
			t := l.CreateTable(len(all), 0)
			for i := range all {
				t.RawSetInt(i+1, luahost.From(l).NewUserData(&mailboxType, &all[i]))
			}
			l.Push(t)
			return 1
		case "user", "domain", "email", "name":
			if len(h.entries) != 1 || h.entries[0].IsGroup {
				l.RaiseError("%s header: .%s needs exactly one plain address; use .list", h.name, field)
			}
			return mailboxField(l, &h.entries[0].Mailbox, field)
		}
		l.Push(lua.LNil)
		return 1
	},
	String: func(l *lua.LState) int {
		h := luahost.Check[*addressList](l, 1, "an addressheader")
		all := mail.Addresses(h.entries)
		out := make([]mailboxJSON, len(all))
		for i := range all {
			out[i] = asJSON(&all[i])
		}
		b, _ := json.Marshal(out)
		return text(l, string(b))
	},
}

// mailboxType is one address of a header.
var mailboxType = luahost.Type{
	Name: "mailbox",
	Doc:  "One address of a header.",
	Fields: []luahost.Field{
		{Name: "user", Doc: "the local part without quotes"},
		{Name: "domain", Doc: "the domain"},
		{Name: "email", Doc: "the address"},
		{Name: "name", Doc: "the display name, or nil"},
	},
	Index: func(l *lua.LState) int {
		return mailboxField(l, luahost.Check[*mail.Mailbox](l, 1, "a mailbox"), l.CheckString(2))
	},
	String: func(l *lua.LState) int {
		b, _ := json.Marshal(asJSON(luahost.Check[*mail.Mailbox](l, 1, "a mailbox")))
		return text(l, string(b))
	},
}

func mailboxField(l *lua.LState, m *mail.Mailbox, field string) int {
	switch {
	case field == "user":
		return text(l, m.Address.User())
	case field == "domain":
		return text(l, m.Address.Domain())
	case field == "email":
		return text(l, m.Address.String())
	case field == "name" && m.Name != "":
		return text(l, m.Name)
	}
	l.Push(lua.LNil)
	return 1
}

// mailboxJSON is a mailbox as tostring shows it.
type mailboxJSON struct {
	Name    *string `json:"name"`
	Address string  `json:"address"`
}

func asJSON(m *mail.Mailbox) mailboxJSON {
	out := mailboxJSON{Address: m.Address.String()}
	if m.Name != "" {
		out.Name = &m.Name
	}
	return out
}

// connRef is the metadata of a connection in Lua's hands.
type connRef struct {
	meta *message.Meta
	live bool
}

// connType is the metadata of a connection.
var connType = luahost.Type{
	Name: "conn_meta",
	Doc:  "Metadata of the connection that mail comes in by: what is set here, later events of the connection and its later messages see.",
	Methods: []luahost.Func{
		{Name: "get_meta", Args: "(key)", Returns: "value or nil", Since: "2023.08.22-4d895015", Doc: "Reads metadata of the connection.", Example: `print(conn_meta:get_meta 'received_from')`, Go: func(l *lua.LState) int {
			l.Push(luahost.ToLua(l, connOf(l).meta.Get(l.CheckString(2))))
			return 1
		}},
		{Name: "set_meta", Args: "(key, value)", Since: "2023.08.22-4d895015", Doc: "Sets metadata of the connection.", Example: `conn_meta:set_meta('x_seen', true)`, Go: func(l *lua.LState) int {
			c := connOf(l)
			key, value := metaArgs(l)
			if c.meta == nil {
				c.meta = message.NewMeta(nil)
			}
			c.meta.Set(key, value)
			return 0
		}},
	},
}

func connOf(l *lua.LState) *connRef {
	c := luahost.Check[*connRef](l, 1, "a conn_meta")
	if !c.live {
		l.RaiseError("this conn_meta is gone: it was kept beyond the event that it was passed to")
	}
	return c
}
