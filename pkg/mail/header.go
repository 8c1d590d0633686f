package mail

import (
	"bytes"
	"iter"
)

// Field is one header field where it stands in a message: data[Start:End] with its name, its value as written and
// its line ends. The slices share the message's memory and must not be changed.
type Field struct {
	Name  []byte // as written, without the colon
	Value []byte // after the colon, folds and outer blanks included, without the last line end
	Start int    // offset of the name
	End   int    // offset after the last line end of the field
}

// Is reports whether the field is called name, in any case.
func (f Field) Is(name string) bool {
	return len(f.Name) == len(name) && equalFold(f.Name, name)
}

// Text is the value unfolded (RFC 5322 2.2.3) and without outer blanks, encoded words left alone.
func (f Field) Text() string { return string(unfold(f.Value)) }

// Decoded is the value unfolded with its encoded words decoded to UTF-8 (RFC 2047). What cannot be decoded stays
// as it is.
func (f Field) Decoded() string { return Decode(f.Value) }

// Fields gives the header fields of a message in order. It takes time linear in the header, allocates nothing and
// takes any bytes: the header ends at the first empty line, at the first line that is neither a field nor the
// continuation of one, or at the end of data. Lines may end in CRLF or LF.
func Fields(data []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for pos := 0; ; {
			f, ok := fieldAt(data, pos)
			if !ok || !yield(f) {
				return
			}
			pos = f.End
		}
	}
}

// First is the first field called name, in any case.
func First(data []byte, name string) (Field, bool) {
	for pos := 0; ; {
		f, ok := fieldAt(data, pos)
		if !ok || f.Is(name) {
			return f, ok
		}
		pos = f.End
	}
}

// Last is the last field called name, in any case.
func Last(data []byte, name string) (last Field, found bool) {
	for f := range All(data, name) {
		last, found = f, true
	}
	return last, found
}

// All gives the fields called name, in any case and in order.
func All(data []byte, name string) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for f := range Fields(data) {
			if f.Is(name) && !yield(f) {
				return
			}
		}
	}
}

// Count is the number of fields called name; "" counts them all.
func Count(data []byte, name string) int {
	n := 0
	for f := range Fields(data) {
		if name == "" || f.Is(name) {
			n++
		}
	}
	return n
}

// HeaderEnd says where the header ends and where the body begins: data[:header] are the fields, data[body:] is the
// body, and between them stands the empty line, if there is one.
func HeaderEnd(data []byte) (header, body int) {
	for f := range Fields(data) {
		header = f.End
	}
	return header, header + blankLine(data[header:])
}

// blankLine is the length of the empty line at the start of b, 0 if there is none.
func blankLine(b []byte) int {
	switch {
	case len(b) > 0 && b[0] == '\n':
		return 1
	case len(b) > 1 && b[0] == '\r' && b[1] == '\n':
		return 2
	}
	return 0
}

// fieldAt reads the field at pos.
func fieldAt(data []byte, pos int) (Field, bool) {
	colon := pos
	for colon < len(data) && data[colon] > ' ' && data[colon] != ':' && data[colon] != 0x7f {
		colon++
	}
	name := data[pos:colon]
	for colon < len(data) && (data[colon] == ' ' || data[colon] == '\t') {
		colon++ // RFC 5322 4.5.8: blanks before the colon
	}
	if len(name) == 0 || colon == len(data) || data[colon] != ':' {
		return Field{}, false
	}
	end := lineEnd(data, colon)
	for end < len(data) && (data[end] == ' ' || data[end] == '\t') {
		end = lineEnd(data, end)
	}
	return Field{Name: name, Value: chomp(data[colon+1 : end]), Start: pos, End: end}, true
}

// lineEnd is the offset after the line that pos is in.
func lineEnd(data []byte, pos int) int {
	i := bytes.IndexByte(data[pos:], '\n')
	if i < 0 {
		return len(data)
	}
	return pos + i + 1
}

func chomp(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b
}

func equalFold(a []byte, b string) bool {
	for i, c := range a {
		d := b[i]
		if c != d && (lower(c) != lower(d)) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// unfold takes the line ends out of a value and trims it. It copies only when there is a line end.
func unfold(v []byte) []byte {
	if bytes.IndexByte(v, '\n') < 0 && bytes.IndexByte(v, '\r') < 0 {
		return bytes.Trim(v, " \t")
	}
	out := make([]byte, 0, len(v))
	for _, c := range v {
		if c != '\r' && c != '\n' {
			out = append(out, c)
		}
	}
	return bytes.Trim(out, " \t")
}
