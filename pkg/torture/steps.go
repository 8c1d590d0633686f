package torture

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// starts reports whether a change is for a letter, and whether the letter is named as being in somebody's hands.
func (l *letter) starts(c spool.Change) (does, taken bool) {
	if l.now.gone {
		return false, false
	}
	st := l.now.state
	switch c {
	case spool.ChangeDue, spool.ChangeHold:
		return st == spool.Scheduled && !l.taken, l.taken
	case spool.ChangeTrash:
		return st == spool.OnHold || st == spool.Scheduled && !l.taken, l.taken
	case spool.ChangeRelease:
		return st == spool.OnHold, false
	case spool.ChangeRestore:
		return st == spool.Trashed, false
	case spool.ChangeEnd:
		return !l.taken, l.taken
	}
	return false, false
}

// made is what a change makes of a letter.
func made(c spool.Change, order string, due, at int64) func(standing) standing {
	return func(s standing) standing {
		if s.gone {
			return s
		}
		switch c {
		case spool.ChangeDue:
			s.due = due
		case spool.ChangeHold:
			s.state, s.order = spool.OnHold, order
		case spool.ChangeRelease:
			s.state, s.order = spool.Scheduled, ""
		case spool.ChangeTrash:
			if s.state == spool.OnHold {
				s.held = s.order
			}
			s.state, s.order, s.since = spool.Trashed, order, at
		case spool.ChangeRestore:
			s.state, s.order, s.since = spool.Scheduled, "", 0
			if s.held != "" {
				s.state, s.order, s.held = spool.OnHold, s.held, ""
			}
		case spool.ChangeEnd:
			s = standing{gone: true}
		}
		return s
	}
}

// apply carries out one step of an order on letters of every kind, and compares what the spool says that it did.
func (p *point) apply(c spool.Change) {
	var ids, done, taken []message.ID
	var ls []*letter
	for range 1 + p.IntN(1+p.IntN(30)) {
		l := p.some(p.m.pick(func(l *letter) bool { return !p.near(l) }))
		if l == nil {
			continue
		}
		ids = append(ids, l.id)
		if slices.Contains(ids[:len(ids)-1], l.id) {
			continue
		}
		does, held := l.starts(c)
		if does {
			done, ls = append(done, l.id), append(ls, l)
		}
		if held {
			taken = append(taken, l.id)
		}
	}
	order, due := p.ruleName(), p.due()
	p.m.steps++
	at := p.now().UnixNano()
	did, err := p.s.Apply(p.ctx, order, c, due, ids)
	if did.Ended {
		c = spool.ChangeEnd
	}
	what := fmt.Sprintf("change %d by %s", c, order)
	change := made(c, order, nanos(due), at)
	switch {
	case err == nil:
		if len(done) > 0 {
			p.m.certain(true)
		}
		if !slices.Equal(did.Done, done) || !p.same(did.Taken, taken) {
			p.failf("change %d of %d messages: %d done and %d taken, want %d and %d", c, len(ids), len(did.Done), len(did.Taken), len(done), len(taken))
		}
	case p.off(), p.lenient:
	default:
		p.fault(fmt.Sprintf("change %d", c), err)
		return
	}
	if err != nil {
		p.step = &halfStep{letters: ls, made: change}
		for _, l := range ls {
			p.step.was = append(p.step.was, l.now)
		}
	}
	for _, l := range ls {
		if err != nil {
			l.maybe(what, change, !p.off())
			continue
		}
		l.steps = append(l.steps, p.m.steps)
		l.do(what, change)
		l.settle(true)
		p.count.Changes++
	}
}

// halfStep is a step of an order that failed when the power went.
type halfStep struct {
	letters []*letter
	made    func(standing) standing
	was     []standing
}

// checkStep: one record has all of a step, so that a crash leaves all of it or nothing.
func (p *point) checkStep() {
	h := p.step
	p.step = nil
	if h == nil || p.tolerant || p.lenient {
		return
	}
	with, without := 0, 0
	for i, l := range h.letters {
		before, after := h.was[i], h.made(h.was[i])
		switch {
		case before.gone == after.gone && before.state == after.state: // it does not show
		case l.now.gone == after.gone && l.now.state == after.state:
			with++
		default:
			without++
		}
	}
	if with > 0 && without > 0 {
		p.failf("a step of an order was cut short, and is there for %d messages and not for %d", with, without)
	}
}

// same compares ids; of one that is named twice it may be said twice.
func (p *point) same(got, want []message.ID) bool {
	return slices.Equal(compact(got), compact(want))
}

func compact(ids []message.ID) []message.ID {
	out := slices.Clone(ids)
	slices.SortFunc(out, func(a, b message.ID) int { return strings.Compare(string(a[:]), string(b[:])) })
	return slices.Compact(out)
}

// ruleName names an order: mostly one that was begun.
func (p *point) ruleName() string {
	names := slices.Sorted(maps.Keys(p.m.rules))
	if len(names) == 0 || p.IntN(5) == 0 {
		return fmt.Sprintf("%032x", 1<<20+p.IntN(4))
	}
	return names[p.IntN(len(names))]
}
