package policy

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/luahost"
	"kumo/pkg/mail"
	"kumo/pkg/message"
)

// messageType is the message that events get.
var messageType = luahost.Type{
	Name:    "message",
	Doc:     "A message: envelope, metadata and content. It is valid until its event ends.",
	Methods: append(append(envelopeMethods(), headerMethods()...), keepingMethods()...),
	String: func(l *lua.LState) int {
		return text(l, "message "+luahost.Check[*messageRef](l, 1, "a message").id())
	},
}

func envelopeMethods() []luahost.Func {
	return []luahost.Func{
		{Name: "id", Args: "()", Returns: "string", Doc: "The id: 32 hexadecimal digits.", Example: `print(msg:id())`, Go: msgID},
		{Name: "sender", Args: "()", Returns: "address", Doc: "The envelope sender; its tostring is empty for the null sender.", Example: `print(msg:sender().domain)`, Go: msgSender},
		{Name: "set_sender", Args: "(address)", Since: "2023.08.22-4d895015", Doc: "Changes the envelope sender: a string or an address. An empty string is the null sender.", Example: `msg:set_sender 'bounces@example.com'`, Go: msgSetSender},
		{Name: "recipient", Args: "()", Returns: "address, or a list of them", Doc: "The envelope recipient; a list when there are several.", Example: `print(msg:recipient().email)`, Go: msgRecipient},
		{Name: "recipient_list", Args: "()", Returns: "list of addresses", Since: "2025.12.02-67ee9e96", Doc: "The envelope recipients, always as a list.", Example: `print(#msg:recipient_list())`, Go: msgRecipientList},
		{Name: "set_recipient", Args: "(address or list)", Since: "2023.08.22-4d895015", Doc: "Changes the envelope recipients: a string, an address, or a list of them.", Example: `msg:set_recipient 'archive@example.com'`, Go: msgSetRecipient},
		{Name: "queue_name", Args: "()", Returns: "string", Since: "2024.06.10-84e84b89", Doc: "The scheduled queue that the message goes to, by its metadata and first recipient.", Example: `print(msg:queue_name())`, Go: msgQueueName},
		{Name: "num_attempts", Args: "()", Returns: "number", Since: "2024.06.10-84e84b89", Doc: "How many delivery attempts were made.", Example: `print(msg:num_attempts())`, Go: msgNumAttempts},
		{Name: "get_meta", Args: "(key)", Returns: "value or nil", Doc: "Reads metadata.", Example: `print(msg:get_meta 'tenant')`, Go: msgGetMeta},
		{Name: "set_meta", Args: "(key, value)", Doc: "Sets metadata: anything that JSON can hold. queue, tenant, campaign and routing_domain choose the queue and must be strings.", Example: `msg:set_meta('tenant', 'acme')`, Go: msgSetMeta},
		{Name: "get_data", Args: "()", Returns: "string", Doc: "Header and body as they would leave.", Example: `print(#msg:get_data())`, Go: msgGetData},
		{Name: "set_data", Args: "(data)", Since: "2024.06.10-84e84b89", Doc: "Replaces header and body. Line ends become CRLF.", Example: `msg:set_data('Subject: hello\r\n\r\nworld\r\n')`, Go: msgSetData},
	}
}

// messageRef is a message in Lua's hands; m is nil once its event has ended.
type messageRef struct{ m *message.Message }

func (r *messageRef) id() string {
	if r.m == nil {
		return "(gone)"
	}
	return r.m.ID.String()
}

// msgOf is the message that a method is called on.
func msgOf(l *lua.LState) *message.Message {
	r := luahost.Check[*messageRef](l, 1, "a message")
	if r.m == nil {
		l.RaiseError("this message is gone: it was kept beyond the event that it was passed to")
	}
	return r.m
}

// dataOf is its content.
func dataOf(l *lua.LState, m *message.Message) []byte {
	b, err := m.Data()
	if err != nil {
		luahost.Fail(l, fmt.Errorf("read the message: %w", err))
	}
	return b
}

func text(l *lua.LState, s string) int {
	l.Push(lua.LString(s))
	return 1
}

func msgID(l *lua.LState) int     { return text(l, msgOf(l).ID.String()) }
func msgSender(l *lua.LState) int { return pushAddress(l, msgOf(l).Sender) }

func msgSetSender(l *lua.LState) int {
	m := msgOf(l)
	m.Sender = addressArg(l, l.Get(2), 2)
	return 0
}

func msgRecipient(l *lua.LState) int {
	m := msgOf(l)
	if len(m.Recipients) == 1 {
		return pushAddress(l, m.Recipients[0])
	}
	return msgRecipientList(l)
}

func msgRecipientList(l *lua.LState) int {
	list := msgOf(l).Recipients
	t := l.CreateTable(len(list), 0)
	for i, a := range list {
		t.RawSetInt(i+1, newAddress(l, a))
	}
	l.Push(t)
	return 1
}

func msgSetRecipient(l *lua.LState) int {
	m := msgOf(l)
	var list []mail.Address
	if t, ok := l.Get(2).(*lua.LTable); ok {
		for i := 1; i <= t.Len(); i++ {
			list = append(list, addressArg(l, t.RawGetInt(i), 2))
		}
	} else {
		list = []mail.Address{addressArg(l, l.Get(2), 2)}
	}
	if len(list) == 0 {
		l.ArgError(2, "a message needs a recipient, the list is empty")
	}
	for _, a := range list {
		if a.IsNull() {
			l.ArgError(2, "the null address cannot be a recipient")
		}
	}
	m.Recipients = list
	return 0
}

func msgQueueName(l *lua.LState) int { return text(l, msgOf(l).QueueName()) }

func msgNumAttempts(l *lua.LState) int {
	l.Push(lua.LNumber(msgOf(l).Attempts))
	return 1
}

func msgGetMeta(l *lua.LState) int {
	l.Push(luahost.ToLua(l, msgOf(l).Meta.Get(l.CheckString(2))))
	return 1
}

func msgSetMeta(l *lua.LState) int {
	m := msgOf(l)
	key, value := metaArgs(l)
	if m.Meta == nil {
		m.Meta = message.NewMeta(nil)
	}
	m.Meta.Set(key, value)
	return 0
}

// metaArgs reads key and value of set_meta, and refuses what a log record or a queue name could not show.
func metaArgs(l *lua.LState) (string, any) {
	key := l.CheckString(2)
	value, err := luahost.ToGo(l.Get(3))
	if err != nil {
		luahost.Fail(l, fmt.Errorf("set_meta %q: %w", key, err))
	}
	if key == "" || !utf8.ValidString(key) || !validText(value) {
		luahost.Fail(l, fmt.Errorf("set_meta %q: metadata must be UTF-8 text, and its key not empty", key))
	}
	switch key {
	case "queue", "tenant", "campaign", "routing_domain":
		if _, ok := value.(string); !ok && value != nil {
			luahost.Fail(l, fmt.Errorf("set_meta %q: expected a string, got a %s", key, l.Get(3).Type()))
		}
	}
	return key, value
}

// validText reports that all text inside v is UTF-8.
func validText(v any) bool {
	switch x := v.(type) {
	case string:
		return utf8.ValidString(x)
	case []any:
		for _, e := range x {
			if !validText(e) {
				return false
			}
		}
	case map[string]any:
		for k, e := range x {
			if !utf8.ValidString(k) || !validText(e) {
				return false
			}
		}
	}
	return true
}

func msgGetData(l *lua.LState) int { return text(l, string(dataOf(l, msgOf(l)))) }

func msgSetData(l *lua.LState) int {
	m := msgOf(l)
	m.SetData(crlf(l.CheckString(2)))
	return 0
}

// crlf makes CRLF of every bare CR and LF: nothing else may leave (it is what SMTP smuggling is made of).
func crlf(s string) []byte {
	extra := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\r' && i+1 < len(s) && s[i+1] == '\n':
			i++
		case s[i] == '\r' || s[i] == '\n':
			extra++
		}
	}
	if extra == 0 {
		return []byte(s)
	}
	var b bytes.Buffer
	b.Grow(len(s) + extra)
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\r' && i+1 < len(s) && s[i+1] == '\n':
			b.WriteString("\r\n")
			i++
		case s[i] == '\r' || s[i] == '\n':
			b.WriteString("\r\n")
		default:
			b.WriteByte(s[i])
		}
	}
	return b.Bytes()
}
