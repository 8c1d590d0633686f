package mail

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of RFC 5321 4.5.3.1, in octets. Local parts count with their quotes, paths with their brackets.
const (
	MaxLocal  = 200 // octets; RFC 5321 4.5.3.1.1 says 64, but VERP and SRS make longer ones and real servers take them
	MaxDomain = 255
	MaxPath   = 256
	maxLabel  = 63
)

// AddressError says what is wrong with an address. Problem holds no byte of the input, so that it may be shown to
// a peer; the listener answers 501 with 5.1.7 for senders and 5.1.3 for recipients.
type AddressError struct {
	Input     string // as given
	Problem   string // "the domain has an empty label"
	NeedsUTF8 bool   // the address would be good with SMTPUTF8 (RFC 6531 3.5: 553 5.6.7)
}

func (e *AddressError) Error() string {
	if e.Input == "" {
		return "address: " + e.Problem
	}
	in := e.Input
	if len(in) > 80 {
		in = in[:80] + "..."
	}
	return "address " + strconv.QuoteToASCII(in) + ": " + e.Problem
}

func wrong(problem string) *AddressError { return &AddressError{Problem: problem} }

// ParsePath reads a whole reverse-path or forward-path (RFC 5321 4.1.2): `<user@example.com>`, `<>`, or
// `<postmaster>` in any case, which alone needs no domain. A source route (`<@a,@b:user@example.com>`) is checked
// and dropped, as RFC 5321 appendix C asks of every server: mail goes to the mailbox, never along the route.
// With wide the mailbox may hold UTF-8 (RFC 6531). The error is an *AddressError.
func ParsePath(s string, wide bool) (Address, error) {
	a, rest, err := CutPath(s, wide)
	if err == nil && rest != "" {
		return Address{}, &AddressError{Input: s, Problem: "there is text after the closing bracket"}
	}
	return a, err
}

// CutPath reads a path from the beginning of s as ParsePath does and returns what follows its closing bracket,
// the parameters of MAIL and RCPT.
func CutPath(s string, wide bool) (a Address, rest string, err error) {
	end := pathEnd(s)
	if end < 0 {
		return Address{}, "", &AddressError{Input: s, Problem: "want <address>"}
	}
	inside := s[1 : end-1]
	if inside == "" {
		return Address{}, s[end:], nil
	}
	mailbox, e := cutRoute(inside, wide)
	if e == nil {
		a, e = parseMailbox(mailbox, wide, true)
	}
	if e != nil {
		e.Input = s[:end]
		return Address{}, "", e
	}
	return a, s[end:], nil
}

// ParseAddress reads an address without brackets: `user@example.com`, `"a b"@example.com`, `postmaster`. The empty
// string is the null sender. The error is an *AddressError.
func ParseAddress(s string, wide bool) (Address, error) {
	if s == "" {
		return Address{}, nil
	}
	a, e := parseMailbox(s, wide, true)
	if e != nil {
		e.Input = s
		return Address{}, e
	}
	return a, nil
}

// pathEnd is the index after the bracket that closes the path at the start of s, -1 if there is none. Brackets
// inside quotes do not count.
func pathEnd(s string) int {
	if s == "" || s[0] != '<' {
		return -1
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			quoted = !quoted
		case '\\':
			if quoted {
				i++
			}
		case '>':
			if !quoted {
				return i + 1
			}
		}
	}
	return -1
}

// cutRoute checks and drops `@a,@b:`.
func cutRoute(s string, wide bool) (string, *AddressError) {
	if s[0] != '@' {
		return s, nil
	}
	// A literal may hold colons: the route ends at the first one outside square brackets.
	end, deep := -1, false
	for i := 0; i < len(s) && end < 0; i++ {
		switch s[i] {
		case '[':
			deep = true
		case ']':
			deep = false
		case ':':
			if !deep {
				end = i
			}
		}
	}
	if end < 0 || end == len(s)-1 {
		return "", wrong("there is no local part before the @")
	}
	for hop := range strings.SplitSeq(s[:end], ",") {
		if hop == "" || hop[0] != '@' {
			return "", wrong("the source route is malformed")
		}
		if e := checkDomain(hop[1:], wide); e != nil {
			return "", e
		}
	}
	return s[end+1:], nil
}

// parseMailbox reads local-part@domain; local-part alone is taken for postmaster if bare.
func parseMailbox(s string, wide, bare bool) (Address, *AddressError) {
	n, e := localEnd(s, wide)
	switch {
	case e != nil:
		return Address{}, e
	case n > MaxLocal:
		return Address{}, wrong("the local part is longer than 200 octets")
	case n == len(s):
		if bare && strings.EqualFold(s, "postmaster") {
			return Address{wire: s, at: n}, nil
		}
		return Address{}, wrong("there is no domain")
	case s[n] != '@':
		return Address{}, wrong("the local part has a character that needs quotes, or is not allowed")
	}
	if e := checkDomain(s[n+1:], wide); e != nil {
		return Address{}, e
	}
	if len(s)+2 > MaxPath {
		return Address{}, wrong("the path is longer than 256 octets")
	}
	return Address{wire: s, at: n}, nil
}

// localEnd is the length of the local part at the start of s.
func localEnd(s string, wide bool) (int, *AddressError) {
	if s == "" || s[0] == '@' {
		return 0, wrong("there is no local part before the @")
	}
	if s[0] == '"' {
		return quotedEnd(s, wide)
	}
	atom := 0 // octets since the last dot
	i := 0
	for i < len(s) && s[i] != '@' {
		switch c := s[i]; {
		case c == '.':
			if atom == 0 {
				return 0, wrong("the local part has a dot at its start or two in a row")
			}
			atom = 0
			i++
		case c >= 0x80:
			n, e := wideRune(s[i:], wide)
			if e != nil {
				return 0, e
			}
			atom += n
			i += n
		case isAtext(c):
			atom++
			i++
		default:
			return i, nil
		}
	}
	if atom == 0 {
		return 0, wrong("the local part ends in a dot")
	}
	return i, nil
}

// quotedEnd is the length of the quoted string at the start of s.
func quotedEnd(s string, wide bool) (int, *AddressError) {
	for i := 1; i < len(s); {
		c := s[i]
		switch {
		case c == '"':
			return i + 1, nil
		case c == '\\':
			if i++; i >= len(s) || s[i] < ' ' || s[i] > '~' {
				return 0, wrong("a backslash in the quoted local part is followed by nothing that it can quote")
			}
			i++
		case c >= 0x80:
			n, e := wideRune(s[i:], wide)
			if e != nil {
				return 0, e
			}
			i += n
		case c < ' ' || c == 0x7f:
			return 0, wrong("the quoted local part has a control character")
		default:
			i++
		}
	}
	return 0, wrong("the quote of the local part is not closed")
}

// wideRune is the length of the UTF-8 character at the start of s if it may stand in an address.
func wideRune(s string, allowed bool) (int, *AddressError) {
	r, n := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && n <= 1:
		return 0, wrong("it is not valid UTF-8")
	case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
		return 0, wrong("it has a control character")
	case !allowed:
		return 0, &AddressError{Problem: "it has non-ASCII characters, which need SMTPUTF8", NeedsUTF8: true}
	}
	return n, nil
}

// checkDomain accepts names (RFC 5321 4.1.2, with the underscores that real hosts have, and U-labels if wide)
// and address literals.
func checkDomain(d string, wide bool) *AddressError {
	switch {
	case d == "":
		return wrong("there is no domain after the @")
	case len(d) > MaxDomain:
		return wrong("the domain is longer than 255 octets")
	case d[0] == '[':
		return checkLiteral(d)
	}
	digits := true // only digits and dots so far
	label, narrow := 0, true
	for i := 0; i < len(d); {
		c := d[i]
		n := 1
		switch {
		case c == '.':
			if e := checkLabel(d[i-label:i], narrow); e != nil {
				return e
			}
			label, narrow = -1, true
		case c >= 0x80:
			var e *AddressError
			if n, e = domainRune(d[i:], wide); e != nil {
				return e
			}
			digits, narrow = false, false
		case !isLDH(c):
			return wrong("the domain has a character that no host name has")
		case c < '0' || c > '9':
			digits = false
		}
		label += n
		i += n
	}
	if e := checkLabel(d[len(d)-label:], narrow); e != nil {
		return e
	}
	if digits {
		return wrong("an address literal needs square brackets")
	}
	return nil
}

func checkLabel(l string, narrow bool) *AddressError {
	switch {
	case l == "":
		return wrong("the domain has an empty label")
	case narrow && len(l) > maxLabel:
		return wrong("a label of the domain is longer than 63 octets")
	case l[0] == '-' || l[len(l)-1] == '-':
		return wrong("a label of the domain begins or ends with a hyphen")
	}
	return nil
}

// domainRune is wideRune for U-labels (RFC 5890 2.3.2.1): letters, marks, digits, and the two joiners.
func domainRune(s string, allowed bool) (int, *AddressError) {
	n, e := wideRune(s, allowed)
	if e != nil {
		return 0, e
	}
	r, _ := utf8.DecodeRuneInString(s)
	if !unicode.In(r, unicode.L, unicode.M, unicode.N) && r != '\u200c' && r != '\u200d' && r != '\u00b7' {
		return 0, wrong("the domain has a character that no host name has")
	}
	return n, nil
}

// checkLiteral accepts [1.2.3.4], [IPv6:::1] and, as KumoMTA does, [::1].
func checkLiteral(d string) *AddressError {
	if len(d) < 3 || d[len(d)-1] != ']' {
		return wrong("the address literal is not closed")
	}
	text := d[1 : len(d)-1]
	six := false
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text, six = text[5:], true
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || six && !ip.Is6() {
		return wrong("the address literal holds no IP address")
	}
	return nil
}

func isLDH(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// isAtext is atext of RFC 5322 3.2.3.
func isAtext(c byte) bool {
	return isLDH(c) || c < 0x80 && strings.IndexByte("!#$%&'*+/=?^`{|}~", c) >= 0
}
