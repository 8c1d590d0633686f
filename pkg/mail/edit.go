package mail

import "bytes"

// Prepend puts field, one or more whole fields with their line ends (from AppendField), before the header. Messages
// that begin with their body get the empty line that parts it from the header.
// The result is new; data is not changed.
func Prepend(data, field []byte) []byte {
	gap := missingGap(data)
	out := make([]byte, 0, len(field)+len(gap)+len(data))
	out = append(out, field...)
	out = append(out, gap...)
	return append(out, data...)
}

// Append puts field behind the last header field. The result is new; data is not changed.
func Append(data, field []byte) []byte {
	header, _ := HeaderEnd(data)
	before, gap := "", missingGap(data)
	if header > 0 && data[header-1] != '\n' {
		before = crlf
	}
	out := make([]byte, 0, len(data)+len(before)+len(field)+len(gap))
	out = append(out, data[:header]...)
	out = append(out, before...)
	out = append(out, field...)
	out = append(out, gap...)
	return append(out, data[header:]...)
}

const crlf = "\r\n"

// missingGap is the empty line that a message without a header needs before its body once it gets a field.
func missingGap(data []byte) string {
	if _, ok := fieldAt(data, 0); ok || len(data) == 0 || blankLine(data) > 0 {
		return ""
	}
	return crlf
}

// Remove takes away every field called name, in any case. Without such a field it returns data itself.
func Remove(data []byte, name string) []byte {
	return RemoveFunc(data, func(f Field) bool { return f.Is(name) })
}

// RemoveFirst takes away the first field called name.
func RemoveFirst(data []byte, name string) []byte {
	f, ok := First(data, name)
	if !ok {
		return data
	}
	return bytes.Join([][]byte{data[:f.Start], data[f.End:]}, nil)
}

// RemoveFunc takes away every field that drop chooses, with one allocation. Without such a field it returns data
// itself; otherwise the result is new and data is not changed.
func RemoveFunc(data []byte, drop func(Field) bool) []byte {
	var out []byte
	kept := 0 // data[:kept] has been dealt with
	for f := range Fields(data) {
		if !drop(f) {
			continue
		}
		if out == nil {
			out = make([]byte, 0, len(data))
		}
		out = append(out, data[kept:f.Start]...)
		kept = f.End
	}
	if kept == 0 {
		return data
	}
	return append(out, data[kept:]...)
}
