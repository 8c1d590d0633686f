package intake

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"kumo/pkg/mail"
	"kumo/pkg/message"
)

// The JSON of the supplemental field: a mark by which reports find it again, and the recipient.
const (
	mark     = `{"_@_":"\\_/"`
	rcptName = `,"recipient":`
	foldAt   = 900 // lines longer than this are folded: RFC 5322 2.1.1 allows 998
)

// supplementalRoom is how many bytes the supplemental field of m takes if it has no metadata values.
func supplementalRoom(t *message.TraceHeaders, m *message.Message) int {
	if len(m.Recipients) != 1 {
		return 0
	}
	n := len(mark) + len(rcptName) + len(m.Recipients[0].String()) + len(`""}`)
	return len(t.HeaderName) + len(": \r\n") + base64.StdEncoding.EncodedLen(n)
}

// addSupplemental puts the supplemental trace field in front of the message.
func (d *draft) addSupplemental(t *message.TraceHeaders) error {
	if !t.SupplementalHeader {
		return nil
	}
	data, err := d.Data()
	if err != nil {
		return fmt.Errorf("add %s: %w", t.HeaderName, err)
	}
	var plain, field [512]byte
	payload, err := appendPayload(plain[:0], t, d.Message)
	if err != nil {
		return fmt.Errorf("add %s: %w", t.HeaderName, err)
	}
	d.prepend(appendField(field[:0], t.HeaderName, payload), data)
	return nil
}

// appendPayload writes the JSON object. A message for several recipients names none of them, as Received does: what
// goes to each must not tell who the others are.
func appendPayload(b []byte, t *message.TraceHeaders, m *message.Message) ([]byte, error) {
	b = append(b, mark...)
	if len(m.Recipients) == 1 {
		b = appendJSONString(append(b, rcptName...), m.Recipients[0])
	}
	for _, name := range t.IncludeMetaNames {
		v := m.Meta.Get(name)
		if v == nil {
			continue
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("metadata %s: %w", name, err)
		}
		b = append(append(append(append(b, ','), key...), ':'), value...)
	}
	return append(b, '}'), nil
}

// appendJSONString writes an address as JSON.
func appendJSONString(b []byte, a mail.Address) []byte {
	s := a.String()
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			// Addresses hold valid UTF-8; what is not becomes the replacement character.
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, fmt.Sprintf(`\u%04x`, c)...)
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}

// appendField writes `NAME: BASE64`, folded when it is too long for a line.
func appendField(b []byte, name string, plain []byte) []byte {
	b = append(append(b, name...), ": "...)
	line := foldAt - len(name) - 2
	coded := make([]byte, 0, 512)
	coded = base64.StdEncoding.AppendEncode(coded, plain)
	for len(coded) > line {
		b = append(append(b, coded[:line]...), "\r\n "...)
		coded, line = coded[line:], foldAt-1
	}
	return append(append(b, coded...), "\r\n"...)
}
