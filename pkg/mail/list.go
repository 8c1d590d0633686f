package mail

import (
	"bytes"
	"fmt"
	"strings"
)

// maxMailboxes bounds what ParseAddressList returns.
const maxMailboxes = 10_000

// Mailbox is one address of a header such as From, with its display name decoded to UTF-8 ("" if it has none).
type Mailbox struct {
	Name    string
	Address Address
}

// ListEntry is one element of an address list: a mailbox, or a group of them.
type ListEntry struct {
	Mailbox           // for a group only Name is set
	IsGroup bool      // `name: a@b, c@d;`
	Members []Mailbox // of the group
}

// ParseAddressList reads the value of From, To, Cc, Reply-To and the like (RFC 5322 3.4, with the obsolete forms
// of 4.4: routes, comments, empty elements). A comment behind a bare address becomes its name. Time is linear in
// the value, and nothing recurses. The error names the element that is wrong, counted from 1.
func ParseAddressList(value []byte) ([]ListEntry, error) {
	p := listParser{s: unfold(value)}
	var list []ListEntry
	total := 0
	for {
		p.skip()
		for p.take(',') {
			p.skip()
		}
		if p.done() {
			return list, nil
		}
		e, err := p.entry()
		if err != nil {
			return nil, fmt.Errorf("address list, element %d: %w", len(list)+1, err)
		}
		list = append(list, e)
		if total += 1 + len(e.Members); total > maxMailboxes {
			return nil, fmt.Errorf("address list: more than %d addresses", maxMailboxes)
		}
		p.skip()
		if !p.done() && !p.take(',') {
			return nil, fmt.Errorf("address list, element %d: %w", len(list), wrong("a comma is missing behind it"))
		}
	}
}

// Addresses are the mailboxes of a list in order, those of groups included.
func Addresses(list []ListEntry) []Mailbox {
	var out []Mailbox
	for _, e := range list {
		if e.IsGroup {
			out = append(out, e.Members...)
		} else {
			out = append(out, e.Mailbox)
		}
	}
	return out
}

type listParser struct {
	s       []byte
	i       int
	comment []byte // the last comment that skip passed
}

func (p *listParser) done() bool { return p.i >= len(p.s) }

func (p *listParser) peek() byte {
	if p.done() {
		return 0
	}
	return p.s[p.i]
}

func (p *listParser) take(c byte) bool {
	if p.done() || p.s[p.i] != c {
		return false
	}
	p.i++
	return true
}

// skip passes blanks and comments (CFWS). Nested comments are counted, not recursed into. It reports whether it
// passed anything.
func (p *listParser) skip() bool {
	from, deep, open := p.i, 0, 0
	for ; !p.done(); p.i++ {
		switch c := p.s[p.i]; {
		case c == '\\' && deep > 0:
			p.i++
		case c == '(':
			if deep == 0 {
				open = p.i + 1
			}
			deep++
		case c == ')' && deep > 0:
			if deep--; deep == 0 {
				p.comment = p.s[open:p.i]
			}
		case deep > 0 || isBlank(c):
		default:
			return p.i > from
		}
	}
	p.i = len(p.s)
	return p.i > from
}

func (p *listParser) entry() (ListEntry, error) {
	name, m, err := p.mailbox()
	if err != nil || p.peek() != ':' || m.Address != (Address{}) {
		return ListEntry{Mailbox: m}, err
	}
	p.i++
	e := ListEntry{Mailbox: Mailbox{Name: name}, IsGroup: true}
	for {
		p.skip()
		for p.take(',') {
			p.skip()
		}
		if p.take(';') {
			return e, nil
		}
		if p.done() {
			return e, wrong("the group has no semicolon at its end")
		}
		_, m, err := p.mailbox()
		if err != nil {
			return e, err
		}
		if m.Address == (Address{}) {
			return e, wrong("there is a group in the group")
		}
		if len(e.Members) == maxMailboxes {
			return e, wrong("the group has too many members")
		}
		e.Members = append(e.Members, m)
		if p.skip(); p.peek() != ';' && p.peek() != ',' && !p.done() {
			return e, wrong("a comma is missing in the group")
		}
	}
}

// mailbox reads `name <address>` or `address`. At the colon behind the name of a group it stops and returns the
// name with an empty Mailbox.
func (p *listParser) mailbox() (string, Mailbox, error) {
	p.comment = nil
	local, name, err := p.words()
	if err != nil {
		return "", Mailbox{}, err
	}
	switch p.peek() {
	case ':':
		return name, Mailbox{}, nil
	case '<':
		a, err := p.angle()
		return "", Mailbox{Name: name, Address: a}, err
	case '@':
		p.i++
		domain, err := p.domain()
		if err != nil {
			return "", Mailbox{}, err
		}
		a, err := ParseAddress(local+"@"+domain, true)
		if p.skip(); p.comment != nil {
			return "", Mailbox{Name: strings.TrimSpace(Decode(p.comment)), Address: a}, err
		}
		return "", Mailbox{Address: a}, err
	}
	return "", Mailbox{}, wrong("there is no @ in it")
}

// words reads atoms and quoted strings up to a special character. local is them as a local part, name as a phrase.
func (p *listParser) words() (local, name string, err error) {
	var raw, phrase bytes.Buffer
	apart := false // blanks came before this word
	for !p.done() {
		var word []byte
		switch c := p.peek(); {
		case c == '"':
			if word, err = p.quoted(); err != nil {
				return "", "", err
			}
		case c == '.' || isAtext(c) || c >= 0x80:
			word = p.atom()
		default:
			return raw.String(), Decode(phrase.Bytes()), p.special(c)
		}
		// RFC 5322 4.4: blanks may stand around the dots of a local part.
		if apart && raw.Len() > 0 && word[0] != '.' && raw.Bytes()[raw.Len()-1] != '.' {
			raw.WriteByte(' ')
		}
		raw.Write(word)
		if apart && phrase.Len() > 0 {
			phrase.WriteByte(' ')
		}
		phrase.Write(unquote(word))
		apart = p.skip()
	}
	return raw.String(), Decode(phrase.Bytes()), nil
}

// special refuses what no word may be followed by.
func (p *listParser) special(c byte) error {
	if strings.IndexByte("<@:,;", c) < 0 {
		return wrong("it has a character that needs quotes, or is not allowed")
	}
	return nil
}

func (p *listParser) atom() []byte {
	from := p.i
	for !p.done() && (p.peek() == '.' || isAtext(p.peek()) || p.peek() >= 0x80) {
		p.i++
	}
	return p.s[from:p.i]
}

// quoted reads a quoted string with its quotes.
func (p *listParser) quoted() ([]byte, error) {
	from := p.i
	for p.i++; !p.done(); p.i++ {
		switch p.s[p.i] {
		case '\\':
			p.i++
		case '"':
			p.i++
			return p.s[from:p.i], nil
		}
	}
	return nil, wrong("a quote is not closed")
}

func unquote(word []byte) []byte {
	if word[0] != '"' {
		return word
	}
	out := make([]byte, 0, len(word))
	for i := 1; i < len(word)-1; i++ {
		if word[i] == '\\' && i+1 < len(word)-1 {
			i++
		}
		out = append(out, word[i])
	}
	return out
}

// angle reads `<address>`, with a route that is dropped.
func (p *listParser) angle() (Address, error) {
	p.i++
	p.skip()
	if p.peek() == '@' {
		end := bytes.IndexByte(p.s[p.i:], ':')
		if end < 0 || bytes.IndexByte(p.s[p.i:p.i+end], '>') >= 0 {
			return Address{}, wrong("the source route is malformed")
		}
		p.i += end + 1
		p.skip()
	}
	local, _, err := p.words()
	if err != nil {
		return Address{}, err
	}
	if !p.take('@') {
		return Address{}, wrong("there is no @ in it")
	}
	domain, err := p.domain()
	if err != nil {
		return Address{}, err
	}
	if p.skip(); !p.take('>') {
		return Address{}, wrong("the closing bracket is missing")
	}
	return ParseAddress(local+"@"+domain, true)
}

// domain reads a domain or an address literal; ParseAddress judges it.
func (p *listParser) domain() (string, error) {
	var b strings.Builder
	for {
		p.skip()
		switch {
		case p.peek() == '[':
			end := bytes.IndexByte(p.s[p.i:], ']')
			if end < 0 || b.Len() > 0 {
				return "", wrong("the address literal is not closed")
			}
			b.Write(p.s[p.i : p.i+end+1])
			p.i += end + 1
			return b.String(), nil
		case p.done() || b.Len() > 0 && !strings.HasSuffix(b.String(), ".") && p.peek() != '.':
			return b.String(), nil
		}
		atom := p.atom()
		if len(atom) == 0 {
			return b.String(), nil
		}
		b.Write(atom)
		if b.Len() > 2*MaxDomain {
			return "", wrong("the domain is longer than 255 octets")
		}
	}
}
