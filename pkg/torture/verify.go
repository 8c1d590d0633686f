package torture

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// check opens what is on the disk and compares everything with the model. Exactly: nothing was pending, so that
// every message must be as it was. It reports whether the spool could be opened.
func (p *point) check(exactly bool) bool {
	if !p.open(true) {
		return false
	}
	p.count.Opens++
	found := p.found()
	p.strangers(found)
	p.m.each(func(l *letter) {
		if p.off() {
			return
		}
		if exactly && len(l.pending) > 0 && p.healthy {
			p.failf("message %s: %d changes are not certain after a clean end: a mistake of the driver", l.id, len(l.pending))
		}
		at, there := found[l.id]
		p.judge(l, at, there)
	})
	p.explain()
	p.checkStep()
	if !p.off() {
		p.reap()
		p.checkRules()
		p.checkNotes()
		p.checkOfOrder()
	}
	p.checkOrders()
	return true
}

// found is what the spool says is alive.
func (p *point) found() map[message.ID]spool.Entry {
	found := make(map[message.ID]spool.Entry)
	p.s.Live(func(e spool.Entry) bool {
		if _, twice := found[e.ID]; twice {
			p.failf("message %s is there twice", e.ID)
		}
		found[e.ID] = e
		return true
	})
	if n := p.s.Len(); n != len(found) {
		p.failf("the spool says that it has %d messages and lists %d", n, len(found))
	}
	return found
}

// strangers looks for messages that nobody accepted, or that were refused.
func (p *point) strangers(found map[message.ID]spool.Entry) {
	for id := range found {
		switch {
		case p.m.refused[id]:
			p.failf("message %s was refused and is there", id)
		case p.m.letters[id] == nil:
			p.failf("message %s was never accepted and is there", id)
		}
	}
}

// judge compares what was found of a letter with what the model allows, and takes it over.
func (p *point) judge(l *letter, at spool.Entry, there bool) {
	allowed := l.allowed()
	if !there {
		if !slices.ContainsFunc(allowed, func(s standing) bool { return s.gone || p.expired(l, s) }) {
			p.lost(l, fmt.Sprintf("message %s is lost: it was %s; %s", l.id, describe(allowed), strings.Join(l.story, ", ")))
		}
		l.adopt(standing{gone: true})
		return
	}
	why := fmt.Sprintf("message %s is %s, and may be %s", l.id, seen(at), describe(allowed))
	for _, s := range slices.Backward(allowed) {
		if s.gone || !s.fits(at) {
			continue
		}
		if why = p.compare(l, s); why == "" {
			if l.now.gone && !l.sure.gone {
				p.count.Repeats++
			}
			l.adopt(s)
			return
		}
	}
	for _, s := range p.former(l) {
		if !s.gone && s.fits(at) && p.compare(l, s) == "" {
			p.astray = append(p.astray, l)
			l.adopt(s)
			return
		}
	}
	p.failf("%s; %s", why, strings.Join(l.story, ", "))
	l.adopt(seen(at))
}

// seen is what the spool's table says of a message.
func seen(e spool.Entry) standing {
	s := standing{due: nanos(e.Due), attempts: e.Attempts, state: e.State, order: e.Order}
	if e.State == spool.Taken || e.State == spool.Scheduled {
		s.state, s.order = spool.Scheduled, ""
	}
	return s
}

func describe(all []standing) string {
	var b bytes.Buffer
	for i, s := range all {
		if i > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(s.String())
	}
	return b.String()
}

// fits compares what the spool's table says.
func (s standing) fits(e spool.Entry) bool {
	is := seen(e)
	return s.state == is.state && s.due == is.due && s.attempts == is.attempts && s.order == is.order
}

// trashSlack is how long before its time a message in the trash is left alone by the driver: an operation takes a while.
const trashSlack = 10 * time.Second

// expired reports that a message in the trash may be gone: its time is over, or room is short, or the clock was set back
// by so much that its time would not come.
func (p *point) expired(l *letter, s standing) bool {
	age := p.age(s)
	if s.state == spool.Trashed && (age >= p.keep || age <= -p.keep) {
		l.overdue = s.since // and so it stays, whatever the clock says later
	}
	return s.state == spool.Trashed && (p.tight || l.overdue == s.since)
}

// near reports a message in the trash that is expired, or about to be.
func (p *point) near(l *letter) bool {
	age := p.age(l.now)
	return l.now.state == spool.Trashed && (p.expired(l, l.now) || age >= p.keep-trashSlack || age <= -p.keep+trashSlack)
}

func (p *point) age(s standing) time.Duration { return p.now().Sub(time.Unix(0, s.since)) }

// reap takes note of messages whose time in the trash is over and that are gone.
func (p *point) reap() {
	p.m.each(func(l *letter) {
		if l.now.gone || !p.expired(l, l.now) {
			return
		}
		if _, there := p.s.Lookup(l.id); !there {
			l.do("out of the trash", func(standing) standing { return standing{gone: true} })
			l.settle(true) // it went with a record that is durable
		}
	})
}

// emptied complains about messages that are still in the trash although their time was over long ago.
func (p *point) emptied() {
	p.reap()
	p.m.each(func(l *letter) {
		if l.now.state == spool.Trashed && !l.now.gone && p.age(l.now) > p.keep+p.keep/16+trashSlack {
			p.failf("message %s is still in the trash after %s, which is kept for %s", l.id, p.age(l.now), p.keep)
		}
	})
}

// compare reads a letter back and says what is different, "" if nothing is.
func (p *point) compare(l *letter, s standing) string {
	if l.broken {
		return ""
	}
	m, err := p.s.Load(l.id)
	if err != nil {
		return p.unread(l, fmt.Sprintf("load %s, which is %s: %v", l.id, s, err), err)
	}
	want := l.message(s)
	body, err := m.Data()
	switch {
	case err != nil:
		return p.unread(l, fmt.Sprintf("body of %s: %v", l.id, err), err)
	case !bytes.Equal(body, l.body):
		return fmt.Sprintf("body of %s: %d bytes that are not the %d of the message", l.id, len(body), len(l.body))
	case m.ID != l.id || m.Size != len(l.body) || !m.Created.Equal(l.created):
		return fmt.Sprintf("message %s: id %s, %d bytes, created %s", l.id, m.ID, m.Size, m.Created)
	case m.Sender != want.Sender || !slices.Equal(m.Recipients, want.Recipients) || m.Queue != want.Queue:
		return fmt.Sprintf("message %s: %s to %s in %s, want %s to %s in %s", l.id, m.Sender, texts(m.Recipients), m.Queue,
			want.Sender, texts(want.Recipients), want.Queue)
	case !maps.Equal(m.Meta.All(), want.Meta.All()):
		return fmt.Sprintf("message %s: metadata %v, want %v", l.id, m.Meta.All(), want.Meta.All())
	case m.Attempts != s.attempts || nanos(m.Due) != s.due:
		return fmt.Sprintf("message %s: %d attempts, due %d, want %s", l.id, m.Attempts, nanos(m.Due), s)
	case !sameTries(m.History, want.History):
		return fmt.Sprintf("message %s: attempts %+v, want %+v", l.id, m.History, want.History)
	case m.LastResponse != want.LastResponse:
		return fmt.Sprintf("message %s: last response %q, want %q", l.id, m.LastResponse, want.LastResponse)
	}
	return ""
}

// unread says why a letter could not be read, "" if that is the fault that is armed.
func (p *point) unread(l *letter, why string, err error) string {
	if p.armed && broken(err) || p.off() {
		return ""
	}
	l.broken = l.broken || p.tolerant && errors.Is(err, spool.ErrDamaged)
	return why
}

func sameTries(a, b []message.Try) bool {
	return slices.EqualFunc(a, b, func(a, b message.Try) bool {
		return a.At.Equal(b.At) && a.Response == b.Response && a.Source == b.Source && a.Peer == b.Peer
	})
}

func texts(as []mail.Address) []string {
	out := make([]string, len(as))
	for i, a := range as {
		out[i] = a.String()
	}
	return out
}

// checkOrders: an order that was told to be done is known to be, until it is forgotten; one that was cut short is done
// as a whole or not at all, and is carried out again then.
func (p *point) checkOrders() {
	for _, name := range p.m.names {
		g := p.m.orders[name]
		ids, done := p.s.OrderDone(name)
		if g.left {
			p.checkLeft(name, g, done)
			continue
		}
		switch {
		case p.tolerant:
			g.told = done
		case g.told && !g.gone && !done:
			p.failf("order %s is done, and the log does not know it", name)
		case done && !slices.Equal(ids, g.ids):
			p.failf("order %s: the log says that %d messages came of it, %d did", name, len(ids), len(g.ids))
		case g.maybe && done != p.allThere(g.ids):
			p.failf("order %s was cut short: known as done: %v, but its messages are there: %v", name, done, !done)
		case g.maybe && !done && p.anyThere(g.ids):
			p.failf("order %s was cut short, and is there in part", name)
		}
		if !g.told && !p.off() {
			g.told, g.maybe = done, false
			if !done {
				p.again(name)
			}
		}
	}
}

// checkLeft is about an order that waits in orders.db: the log need not know it once orders.db does, and whoever
// executes orders carries it out again if it was cut short.
func (p *point) checkLeft(name string, g *group, done bool) {
	switch {
	case g.told || !g.maybe:
	case done != p.allThere(g.ids):
		p.failf("order %s was cut short: known as done: %v, but its messages are there: %v", name, done, !done)
	case done:
		g.told, g.maybe = true, false
	case p.anyThere(g.ids) && !p.forgetful:
		p.failf("order %s was cut short, and is there in part", name)
	default:
		g.maybe = false
	}
}

// again carries out an order after a restart; the log must not let it happen twice.
func (p *point) again(name string) {
	p.carryOut(name)
	g := p.m.orders[name]
	if !g.told {
		return
	}
	err := p.s.Accept(p.ctx, name, p.write(1, false)[0].message(standing{}))
	if !errors.Is(err, spool.ErrOrderDone) && !p.off() {
		p.failf("order %s is carried out twice: %v", name, err)
	}
}

func (p *point) allThere(ids []message.ID) bool {
	for _, id := range ids {
		if l := p.m.letters[id]; l == nil || l.now.gone {
			return false
		}
	}
	return true
}

func (p *point) anyThere(ids []message.ID) bool {
	return slices.ContainsFunc(ids, func(id message.ID) bool {
		l := p.m.letters[id]
		return l != nil && !l.now.gone
	})
}

// endings ends everything, and looks whether the spool is empty then, also after a restart, and whether its segments go.
func (p *point) endings() {
	if p.off() {
		return
	}
	p.reap()
	for _, l := range p.m.pick(func(l *letter) bool { return !l.now.gone }) {
		if err := p.s.End(l.id, spool.EndDelivered); err != nil && !p.expired(l, l.now) {
			p.failf("end of %s, which is %s: %v", l.id, l.now, err)
			return
		}
		l.do("end", func(standing) standing { return standing{gone: true} })
		p.count.Ends++
	}
	for _, r := range p.m.rules {
		p.s.EndOrder(r.order.ID)
		r.over = true
	}
	p.dropNotes()
	for _, name := range p.m.names {
		p.s.ForgetOrder(name)
		p.m.orders[name].gone = true
	}
	p.flush()
	time.Sleep(5 * time.Second)
	synctest.Wait()
	if n := p.s.Stats().Segments; n > 1 && len(p.wrong) == 0 {
		p.failf("nothing is alive, and there are %d segments", n)
	}
	p.close()
	p.check(true)
	p.close()
}
