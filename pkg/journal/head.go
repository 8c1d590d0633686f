package journal

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"kumo/pkg/message"
)

// Line is a record as it stands in a segment, of which no more is read than is asked for: for those who look at
// millions.
type Line struct {
	Type Type
	ID   message.ID // zero where the record has none
	Time time.Time  // event_time, else timestamp; the time of the record before it where it has neither
	Raw  []byte     // the record without its line end; good until the next one

	head head
}

// Entry reads all of the record.
func (l *Line) Entry() (Entry, error) { return parseEntry(l.Raw) }

// Created is when the message was received; zero where the record does not say.
func (l *Line) Created() time.Time {
	if t, ok := parseTime(l.head.createdTime); ok {
		return t
	}
	return seconds(l.head.created)
}

// EachRecipient calls f with each recipient of the record. The bytes are good until f returns.
func (l *Line) EachRecipient(f func([]byte)) {
	raw := l.head.recipient
	if len(raw) >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		if len(raw) > 2 {
			f(raw[1 : len(raw)-1])
		}
		return
	}
	var list StringList
	if json.Unmarshal(raw, &list) != nil {
		return
	}
	for _, r := range list {
		f([]byte(r))
	}
}

// Field is the value of a top-level field as it stands in the record, nil where there is none.
func (l *Line) Field(name string) json.RawMessage {
	var found []byte
	eachField(l.Raw, func(key, value []byte) bool {
		if string(key) != name {
			return true
		}
		found = value
		return false
	})
	return found
}

// head is what reading sorts and filters by: values of the record as they stand there.
type head struct {
	typ, id, recipient                         []byte
	timestamp, eventTime, created, createdTime []byte
}

// read finds the values; false when line is no JSON object with a type.
func (h *head) read(line []byte) bool {
	*h = head{}
	ok := eachField(line, func(key, value []byte) bool {
		switch string(key) {
		case "type":
			h.typ = value
		case "id":
			h.id = value
		case "recipient":
			h.recipient = value
		case "timestamp":
			h.timestamp = value
		case "event_time":
			h.eventTime = value
		case "created":
			h.created = value
		case "created_time":
			h.createdTime = value
		}
		return h.createdTime == nil || h.typ == nil || h.eventTime == nil
	})
	return ok && len(h.typ) > 2
}

// quick reads type and id alone where they stand in front, as in every record of ours and of KumoMTA's.
func (h *head) quick(line []byte) bool {
	const front = `{"type":"`
	const middle = `","id":"`
	if !bytes.HasPrefix(line, []byte(front)) {
		return false
	}
	i := bytes.IndexByte(line[len(front):], '"')
	if i < 0 {
		return false
	}
	end := len(front) + i
	rest := line[end:]
	if !bytes.HasPrefix(rest, []byte(middle)) {
		return false
	}
	j := bytes.IndexByte(rest[len(middle):], '"')
	if j < 0 {
		return false
	}
	*h = head{typ: line[len(front)-1 : end+1], id: rest[len(middle)-1 : len(middle)+j+1]}
	return true
}

// when is the moment of the record; false where it does not say.
func (h *head) when() (time.Time, bool) {
	if t, ok := parseTime(h.eventTime); ok {
		return t, true
	}
	t := seconds(h.timestamp)
	return t, !t.IsZero()
}

func (h *head) message() message.ID {
	var id message.ID
	if len(h.id) > 2 {
		id, _ = message.ParseID(string(h.id[1 : len(h.id)-1]))
	}
	return id
}

// kind is the type of the record.
func (h *head) kind() Type {
	name := h.typ[1 : len(h.typ)-1]
	for _, t := range types {
		if string(t) == string(name) {
			return t
		}
	}
	return Type(name)
}

func seconds(b []byte) time.Time {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// parseTime reads a quoted time in RFC 3339 form.
func parseTime(b []byte) (time.Time, bool) {
	if len(b) < 2 || b[0] != '"' {
		return time.Time{}, false
	}
	var t time.Time
	err := t.UnmarshalText(b[1 : len(b)-1])
	return t.UTC(), err == nil
}

// eachField calls f for the fields of a JSON object, keys without quotes, values as they stand, until f returns
// false. It returns false when line is not an object as far as it was looked at.
func eachField(line []byte, f func(key, value []byte) bool) bool {
	i := blank(line, 0)
	if i >= len(line) || line[i] != '{' {
		return false
	}
	i = blank(line, i+1)
	if i < len(line) && line[i] == '}' {
		return true
	}
	for {
		end := skipString(line, i)
		if end < 0 {
			return false
		}
		key := line[i+1 : end-1]
		if i = blank(line, end); i >= len(line) || line[i] != ':' {
			return false
		}
		i = blank(line, i+1)
		if end = skipValue(line, i); end < 0 {
			return false
		}
		if !f(key, line[i:end]) {
			return true
		}
		if i = blank(line, end); i >= len(line) || line[i] != ',' {
			return i < len(line) && line[i] == '}'
		}
		i = blank(line, i+1)
	}
}

func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// skipString is where the string that begins at i ends, -1 when there is none.
func skipString(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; ; {
		j := bytes.IndexByte(b[i:], '"')
		if j < 0 {
			return -1
		}
		end := i + j
		slashes := 0
		for end-slashes > i && b[end-slashes-1] == '\\' {
			slashes++
		}
		i = end + 1
		if slashes%2 == 0 {
			return i
		}
	}
}

// skipValue is where the value that begins at i ends, -1 when there is none. Inside of objects and arrays only the
// brackets and strings are looked at.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		return skipNested(b, i)
	}
	start := i
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

func skipNested(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			if i = skipString(b, i); i < 0 {
				return -1
			}
			continue
		}
		i++
	}
	return -1
}
