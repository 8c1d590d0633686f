package journal

import (
	"strings"

	"kumo/pkg/mail"
	"kumo/pkg/message"
)

// names is a list of names and `prefix*` patterns, sorted out once.
type names struct {
	exact    []string
	prefixes []string // without the "*"; "" matches all
}

func parseNames(list []string) names {
	var n names
	for _, s := range list {
		if p, ok := strings.CutSuffix(s, "*"); ok {
			n.prefixes = append(n.prefixes, p)
		} else {
			n.exact = append(n.exact, s)
		}
	}
	return n
}

func (n names) empty() bool { return len(n.exact) == 0 && len(n.prefixes) == 0 }

// match reports whether name is one of the names, letter by letter.
func (n names) match(name string) bool {
	for _, e := range n.exact {
		if e == name {
			return true
		}
	}
	for _, p := range n.prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// appendMeta appends the object of the metadata that n names and that is not null.
func (n names) appendMeta(b []byte, m *message.Meta) []byte {
	if len(n.prefixes) > 0 {
		all := m.All()
		for name := range all {
			if !n.match(name) {
				delete(all, name)
			}
		}
		return appendMap(b, all, 0)
	}
	b = append(b, '{')
	open := len(b)
	for _, name := range n.exact {
		v := m.Get(name)
		if v == nil {
			continue
		}
		if len(b) > open {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		b = appendValue(b, v, 1)
	}
	return append(b, '}')
}

// maxHeaderValues bounds the values that one record takes from a message's header.
const maxHeaderValues = 100

// headerOf is the key that a field has in a record: the name as configured, or as the message has it when a prefix
// matches; "" when the field is not wanted. Case does not matter in field names (RFC 5322 1.2.2).
func (n names) headerOf(f mail.Field) string {
	for _, e := range n.exact {
		if f.Is(e) {
			return e
		}
	}
	for _, p := range n.prefixes {
		if len(f.Name) >= len(p) && strings.EqualFold(string(f.Name[:len(p)]), p) {
			return string(f.Name)
		}
	}
	return ""
}

// appendHeaders appends the object of the header fields that n names, decoded: a string each, or an array where a
// field is repeated.
func (n names) appendHeaders(b []byte, m *message.Message) []byte {
	if n.empty() || m == nil {
		return append(b, "{}"...)
	}
	data, err := m.Data()
	if err != nil {
		return append(b, "{}"...)
	}
	var keys []string
	values := map[string][]any{}
	count := 0
	for f := range mail.Fields(data) {
		key := n.headerOf(f)
		if key == "" {
			continue
		}
		if count++; count > maxHeaderValues {
			break
		}
		if _, seen := values[key]; !seen {
			keys = append(keys, key)
		}
		values[key] = append(values[key], f.Decoded())
	}
	b = append(b, '{')
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, key), ':')
		if v := values[key]; len(v) == 1 {
			b = appendValue(b, v[0], 1)
		} else {
			b = appendValue(b, v, 1)
		}
	}
	return append(b, '}')
}
