package policy

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/luahost"
	"kumo/pkg/mail"
	"kumo/pkg/message"
)

func headerMethods() []luahost.Func {
	return []luahost.Func{
		{Name: "get_first_named_header_value", Args: "(name)", Returns: "string or nil", Doc: "The decoded value of the first header of this name.", Example: `print(msg:get_first_named_header_value 'Subject')`, Go: hdrFirst},
		{Name: "get_all_named_header_values", Args: "(name)", Returns: "list of strings", Doc: "The decoded values of all headers of this name, from top to bottom.", Example: `print(#msg:get_all_named_header_values 'Received')`, Go: hdrAll},
		{Name: "append_header", Args: "(name, value [, encode])", Doc: "Adds a header below the others. With encode the value is wrapped and encoded (RFC 2047); without it is taken as it is.", Example: `msg:append_header('X-Seen-By', 'policy')`, Go: hdrAppend},
		{Name: "prepend_header", Args: "(name, value [, encode])", Doc: "Adds a header above the others.", Example: `msg:prepend_header('X-Grüße' and 'X-Greeting', 'Grüße', true)`, Go: hdrPrepend},
		{Name: "remove_all_named_headers", Args: "(name)", Since: "2023.08.22-4d895015", Doc: "Removes the headers of this name.", Example: `msg:remove_all_named_headers 'X-Mailer'`, Go: hdrRemove},
		{Name: "import_x_headers", Args: "([names])", Doc: "Copies X- headers, or exactly the named headers, into metadata: the key is the name in lower case with _ for -. The lowest of several wins.", Example: `msg:import_x_headers { 'X-Campaign-ID' }`, Go: hdrImport},
		{Name: "remove_x_headers", Args: "([names])", Doc: "Removes X- headers, or exactly the named headers.", Example: `msg:remove_x_headers { 'X-Campaign-ID' }`, Go: hdrRemoveX},
		{Name: "from_header", Args: "()", Returns: "addressheader or nil", Doc: "The parsed From header.", Example: `local from = msg:from_header()
if from then print(from.domain) end`, Go: func(l *lua.LState) int { return addressHeader(l, "From") }},
		{Name: "to_header", Args: "()", Returns: "addressheader or nil", Doc: "The parsed To header.", Example: `local to = msg:to_header()
if to then print(#to.list) end`, Go: func(l *lua.LState) int { return addressHeader(l, "To") }},
	}
}

func hdrFirst(l *lua.LState) int {
	m, name := msgOf(l), l.CheckString(2)
	f, ok := mail.First(dataOf(l, m), name)
	if !ok {
		l.Push(lua.LNil)
		return 1
	}
	return text(l, f.Decoded())
}

func hdrAll(l *lua.LState) int {
	m, name := msgOf(l), l.CheckString(2)
	t := l.NewTable()
	for f := range mail.All(dataOf(l, m), name) {
		t.Append(lua.LString(f.Decoded()))
	}
	l.Push(t)
	return 1
}

func hdrAppend(l *lua.LState) int { return addHeader(l, mail.Append) }

func hdrPrepend(l *lua.LState) int { return addHeader(l, mail.Prepend) }

func addHeader(l *lua.LState, add func(data, field []byte) []byte) int {
	m := msgOf(l)
	name, value := l.CheckString(2), l.CheckString(3)
	field, err := mail.AppendField(nil, name, value, lua.LVAsBool(l.Get(4)))
	if err != nil {
		luahost.Fail(l, err)
	}
	m.SetData(add(dataOf(l, m), field))
	return 0
}

func hdrRemove(l *lua.LState) int {
	m, name := msgOf(l), l.CheckString(2)
	m.SetData(mail.Remove(dataOf(l, m), name))
	return 0
}

func hdrImport(l *lua.LState) int {
	m := msgOf(l)
	chosen := headerChoice(l)
	for f := range mail.Fields(dataOf(l, m)) {
		if chosen(f) {
			if m.Meta == nil {
				m.Meta = message.NewMeta(nil)
			}
			m.Meta.Set(metaName(f.Name), strings.ToValidUTF8(f.Decoded(), "\uFFFD"))
		}
	}
	return 0
}

// metaName is a header's name as a key of metadata.
func metaName(header []byte) string {
	b := make([]byte, len(header))
	for i, c := range header {
		switch {
		case c == '-':
			c = '_'
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		b[i] = c
	}
	return string(b)
}

func hdrRemoveX(l *lua.LState) int {
	m := msgOf(l)
	m.SetData(mail.RemoveFunc(dataOf(l, m), headerChoice(l)))
	return 0
}

// headerChoice reads an optional list of names: without it all X- headers are meant.
func headerChoice(l *lua.LState) func(mail.Field) bool {
	if l.Get(2) == lua.LNil {
		return func(f mail.Field) bool {
			return len(f.Name) > 1 && f.Name[0]|0x20 == 'x' && f.Name[1] == '-'
		}
	}
	list := l.CheckTable(2)
	names := make([]string, 0, list.Len())
	for i := 1; i <= list.Len(); i++ {
		name, ok := list.RawGetInt(i).(lua.LString)
		if !ok {
			l.ArgError(2, fmt.Sprintf("item %d is a %s, expected the name of a header", i, list.RawGetInt(i).Type()))
		}
		names = append(names, string(name))
	}
	return func(f mail.Field) bool {
		for _, n := range names {
			if f.Is(n) {
				return true
			}
		}
		return false
	}
}

// addressHeader pushes a parsed address header.
func addressHeader(l *lua.LState, name string) int {
	f, ok := mail.First(dataOf(l, msgOf(l)), name)
	if !ok {
		l.Push(lua.LNil)
		return 1
	}
	entries, err := mail.ParseAddressList(f.Value)
	if err != nil {
		luahost.Fail(l, fmt.Errorf("%s header: %w", name, err))
	}
	l.Push(luahost.From(l).NewUserData(&addressHeaderType, &addressList{name: name, entries: entries}))
	return 1
}
