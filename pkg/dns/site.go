package dns

import (
	"strconv"
	"strings"
)

// SiteName rolls mail hosts up into one name: hosts that differ in one label only share everything else, and
// domains served by the same hosts in the same order get the same name. The order of hosts matters.
//
//  1. Each name, in lower case and without its root dot, is split into labels, last label first.
//  2. For each position the distinct labels are collected in the order of their first appearance.
//  3. A position with one label is that label; with several it is (a|b); "?" follows when a name is too short to
//     have it.
//  4. The positions, reversed again, are joined by dots.
//
// A port rides on the last label of its name. Address literals are their own text.
func SiteName(hosts []Host) string {
	if len(hosts) == 1 {
		return hosts[0].Text()
	}
	var positions []position
	for i := range hosts {
		positions = addName(positions, hosts[i].Text())
	}
	var b strings.Builder
	for i := len(positions) - 1; i >= 0; i-- {
		positions[i].write(&b, len(hosts))
		if i > 0 {
			b.WriteByte('.')
		}
	}
	return b.String()
}

// position is one place of the reversed names: its labels, and how many names reach it.
type position struct {
	labels []string
	names  int
}

// addName adds the labels of a name to the positions.
func addName(positions []position, name string) []position {
	port := ""
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
		name, port = name[:i], name[i:]
	}
	for at := 0; name != ""; at++ {
		label := name
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			name, label = name[:i], name[i+1:]
		} else {
			name = ""
		}
		if at == len(positions) {
			positions = append(positions, position{})
		}
		positions[at].add(label + port)
		port = ""
	}
	return positions
}

func (p *position) add(label string) {
	p.names++
	for _, l := range p.labels {
		if l == label {
			return
		}
	}
	p.labels = append(p.labels, label)
}

func (p *position) write(b *strings.Builder, names int) {
	if len(p.labels) == 1 {
		b.WriteString(p.labels[0])
	} else {
		b.WriteString("(" + strings.Join(p.labels, "|") + ")")
	}
	if p.names < names {
		b.WriteByte('?')
	}
}

// Text is the host as site names and logs have it: the name in lower case without its root dot, or the address of
// a literal, with ":port" where the operator wrote one.
func (h Host) Text() string {
	text := strings.ToLower(strings.TrimSuffix(h.Name, "."))
	if text == "" && h.Addr.IsValid() {
		text = h.Addr.String()
		if h.Port != 0 && h.Addr.Is6() {
			text = "[" + text + "]"
		}
	}
	if h.Port != 0 {
		text += ":" + strconv.Itoa(int(h.Port))
	}
	return text
}
