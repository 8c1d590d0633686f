package smtp

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxWireText bounds the text of one line that we write, so that the line with code, enhanced code and CRLF
// stays within the 512 octets of RFC 5321 4.5.3.1.5. Longer text goes on in a further line.
const maxWireText = 490

// AppendReply appends r as it goes to a peer: `CODE X.Y.Z text` and CRLF, one line per line of Text, each with the
// code and the enhanced code (RFC 2034 4). Control characters and invalid UTF-8 in Text become "?", so that nothing a
// client sent can end the line or reach a terminal. A code outside of 200 to 599 goes out as 451.
func AppendReply(dst []byte, r Reply) []byte {
	code := r.Code
	if code < 200 || code > 599 {
		code = 451
	}
	text := r.Text
	for {
		line, rest, more := strings.Cut(text, "\n")
		line = strings.TrimSuffix(line, "\r")
		if len(line) > maxWireText {
			n := cutText(line)
			line, rest, more = line[:n], strings.TrimPrefix(text[n:], " "), true
		}
		sep := byte(' ')
		if more {
			sep = '-'
		}
		dst = strconv.AppendInt(dst, int64(code), 10)
		if !r.Enhanced.IsZero() {
			dst = append(dst, sep)
			dst = r.Enhanced.Append(dst)
			sep = ' '
		}
		if line != "" || sep == '-' || r.Enhanced.IsZero() {
			dst = append(dst, sep)
		}
		dst = appendTame(dst, line)
		dst = append(dst, '\r', '\n')
		if !more {
			return dst
		}
		text = rest
	}
}

// cutText is where a long line is cut: at the last blank, if that is not too early, else between characters.
func cutText(line string) int {
	if i := strings.LastIndexByte(line[:maxWireText], ' '); i > maxWireText/2 {
		return i
	}
	n := maxWireText
	for n > maxWireText-utf8.UTFMax && !utf8.RuneStart(line[n]) {
		n--
	}
	return n
}

// appendTame appends s with "?" for what must not be shown.
func appendTame(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return appendTameSlow(append(dst, s[:i]...), s[i:])
		}
	}
	return append(dst, s...)
}

func appendTameSlow(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			dst = append(dst, '?')
		} else {
			dst = append(dst, s[i:i+n]...)
		}
		i += n
	}
	return dst
}

var (
	errNoCode = errors.New("it does not begin with a reply code from 200 to 599")
	errNoSep  = errors.New("the reply code is not followed by a blank or a hyphen")
)

// ParseReplyLine takes one line of a reply apart (RFC 5321 4.2), without its line end: the code, whether more lines
// follow, and the text behind the code.
func ParseReplyLine(line []byte) (code int, more bool, text []byte, err error) {
	if len(line) < 3 {
		return 0, false, nil, errNoCode
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false, nil, errNoCode
		}
		code = code*10 + int(c-'0')
	}
	if code < 200 || code > 599 {
		return 0, false, nil, errNoCode
	}
	if len(line) == 3 {
		return code, false, nil, nil
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, nil, errNoSep
	}
	return code, line[3] == '-', line[4:], nil
}

// cutEnhanced parts a leading enhanced status code from a line of text.
func cutEnhanced(text []byte) (Enhanced, []byte) {
	if len(text) < 5 || text[1] != '.' || text[0] != '2' && text[0] != '4' && text[0] != '5' {
		return Enhanced{}, text
	}
	end := 0
	for end < len(text) && end < 10 && text[end] != ' ' {
		end++
	}
	e, ok := ParseEnhanced(string(text[:end]))
	if !ok {
		return Enhanced{}, text
	}
	if end < len(text) {
		end++
	}
	return e, text[end:]
}
