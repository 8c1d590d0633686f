package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// orderOps are the operations that orders come down to.
func orderOps() []op {
	return []op{
		{"take", 6, (*point).takeOne},
		{"give", 4, (*point).give},
		{"save", 2, (*point).save},
		{"make due", 3, func(p *point) { p.apply(spool.ChangeDue) }},
		{"hold", 5, func(p *point) { p.apply(spool.ChangeHold) }},
		{"release", 3, func(p *point) { p.apply(spool.ChangeRelease) }},
		{"trash", 5, func(p *point) { p.apply(spool.ChangeTrash) }},
		{"restore", 4, func(p *point) { p.apply(spool.ChangeRestore) }},
		{"purge", 2, func(p *point) { p.apply(spool.ChangeEnd) }},
		{"begin an order", 3, (*point).begin},
		{"end an order", 2, (*point).over},
		{"keep notes", 2, (*point).addNotes},
		{"drop notes", 1, (*point).dropNotes},
		{"match", 2, (*point).match},
		{"wait for the trash", 1, (*point).waitTrash},
	}
}

// take makes a letter the driver's own, as the queue does before an attempt.
func (p *point) take(l *letter) bool {
	if l.taken {
		return true
	}
	m, err := p.s.Take(l.id, fromNanos(l.now.due))
	switch {
	case err == nil:
		l.taken = true
		if m.ID != l.id || nanos(m.Due) != l.now.due || m.Attempts != l.now.attempts {
			p.failf("take of %s, which is %s: due %s, %d attempts", l.id, l.now, m.Due, m.Attempts)
		}
	case l.broken && errors.Is(err, spool.ErrDamaged):
	default:
		if why := p.unread(l, fmt.Sprintf("take of %s, which is %s: %v", l.id, l.now, err), err); why != "" {
			p.failf("%s", why)
		}
	}
	return l.taken
}

// takeOne takes a letter, or tries to although it must not be had.
func (p *point) takeOne() {
	l := p.some(p.m.pick(func(l *letter) bool { return !l.broken }))
	if l == nil {
		return
	}
	due := fromNanos(l.now.due)
	wrong := p.IntN(4) == 0
	if wrong {
		due = due.Add(time.Duration(1 + p.IntN(1000)))
	}
	if !wrong && !l.now.gone && !l.taken && l.now.state == spool.Scheduled {
		p.take(l)
		return
	}
	if _, err := p.s.Take(l.id, due); !errors.Is(err, spool.ErrGone) && !p.off() {
		p.failf("take of %s, which is %s (taken: %v), due %s: %v", l.id, l.now, l.taken, due, err)
	}
}

func (p *point) give() {
	if l := p.some(p.m.pick(func(l *letter) bool { return l.taken && !l.now.gone })); l != nil {
		p.s.Give(l.id)
		l.taken = false
	}
}

// save records a change and waits until it is durable.
func (p *point) save() {
	l := p.some(p.live())
	if l == nil || !p.take(l) {
		return
	}
	l.envs = append(l.envs, p.envelope())
	change := p.envelopeChange(len(l.envs) - 1)
	err := p.s.Save(l.message(change(l.now)))
	if err != nil && !broken(err) && !p.off() {
		p.failf("save of %s: %v", l.id, err)
		return
	}
	l.do("save", change)
	if err == nil {
		p.m.certain(false)
	} else if !p.off() {
		p.fault("save", err)
	}
	p.count.Changes++
}

// begin makes an order part of the log; sometimes one that is known already.
func (p *point) begin() {
	name := fmt.Sprintf("%032x", 1<<16+len(p.m.rules))
	r := p.m.rules[name]
	if known := p.rules(func(r *rule) bool { return r.sure && !r.over }); len(known) > 0 && p.IntN(4) == 0 {
		r = known[p.IntN(len(known))]
	}
	if r == nil {
		r = &rule{order: spool.Order{
			ID: name, Kind: spool.OrderHold, Created: time.Now().Round(0), Author: "torture",
			Payload: json.RawMessage(fmt.Sprintf(`{"match":{"domain":"dest%d.test"},"reason":%q}`, p.IntN(4), strings.Repeat("r", p.IntN(200)))),
		}}
		p.m.rules[name] = r
	}
	err := p.s.BeginOrder(p.ctx, r.order)
	switch {
	case err == nil && r.sure: // it was known: nothing was written
	case err == nil:
		p.m.certain(true)
		r.sure = true
	case p.off(), p.lenient:
		r.maybe = true
	default:
		p.fault("begin an order", err)
	}
}

func (p *point) rules(want func(*rule) bool) []*rule {
	var out []*rule
	for _, name := range slices.Sorted(maps.Keys(p.m.rules)) {
		if r := p.m.rules[name]; want(r) {
			out = append(out, r)
		}
	}
	return out
}

func (p *point) over() {
	if rs := p.rules(func(r *rule) bool { return r.sure && !r.over }); len(rs) > 0 {
		r := rs[p.IntN(len(rs))]
		p.s.EndOrder(r.order.ID)
		r.over = true
	}
}

// checkRules compares the orders that stand.
func (p *point) checkRules() {
	standing := make(map[string]spool.Order)
	for _, o := range p.s.Standing() {
		standing[o.ID] = o
	}
	for name, r := range p.m.rules {
		o, there := standing[name]
		delete(standing, name)
		switch {
		case p.tolerant:
		case there && (r.buried || !r.sure && !r.maybe):
			p.failf("order %s stands, and was ended for good or never begun", name)
		case !there && r.sure && !r.over:
			p.failf("order %s was begun and does not stand", name)
		case there && (o.Kind != r.order.Kind || o.Author != r.order.Author || string(o.Payload) != string(r.order.Payload) || !o.Created.Equal(r.order.Created)):
			p.failf("order %s stands as %+v, and was %+v", name, o, r.order)
		}
		*r = rule{order: r.order, sure: there, over: !there, buried: !there}
	}
	for name := range standing {
		p.failf("order %s stands, and was never begun", name)
	}
}

func (p *point) addNotes() {
	var add [][]byte
	var texts []string
	for range 1 + p.IntN(3) {
		p.m.notes.count++
		text := fmt.Sprintf("note %d %s", p.m.notes.count, strings.Repeat("n", p.IntN(300)))
		add, texts = append(add, []byte(text)), append(texts, text)
	}
	err := p.s.AddNotes(p.ctx, add...)
	if err == nil {
		p.m.certain(true)
		p.m.notes.sure = append(p.m.notes.sure, texts...)
		return
	}
	if !p.off() {
		p.fault("keep notes", err)
	}
	p.m.notes.some = append(p.m.notes.some, texts...) // some of them may have been kept, and are there now or after a crash
}

// dropNotes reads the notes as the next daemon does, and forgets them.
func (p *point) dropNotes() {
	if p.checkNotes(); p.off() || p.armed {
		return
	}
	p.s.DropNotes()
	p.m.notes.dropped = append(p.m.notes.dropped, p.m.notes.sure...)
	p.m.notes.sure = nil
}

// checkNotes compares the notes: those that are certain are there in their order, and of the others some may be.
func (p *point) checkNotes() {
	got, err := p.s.Notes()
	if err != nil {
		if !p.off() && !p.armed && !p.tolerant {
			p.failf("notes: %v", err)
		}
		return
	}
	n := &p.m.notes
	var found []string
	for _, b := range got {
		found = append(found, string(b))
	}
	left := n.sure
	for _, text := range found {
		switch {
		case len(left) > 0 && text == left[0]:
			left = left[1:]
		case slices.Contains(n.some, text) || slices.Contains(n.dropped, text) || p.tolerant:
		default:
			p.failf("note %.20q is there, and was dropped or never kept", text)
		}
	}
	if len(left) > 0 && !p.tolerant {
		p.failf("note %.20q is lost, or not in its place: %.60q", left[0], found)
	}
	n.sure = found
	n.some = slices.DeleteFunc(n.some, func(t string) bool { return slices.Contains(found, t) })
	n.dropped = slices.DeleteFunc(n.dropped, func(t string) bool { return slices.Contains(found, t) })
}

// waitTrash lets so much time pass that bounces cannot be undone any more.
func (p *point) waitTrash() {
	if p.keep > time.Minute || p.armed || !p.healthy {
		return
	}
	p.dropNotes() // while notes wait, the trash stays: they can be about what is in it
	p.wait(p.keep + p.keep/16 + 2*trashSlack)
	if !p.off() {
		p.emptied()
	}
}

// match asks which messages an order would be about.
func (p *point) match() {
	m := spool.Match{All: true}
	queue := ""
	if p.IntN(3) > 0 {
		queue = p.envelope().queue
		m = spool.Match{Queues: []string{queue}}
	}
	found := make(map[message.ID]int)
	err := p.s.Match(p.ctx, m, nil, func(ids []message.ID) error {
		for _, id := range ids {
			found[id]++
		}
		return nil
	})
	if p.off() || p.armed {
		return
	}
	if err != nil {
		p.failf("match: %v", err)
	}
	p.m.each(func(l *letter) {
		want := 0
		if !l.now.gone && l.now.state != spool.Trashed && (queue == "" || l.envs[l.now.env].queue == queue) {
			want = 1
		}
		if found[l.id] != want && !l.broken {
			p.failf("match of %q names %s, which is %s, %d times", queue, l.id, l.now, found[l.id])
		}
	})
}

// checkOfOrder compares what each order holds and trashed.
func (p *point) checkOfOrder() {
	want := make(map[string][]message.ID)
	p.m.each(func(l *letter) {
		if !l.now.gone && l.now.order != "" {
			want[l.now.order] = append(want[l.now.order], l.id)
		}
	})
	for order, ids := range want {
		var got []message.ID
		err := p.s.OfOrder(p.ctx, order, func(ids []message.ID) error {
			got = append(got, ids...)
			return nil
		})
		if err != nil || !p.same(got, ids) || len(got) != len(ids) {
			p.failf("order %s has %d messages, want %d: %v", order, len(got), len(ids), err)
		}
	}
}
