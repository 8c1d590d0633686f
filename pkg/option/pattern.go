package option

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// Pattern is a regular expression as KumoMTA's policies and files write them: Rust's syntax, with look-around,
// back references and atomic groups (fancy-regex). The first alternative that matches wins; \d, \w, \s and \b know
// Unicode. A Pattern may be used by many goroutines.
//
// Most patterns run on RE2, in linear time. Those that RE2 does not know, and those whose classes mean other things for
// text beyond ASCII, run on a backtracking engine that gives up after a second.
type Pattern struct {
	text  string
	names []string // of the groups by number; "" has none; [0] is the whole
	fast  *regexp.Regexp
	slow  *regexp2.Regexp
	wide  bool // fast would answer wrongly where text is not ASCII
}

// Bounds of patterns.
const (
	maxPattern  = 64 << 10    // bytes of one
	patternTime = time.Second // of one search by backtracking
)

// ParsePattern reads a regular expression.
func ParsePattern(s string) (*Pattern, error) {
	const expected = "a regular expression"
	if len(s) > maxPattern {
		return nil, InvalidValue(s[:32]+"…", fmt.Sprintf("a regular expression of at most %d bytes", maxPattern))
	}
	p := &Pattern{text: s}
	plain, names, wide := scanPattern(s)
	fast, fastErr := regexp.Compile(s)
	if fastErr == nil {
		p.fast, p.names = fast, fast.SubexpNames()
		if !wide {
			return p, nil
		}
	}
	slow, err := regexp2.Compile(plain, regexp2.None)
	switch {
	case err == nil:
		slow.MatchTimeout = patternTime
		p.slow, p.wide = slow, fastErr == nil
		if p.names == nil {
			p.names = names
		}
	case fastErr != nil:
		e := InvalidValue(s, expected)
		e.Hint = strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		return nil, e
	}
	return p, nil
}

// DecodeOption reads a regular expression.
func (p *Pattern) DecodeOption(v any) error {
	s, ok := v.(string)
	if !ok {
		return InvalidType(v, "a regular expression")
	}
	d, err := ParsePattern(s)
	if err == nil {
		*p = *d
	}
	return err
}

// String is the pattern as it was written.
func (p *Pattern) String() string { return p.text }

// Groups are the names of the groups by number, "" for those without one. The first is the whole match.
func (p *Pattern) Groups() []string { return p.names }

// Match tells whether the pattern matches anywhere in s. An error says that the search took too long.
func (p *Pattern) Match(s string) (bool, error) {
	if p.fast != nil && (!p.wide || isASCII(s)) {
		return p.fast.MatchString(s), nil
	}
	ok, err := p.slow.MatchString(s)
	if err != nil {
		return false, p.tooLong()
	}
	return ok, nil
}

// Find gives the first n matches that do not overlap (all if n is negative), each as pairs of byte offsets: the whole
// match, then the groups, -1 for those that took no part. An error says that the search took too long.
func (p *Pattern) Find(s string, n int) ([][]int, error) {
	if p.fast != nil && (!p.wide || isASCII(s)) {
		return p.fast.FindAllStringSubmatchIndex(s, n), nil
	}
	at := runeOffsets(s)
	var out [][]int
	m, err := p.slow.FindStringMatch(s)
	for last := -1; err == nil && m != nil && len(out) != n; m, err = p.slow.FindNextMatch(m) {
		if m.Length == 0 && m.Index == last {
			continue // an empty match right behind another one is none
		}
		last = m.Index + m.Length
		loc := make([]int, 2*len(p.names))
		for i := range p.names {
			loc[2*i], loc[2*i+1] = -1, -1
			if g := m.GroupByNumber(i); g != nil && len(g.Captures) > 0 {
				loc[2*i], loc[2*i+1] = at[g.Index], at[g.Index+g.Length]
			}
		}
		out = append(out, loc)
	}
	if err != nil {
		return nil, p.tooLong()
	}
	return out, nil
}

func (p *Pattern) tooLong() error {
	return fmt.Errorf("the regular expression %q took more than %s: make it simpler", p.text, patternTime)
}

// Expand replaces what a match of s found in a template: $1, $name, ${1}, ${name}; $$ is a dollar. Groups that there
// are not, and those that took no part, are empty. The longest name counts: $1a is the group "1a".
func (p *Pattern) Expand(dst []byte, template, s string, loc []int) []byte {
	for {
		before, rest, ok := strings.Cut(template, "$")
		dst = append(dst, before...)
		if !ok {
			return dst
		}
		if strings.HasPrefix(rest, "$") {
			dst, template = append(dst, '$'), rest[1:]
			continue
		}
		name, after, ok := groupName(rest)
		if !ok {
			dst, template = append(dst, '$'), rest
			continue
		}
		if i := p.group(name); i >= 0 && loc[2*i] >= 0 {
			dst = append(dst, s[loc[2*i]:loc[2*i+1]]...)
		}
		template = after
	}
}

// groupName reads the name behind a dollar.
func groupName(s string) (name, rest string, ok bool) {
	if strings.HasPrefix(s, "{") {
		name, rest, ok = strings.Cut(s[1:], "}")
		return name, rest, ok && name != ""
	}
	n := 0
	for n < len(s) && (s[n] == '_' || isAlnum(s[n])) {
		n++
	}
	return s[:n], s[n:], n > 0
}

func isAlnum(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// group is the number of a group, given by number or name; -1 when there is none.
func (p *Pattern) group(name string) int {
	if i, err := strconv.Atoi(name); err == nil {
		if i >= 0 && i < len(p.names) {
			return i
		}
		return -1
	}
	for i, n := range p.names {
		if n == name {
			return i
		}
	}
	return -1
}

// runeOffsets are the byte offsets of the runes of s, and its length.
func runeOffsets(s string) []int {
	at := make([]int, 0, len(s)+1)
	for i := range s {
		at = append(at, i)
	}
	return append(at, len(s))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// scanPattern numbers the groups as Rust does, by their opening parentheses, and takes their names away, because the
// backtracking engine would number named ones last. wide tells that the pattern has classes that know Unicode.
func scanPattern(s string) (plain string, names []string, wide bool) {
	names = []string{""}
	var b strings.Builder
	class := false
	var refs []string // names of back references, for a second pass
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			wide = wide || strings.IndexByte("dwsbDWSB", s[i+1]) >= 0
			if !class && s[i+1] == 'k' && i+2 < len(s) && s[i+2] == '<' {
				if name, _, ok := strings.Cut(s[i+3:], ">"); ok {
					refs = append(refs, name)
					fmt.Fprintf(&b, "\\k<%s>", name)
					i += 3 + len(name)
					continue
				}
			}
			b.WriteString(s[i : i+2])
			i++
			continue
		case class:
			class = c != ']'
		case c == '[':
			class = true
			if strings.HasPrefix(s[i+1:], "^]") { // a bracket that comes first is meant literally
				b.WriteString("[^\\]")
				i += 2
				continue
			}
			if strings.HasPrefix(s[i+1:], "]") {
				b.WriteString("[\\]")
				i++
				continue
			}
		case c == '(' && !strings.HasPrefix(s[i:], "(?"):
			names = append(names, "")
		case c == '(':
			if name, skip := namedGroup(s[i:]); skip > 0 {
				names = append(names, name)
				b.WriteByte('(')
				i += skip - 1
				continue
			}
		}
		b.WriteByte(c)
	}
	plain = b.String()
	for _, r := range refs {
		for i, n := range names {
			if n == r && r != "" {
				plain = strings.Replace(plain, "\\k<"+r+">", "(?:\\"+strconv.Itoa(i)+")", 1)
				break
			}
		}
	}
	return plain, names, wide
}

// namedGroup reads "(?<name>" or "(?P<name>".
func namedGroup(s string) (name string, length int) {
	rest, ok := strings.CutPrefix(s, "(?P<")
	if !ok {
		if rest, ok = strings.CutPrefix(s, "(?<"); !ok || strings.HasPrefix(rest, "=") || strings.HasPrefix(rest, "!") {
			return "", 0
		}
	}
	name, _, ok = strings.Cut(rest, ">")
	if !ok {
		return "", 0
	}
	return name, len(s) - len(rest) + len(name) + 1
}
