package mail

import "strings"

// Address is an envelope address in wire form, without angle brackets and without a source route:
// `user@example.com`, `"a b"@example.com`, `postmaster`, or "" for the null sender. The zero value is the null
// sender. Addresses are comparable.
type Address struct {
	wire string
	at   int // index of the "@" that parts local part and domain; len(wire) when there is none
}

// String is the wire form. `<` + a.String() + `>` is a valid path.
func (a Address) String() string { return a.wire }

// IsNull reports the null sender.
func (a Address) IsNull() bool { return a.wire == "" }

// Local is the local part in wire form, quotes included.
func (a Address) Local() string { return a.wire[:a.at] }

// Domain is the domain as written; "" when there is none. Literals keep their brackets.
func (a Address) Domain() string {
	if a.at >= len(a.wire) {
		return ""
	}
	return a.wire[a.at+1:]
}

// User is the local part with quotes and backslashes taken away.
func (a Address) User() string {
	l := a.Local()
	if len(l) < 2 || l[0] != '"' {
		return l
	}
	var b strings.Builder
	for i := 1; i < len(l)-1; i++ {
		if l[i] == '\\' && i+1 < len(l)-1 {
			i++
		}
		b.WriteByte(l[i])
	}
	return b.String()
}

// Restore makes an Address from a wire form that this package printed before (the spool's copy, say) without
// checking it again.
func Restore(wire string) Address {
	a := Address{wire: wire, at: len(wire)}
	if i := strings.LastIndexByte(wire, '@'); i >= 0 && !strings.HasSuffix(wire, `"`) {
		a.at = i
	}
	return a
}

// NeedsUTF8 reports whether a can only travel with SMTPUTF8 (RFC 6531): whether it has a non-ASCII byte.
func NeedsUTF8(a Address) bool { return !isASCII(a.wire) }

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
