package mail

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

// maxCharset bounds the name of a charset in an encoded word; the longest registered one has 45 letters.
const maxCharset = 64

// Decode unfolds a header value and decodes its encoded words (RFC 2047) to UTF-8. Neighbouring words of one
// charset are decoded together, because senders split characters between them. What is malformed or in an unknown
// charset stays as it is written. Control characters that hide in encoded words become blanks. Time is linear.
func Decode(value []byte) string {
	v := unfold(value)
	if !bytes.Contains(v, []byte("=?")) {
		return string(v)
	}
	d := decoder{src: v, out: make([]byte, 0, len(v))}
	pos := 0
	for {
		i := bytes.Index(v[pos:], []byte("=?"))
		if i < 0 {
			break
		}
		start := pos + i
		w, n := cutWord(v[start:])
		if n == 0 {
			d.plain(pos, start+2)
			pos = start + 2
			continue
		}
		d.plain(pos, start)
		d.word(w, start, start+n)
		pos = start + n
	}
	d.plain(pos, len(v))
	d.flush()
	return string(d.out)
}

// encodedWord is `=?charset?encoding?text?=` taken apart.
type encodedWord struct {
	charset string
	text    []byte // B or Q undone
}

// decoder gathers neighbouring words until something else comes.
type decoder struct {
	src, out   []byte
	charset    string
	group      []byte // bytes of the gathered words, in charset
	start, end int    // where they stand in src; end is 0 when there are none
}

// plain takes src[from:to] as it is. Blanks between two words are not text (RFC 2047 6.2): they are held back
// until it is known what follows.
func (d *decoder) plain(from, to int) {
	if from == to {
		return
	}
	if d.end == from && d.end > 0 && len(bytes.Trim(d.src[from:to], " \t")) == 0 && to < len(d.src) {
		return
	}
	if d.end > 0 {
		blanks := d.src[d.end:from]
		d.flush()
		d.out = append(d.out, blanks...)
	}
	d.out = append(d.out, d.src[from:to]...)
}

func (d *decoder) word(w encodedWord, start, end int) {
	if d.end > 0 && !strings.EqualFold(w.charset, d.charset) {
		d.flush()
	}
	if d.end == 0 {
		d.charset, d.start = w.charset, start
	}
	d.group = append(d.group, w.text...)
	d.end = end
}

func (d *decoder) flush() {
	if d.end == 0 {
		return
	}
	if text, ok := toUTF8(d.charset, d.group); ok {
		d.out = append(d.out, text...)
	} else {
		d.out = append(d.out, d.src[d.start:d.end]...)
	}
	d.group, d.end = d.group[:0], 0
}

// cutWord reads the encoded word at the start of v, which begins with "=?". n is its length, 0 if there is none.
// It looks no further than the third question mark and a bounded charset, which keeps Decode linear.
func cutWord(v []byte) (w encodedWord, n int) {
	head := v[2:min(len(v), 2+maxCharset+1)]
	q := bytes.IndexByte(head, '?')
	if q <= 0 || bytes.ContainsAny(head[:q], " \t") || len(v) < 2+q+3 || v[2+q+2] != '?' {
		return w, 0
	}
	charset, _, _ := strings.Cut(string(head[:q]), "*") // RFC 2231 5: language after a star
	encoding := v[2+q+1]
	text := v[2+q+3:]
	end := bytes.IndexByte(text, '?')
	if end < 0 || end+1 >= len(text) || text[end+1] != '=' {
		return w, 0
	}
	var ok bool
	w.charset = charset
	switch encoding {
	case 'B', 'b':
		w.text, ok = undoB(text[:end])
	case 'Q', 'q':
		w.text, ok = undoQ(text[:end]), true
	}
	if !ok {
		return w, 0
	}
	return w, 2 + q + 3 + end + 2
}

func undoB(text []byte) ([]byte, bool) {
	text = bytes.TrimRight(text, "= ")
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	n, err := base64.RawStdEncoding.Decode(out, text)
	return out[:n], err == nil
}

func undoQ(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '_':
			out = append(out, ' ')
		case c == '=' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			out = append(out, unhex(text[i+1])<<4|unhex(text[i+2]))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return lower(c) - 'a' + 10
}

// toUTF8 converts b from charset; not ok when it is unknown or b is not in it.
func toUTF8(charset string, b []byte) (string, bool) {
	switch strings.ToLower(charset) {
	case "utf-8", "utf8", "us-ascii", "ascii":
		if !utf8.Valid(b) {
			return "", false
		}
		return tame(string(b)), true
	}
	enc, err := htmlindex.Get(charset)
	if err != nil {
		return "", false
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil || bytes.ContainsRune(out, utf8.RuneError) {
		return "", false
	}
	return tame(string(out)), true
}

// tame turns control characters into blanks.
func tame(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// wordRoom is what an encoded word of 75 octets (RFC 2047 2) has for text: 75 less `=?UTF-8?B?` and `?=`.
const wordRoom = 75 - 12

// appendWords writes s, valid UTF-8, as encoded words with a blank between them. The first one begins in column col.
func appendWords(dst []byte, col int, s string) []byte {
	b := quotedCost(s) > (len(s)+2)/3*4
	room := max(wordRoom-col, wordRoom/4)
	for first := true; s != ""; first = false {
		if !first {
			dst = append(dst, ' ')
			room = wordRoom - 1
		}
		n := wordCut(s, room, b)
		if b {
			dst = append(dst, "=?UTF-8?B?"...)
			dst = base64.StdEncoding.AppendEncode(dst, []byte(s[:n]))
		} else {
			dst = append(dst, "=?UTF-8?Q?"...)
			dst = appendQ(dst, s[:n])
		}
		dst = append(dst, "?="...)
		s = s[n:]
	}
	return dst
}

// wordCut is how many bytes of s, whole characters, fit into a word with room for so much text.
func wordCut(s string, room int, b bool) int {
	cost, n := 0, 0
	for n < len(s) {
		_, size := utf8.DecodeRuneInString(s[n:])
		if b {
			cost = (n + size + 2) / 3 * 4
		} else {
			cost += quotedCost(s[n : n+size])
		}
		if cost > room {
			break
		}
		n += size
	}
	return n
}

func quotedCost(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if n++; !plainQ(s[i]) && s[i] != ' ' {
			n += 2
		}
	}
	return n
}

func appendQ(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			dst = append(dst, '_')
		case plainQ(c):
			dst = append(dst, c)
		default:
			dst = append(dst, '=', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

// plainQ is what a Q word may hold even inside a phrase (RFC 2047 5.3).
func plainQ(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '!' || c == '*' || c == '+' || c == '-' || c == '/'
}
