package torture

import (
	"slices"
	"strings"
)

// log lists the segments on the disk, oldest first.
func (p *point) log() []string {
	var out []string
	for _, name := range p.disk.Names() {
		if strings.HasPrefix(name, p.cfg.Dir+"/log/") {
			out = append(out, name)
		}
	}
	return out
}

// flip changes one byte of the log.
func (p *point) flip() {
	p.tolerant = true
	names := p.log()
	if len(names) == 0 {
		return
	}
	name := names[p.IntN(len(names))]
	b := p.disk.Bytes(name)
	if len(b) == 0 {
		return
	}
	b[p.IntN(len(b))] ^= byte(1 + p.IntN(255))
	p.disk.Put(name, b)
}

func (p *point) damaging() {
	if !p.start() {
		return
	}
	for range 1 + p.IntN(3) {
		p.close()
		p.flip()
		if !p.check(false) || len(p.wrong) > 0 {
			return
		}
		p.tolerant = false
		p.work(p.IntN(20))
	}
	p.reopen()
}

func (p *point) truncating() {
	p.breakSegment(func(name string, first, last bool) {
		b := p.disk.Bytes(name)
		p.disk.Put(name, b[:p.IntN(len(b)+1)])
		p.silent = last
	})
}

func (p *point) losing() {
	p.breakSegment(func(name string, first, last bool) {
		p.disk.Drop(name)
		p.silent = first || last
	})
}

// breakSegment does something to a segment that many messages may lose by.
func (p *point) breakSegment(do func(name string, first, last bool)) {
	if !p.start() {
		return
	}
	p.work(20)
	p.close()
	p.tolerant, p.widely = true, true
	if names := p.log(); len(names) > 0 {
		i := p.IntN(len(names))
		do(names[i], i == 0, i == len(names)-1)
	}
	if !p.check(false) || len(p.wrong) > 0 {
		return
	}
	p.tolerant, p.widely, p.silent = false, false, false
	p.work(p.IntN(20))
	p.reopen()
}

// lost notes a letter that is not there: a failure, unless the disk was damaged.
func (p *point) lost(l *letter, why string) {
	if !p.tolerant {
		p.failf("%s", why)
		return
	}
	p.astray = append(p.astray, l)
}

// former are the states that a letter may be in because the disk was damaged.
func (p *point) former(l *letter) []standing {
	if !p.tolerant {
		return nil
	}
	return l.former()
}

// explain looks at the letters that damage led astray: what was lost must have been reported, and one byte costs one
// record: one message, or those that share its body or the step of an order.
func (p *point) explain() {
	lost := p.astray
	p.astray = nil
	if len(lost) == 0 {
		return
	}
	r := p.s.Recovery()
	if len(r.Damaged) == 0 && len(r.Missing) == 0 && r.Torn == 0 && !p.silent {
		p.failf("%d messages lost something and nothing is reported: %s", len(lost), lost[0].id)
	}
	if p.widely {
		return
	}
	if !together(lost) {
		p.failf("one damaged byte costs %d messages that have nothing in common, such as %s and %s", len(lost), lost[0].id, lost[1].id)
	}
}

// together reports that letters stand in one record, or share its body: they were accepted together, or one step of an
// order changed all of them.
func together(ls []*letter) bool {
	group, steps := true, ls[0].steps
	for _, l := range ls[1:] {
		group = group && l.group == ls[0].group
		steps = slices.DeleteFunc(slices.Clone(steps), func(n int) bool { return !slices.Contains(l.steps, n) })
	}
	return len(ls) == 1 || group || len(steps) > 0
}
