package torture

import (
	"fmt"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// op is one thing that the driver does; the weights say how often.
type op struct {
	name   string
	weight int
	run    func(*point)
}

// ops is everything that may happen to a spool while it runs.
func ops() []op {
	return []op{
		{"accept", 26, func(p *point) { p.accept("", p.write(1, false)) }},
		{"accept several", 6, func(p *point) { p.accept("", p.write(2+p.IntN(5), false)) }},
		{"accept a shared body", 6, func(p *point) { p.accept("", p.write(2+p.IntN(8), true)) }},
		{"accept side by side", 5, (*point).acceptTogether},
		{"inject order", 4, (*point).inject},
		{"forget an order", 2, (*point).forget},
		{"update", 8, (*point).update},
		{"reschedule", 8, (*point).reschedule},
		{"end", 16, (*point).end},
		{"load", 6, (*point).load},
		{"flush", 3, (*point).flush},
		{"wait", 8, func(p *point) { p.wait(time.Duration(p.IntN(400)) * time.Millisecond) }},
		{"wait for housekeeping", 3, func(p *point) { p.wait(time.Duration(1000+p.IntN(1500)) * time.Millisecond) }},
		{"reopen", 1, (*point).reopen},
		{"compact", 1, (*point).compact},
		{"compact beside other things", 1, (*point).compactBeside},
	}
}

// work does n random things, until the power is off or the spool is closed.
func (p *point) work(n int) {
	all := append(ops(), orderOps()...)
	total := 0
	for _, o := range all {
		total += o.weight
	}
	for range n {
		if p.off() || p.s == nil {
			return
		}
		k := p.IntN(total)
		for _, o := range all {
			if k -= o.weight; k < 0 {
				o.run(p)
				break
			}
		}
		synctest.Wait()
		if p.s != nil && !p.off() {
			p.reap()
		}
	}
}

// write makes n letters that are not accepted yet.
func (p *point) write(n int, shared bool) []*letter {
	p.m.groups++
	var out []*letter
	body := p.body()
	for i := range n {
		if i > 0 && !shared {
			body = p.body()
		}
		l := &letter{id: p.next(), body: body, created: p.now(), group: p.m.groups, taken: true}
		l.envs = []envelope{p.envelope()}
		l.sure = standing{gone: true}
		l.now = l.sure
		out = append(out, l)
	}
	return out
}

// body makes bytes of a random length: mostly small, sometimes up to 200 kB.
func (p *point) body() []byte {
	limit := 1 << 10
	switch k := p.IntN(100); {
	case k < 2:
		return nil
	case k < 4:
		limit = 200_000
	case k < 14:
		limit = 40_000
	case k < 35:
		limit = 6_000
	}
	b := make([]byte, p.IntN(limit))
	x := p.Uint64() | 1
	for i := range b {
		if i%8 == 0 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
		}
		b[i] = byte(x >> (i % 8 * 8))
	}
	return b
}

func (p *point) envelope() envelope {
	e := envelope{queue: fmt.Sprintf("tenant%d@dest%d.test", p.IntN(3), p.IntN(4)), meta: map[string]any{}}
	if p.IntN(10) > 0 {
		e.sender = fmt.Sprintf("sender%d@example.com", p.IntN(5))
	}
	for range 1 + p.IntN(3) {
		e.recipients = append(e.recipients, fmt.Sprintf("to%d@dest.test", p.IntN(1000)))
	}
	for i := range p.IntN(4) {
		e.meta[fmt.Sprint("name", i)] = strings.Repeat("v", p.IntN(60))
	}
	return e
}

// due is a time in the next hours; sometimes none, which is now.
func (p *point) due() time.Time {
	if p.IntN(8) == 0 {
		return time.Time{}
	}
	return time.Now().Round(0).Add(time.Duration(p.Int64N(int64(4 * time.Hour))))
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// message makes what the spool is given of the letter as it stands in s.
func (l *letter) message(s standing) *message.Message {
	e := l.envs[s.env]
	m := &message.Message{
		ID: l.id, Sender: mail.Restore(e.sender), Meta: message.NewMeta(nil), Queue: e.queue, Created: l.created,
		Due: fromNanos(s.due), Attempts: s.attempts, LastResponse: s.last, History: e.history,
	}
	for _, r := range e.recipients {
		m.Recipients = append(m.Recipients, mail.Restore(r))
	}
	for k, v := range e.meta {
		m.Meta.Set(k, v)
	}
	m.SetData(l.body)
	return m
}

// accept hands letters over and notes what was answered. ok reports that they are taken.
func (p *point) accept(order string, ls []*letter) bool {
	first := standing{due: nanos(p.due())}
	ms := make([]*message.Message, len(ls))
	for i, l := range ls {
		ms[i] = l.message(first)
	}
	err := p.s.Accept(p.ctx, order, ms...)
	p.answered(ls, first, err)
	return err == nil
}

func (p *point) answered(ls []*letter, first standing, err error) {
	switch {
	case err == nil:
		p.m.certain(true)
		for _, l := range ls {
			p.m.add(l)
			l.do("accept", func(standing) standing { return first })
			l.settle(true)
			p.count.Messages++
		}
	case p.off() || p.lenient:
		for _, l := range ls {
			p.m.add(l)
			l.maybe("accept", func(standing) standing { return first }, !p.off())
		}
	default:
		p.fault("accept", err)
		for _, l := range ls {
			p.m.refused[l.id] = true
		}
	}
}

// fault looks at an error while the power is on: only the fault that is armed may cause one.
func (p *point) fault(what string, err error) {
	if !p.armed || !broken(err) {
		p.failf("%s: %v", what, err)
	}
}

// acceptTogether has several acceptances share a sync: they come while the first is being written.
func (p *point) acceptTogether() {
	n := 2 + p.IntN(5)
	var wg sync.WaitGroup
	all := make([][]*letter, n)
	firsts := make([]standing, n)
	errs := make([]error, n)
	for i := range n {
		all[i] = p.write(1+p.IntN(2), false)
		firsts[i] = standing{due: nanos(p.due())}
		var ms []*message.Message
		for _, l := range all[i] {
			ms = append(ms, l.message(firsts[i]))
		}
		wg.Go(func() { errs[i] = p.s.Accept(p.ctx, "", ms...) })
		synctest.Wait()
	}
	wg.Wait()
	for i := range n {
		p.answered(all[i], firsts[i], errs[i])
	}
}

// live are the letters that are scheduled or in the hands of the driver.
func (p *point) live() []*letter {
	return p.m.pick(func(l *letter) bool { return !l.now.gone && l.now.state == spool.Scheduled })
}

// some draws one of ls, nil if there is none.
func (p *point) some(ls []*letter) *letter {
	if len(ls) == 0 {
		return nil
	}
	return ls[p.IntN(len(ls))]
}

// envelopeChange is what an update makes of a letter whose new envelope has that number.
func (p *point) envelopeChange(env int) func(standing) standing {
	due, attempts, last := nanos(p.due()), p.IntN(50), fmt.Sprint("451 later ", p.IntN(1000))
	return func(s standing) standing {
		s.env, s.due, s.attempts, s.last = env, due, attempts, last
		return s
	}
}

func (p *point) update() {
	l := p.some(p.live())
	if l == nil || !p.take(l) {
		return
	}
	e := p.envelope()
	for range p.IntN(3) {
		e.history = append(e.history, message.Try{
			At: time.Now().Round(0), Response: fmt.Sprint("451 try ", p.IntN(1000)), Source: "ip-1", Peer: "mx.dest.test [192.0.2.1]",
		})
	}
	l.envs = append(l.envs, e)
	change := p.envelopeChange(len(l.envs) - 1)
	if err := p.s.Update(l.message(change(l.now))); err != nil {
		p.lazyFault("update", l, err)
		if !broken(err) {
			return
		}
	}
	l.do("update", change)
	l.taken = false
	p.count.Changes++
}

func (p *point) reschedule() {
	l := p.some(p.live())
	if l == nil || !p.take(l) {
		return
	}
	due, attempts, last := p.due(), p.IntN(50), ""
	if p.IntN(2) == 0 && !p.armed { // a response that cannot be added, because the rest cannot be read, is left out
		last = fmt.Sprint("451 not yet ", p.IntN(1000))
	}
	if err := p.s.RescheduleWith(l.id, due, attempts, last); err != nil {
		p.lazyFault("reschedule", l, err)
		return
	}
	l.do("reschedule", func(s standing) standing {
		s.due, s.attempts = nanos(due), attempts
		if last != "" {
			s.last = last
		}
		return s
	})
	l.taken = false
	p.count.Changes++
}

func (p *point) end() {
	l := p.some(p.live())
	if l == nil || !p.take(l) {
		return
	}
	if err := p.s.End(l.id, spool.Ending(1+p.IntN(5))); err != nil {
		p.lazyFault("end", l, err)
		return
	}
	l.do("end", func(standing) standing { return standing{gone: true} })
	l.taken = false
	p.count.Ends++
}

// lazyFault looks at an error of a call that does not wait for the disk: there should be none.
func (p *point) lazyFault(what string, l *letter, err error) {
	if p.off() {
		return
	}
	if !p.armed || !broken(err) {
		p.failf("%s of %s, which is %s: %v", what, l.id, l.now, err)
	}
}

// load brings a letter back and compares it.
func (p *point) load() {
	l := p.some(p.m.pick(func(l *letter) bool { return !l.now.gone && !p.near(l) }))
	if l == nil {
		return
	}
	if why := p.compare(l, l.now); why != "" && !p.off() {
		p.failf("%s", why)
	}
}

func (p *point) flush() {
	err := p.s.Flush()
	switch {
	case err == nil:
		p.m.certain(false)
	case !p.off():
		p.fault("flush", err)
	}
}

// lazyTime is how soon a record that nobody waits for is on the disk: 10 ms until it is written, 200 ms until it is
// synced, and the time that the disk takes.
const lazyTime = 250 * time.Millisecond

func (p *point) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	if d >= lazyTime && p.healthy && !p.off() {
		p.m.certain(false)
	}
}

// reopen ends the spool as a daemon does and starts it again. A disk that fails is left to whoever broke it.
func (p *point) reopen() {
	if p.armed || p.beside || p.off() {
		return
	}
	exactly := p.healthy
	p.close()
	p.check(exactly)
}

// compact copies everything that lives on to the end of the log.
func (p *point) compact() {
	p.compacted(p.s.Compact(p.ctx, nil))
}

func (p *point) compacted(err error) {
	switch {
	case err == nil:
		p.count.Compactions++
	case !p.off():
		p.fault("compact", err)
	}
}

// compactBeside compacts while other things happen.
func (p *point) compactBeside() {
	if p.beside {
		return
	}
	s, done := p.s, make(chan error, 1)
	go func() { done <- s.Compact(p.ctx, nil) }()
	p.beside = true
	p.work(1 + p.IntN(6))
	p.beside = false
	p.compacted(<-done)
}

// inject does what the owner does about an order that brings messages in: once, whatever happens.
func (p *point) inject() {
	name := fmt.Sprintf("%032x", len(p.m.names)+1)
	p.m.names = append(p.m.names, name)
	p.m.orders[name] = &group{}
	p.carryOut(name)
}

// carryOut carries out an order that is not known to be done.
func (p *point) carryOut(name string) {
	g := p.m.orders[name]
	ls := p.write(1+p.IntN(4), p.IntN(2) == 0)
	ok := p.accept(name, ls)
	g.told, g.maybe = ok, !ok && (p.off() || p.lenient)
	if ok || g.maybe {
		g.ids = nil
		for _, l := range ls {
			g.ids = append(g.ids, l.id)
		}
	}
}

// forget tells the log that an order's completion is kept elsewhere.
func (p *point) forget() {
	for _, name := range p.m.names {
		if g := p.m.orders[name]; g.told && !g.gone && p.IntN(2) == 0 {
			p.s.ForgetOrder(name)
			g.gone = true
			return
		}
	}
}
