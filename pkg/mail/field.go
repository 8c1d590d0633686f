package mail

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	wrapAt  = 75  // RFC 2047 2 and RFC 5322 2.1.1: lines are kept below 78
	wrapMax = 900 // a word longer than this is broken; 998 is the limit of RFC 5322 2.1.1
	maxName = 256
)

// AppendField appends the field `name: value` with its line end to dst.
//
// With encode false the value is taken as it is; it may be folded already (CRLF or LF followed by a blank).
// With encode true it is unfolded, its non-ASCII words become encoded words (RFC 2047), and it is wrapped at about
// 75 columns; a word of more than 900 octets is broken.
//
// Neither way can a value end the field: a CR, LF or NUL that is no fold is an error that says where it stands, and
// nothing is appended then.
func AppendField(dst []byte, name, value string, encode bool) ([]byte, error) {
	if err := checkName(name); err != nil {
		return dst, err
	}
	value, err := normalFolds(value)
	if err != nil {
		return dst, fmt.Errorf("header %s: %w", name, err)
	}
	if encode {
		value = string(unfold([]byte(value)))
		if !utf8.ValidString(value) {
			return dst, fmt.Errorf("header %s: the value is not valid UTF-8 and cannot be encoded", name)
		}
	}
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	if encode {
		dst = appendFolded(dst, len(name)+2, encodeValue(len(name)+2, value))
	} else {
		dst = append(dst, value...)
	}
	return append(dst, crlf...), nil
}

// checkName accepts ftext (RFC 5322 2.2).
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("header name of %d characters: want 1 to %d", len(name), maxName)
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == ':' {
			return fmt.Errorf("header name %q: character %d is not allowed in a name", name, i+1)
		}
	}
	return nil
}

var errBlankLine = errors.New("the value has an empty line, which would end the header")

// normalFolds checks a value and writes its folds with CRLF.
func normalFolds(v string) (string, error) {
	if strings.IndexByte(v, '\n') < 0 && strings.IndexByte(v, '\r') < 0 {
		if i := strings.IndexByte(v, 0); i >= 0 {
			return "", fmt.Errorf("the value has a NUL at byte %d", i+1)
		}
		return v, nil
	}
	var b strings.Builder
	at := 0
	for line := range strings.SplitSeq(v, "\n") {
		last := at+len(line) == len(v)
		if !last {
			line = strings.TrimSuffix(line, "\r")
		}
		if i := strings.IndexAny(line, "\r\x00"); i >= 0 {
			return "", fmt.Errorf("the value has a bare CR or a NUL at byte %d", at+i+1)
		}
		switch {
		case at == 0:
		case line == "" || line[0] != ' ' && line[0] != '\t':
			return "", fmt.Errorf("the line end at byte %d of the value is not followed by a blank, so that it would end the field", at)
		case strings.Trim(line, " \t") == "":
			return "", errBlankLine
		default:
			b.WriteString(crlf)
		}
		b.WriteString(line)
		at += len(line) + 1
		if !last && at < len(v) && v[at-1] == '\r' {
			at++
		}
	}
	return b.String(), nil
}

// encodeValue encodes the stretch of v from its first to its last word that needs it, and leaves the rest alone, so
// that an address in brackets behind a name stays one.
func encodeValue(col int, v string) string {
	if isASCII(v) {
		return v
	}
	first, last := -1, 0
	for i := 0; i < len(v); {
		end := i
		for end < len(v) && !isBlank(v[end]) {
			end++
		}
		if !isASCII(v[i:end]) {
			if first < 0 {
				first = i
			}
			last = end
		}
		i = end + 1
	}
	out := make([]byte, 0, 2*len(v))
	out = append(out, v[:first]...)
	if first > 0 {
		col = 1 // there is a blank to wrap at
	}
	out = appendWords(out, col, v[first:last])
	return string(append(out, v[last:]...))
}

// appendFolded writes v, which begins in column col, with a line end before the blanks where it gets too long.
func appendFolded(dst []byte, col int, v string) []byte {
	for i := 0; i < len(v); {
		// A piece is a run of blanks and the word behind it; a line never begins with a piece without a word.
		end := i
		for end < len(v) && isBlank(v[end]) {
			end++
		}
		blanks := v[i:end]
		start := end
		for end < len(v) && !isBlank(v[end]) {
			end++
		}
		word := v[start:end]
		if len(blanks) > wrapAt {
			blanks = " "
		}
		if col+len(blanks)+len(word) > wrapAt && len(blanks) > 0 && word != "" {
			dst, col = append(dst, crlf...), 0
		}
		dst = append(dst, blanks...)
		col += len(blanks)
		for col+len(word) > wrapMax {
			n := runeCut(word, wrapMax-col)
			dst = append(dst, word[:n]...)
			dst = append(dst, "\r\n "...)
			word, col = word[n:], 1
		}
		dst = append(dst, word...)
		col += len(word)
		i = end
	}
	return dst
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// runeCut is the largest cut of s up to n that splits no UTF-8 character.
func runeCut(s string, n int) int {
	for i := n; i > n-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return n
}

// AppendDate appends t as RFC 5322 3.3 wants it: `Fri, 20 Nov 2026 13:00:00 +0000`.
func AppendDate(dst []byte, t time.Time) []byte {
	return t.AppendFormat(dst, "Mon, 2 Jan 2006 15:04:05 -0700")
}
