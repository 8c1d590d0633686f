package ready

import (
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
)

// leastWait is the shortest wait in a ready queue that is explained: under load every message waits for a few
// milliseconds behind others, and saying so would cost more than it tells.
const leastWait = 5 * time.Millisecond

// holding is a limit that sessions are waiting for at present: from when on, for what, and how many of them.
type holding struct {
	from int64
	by   message.Span
	n    int
}

// hold notes that a session begins to wait for a limit.
func (l *line) hold(by message.Span) {
	now := l.owner.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holding.n == 0 {
		l.holding.from, l.holding.by = now, by
	}
	l.holding.n++
}

// unhold notes that a session has waited. The last one ends the block.
func (l *line) unhold() {
	now := l.owner.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holding.n--; l.holding.n == 0 {
		s := l.holding.by
		s.For = time.Duration(now - l.holding.from)
		l.block(l.holding.from, now, s)
	}
}

// block remembers that nothing was sent from one moment to another, and why. Called with mu held.
func (l *line) block(from, to int64, spans ...message.Span) {
	if time.Duration(to-from) < leastWait {
		return
	}
	if l.blocks == nil {
		l.blocks = &message.Blocks{}
	}
	l.blocks.Add(from, to, spans...)
}

// explain says in it.m what kept it waiting until now. What no block explains was spent behind other messages: by
// connection_limit if it allowed no further session. Called with mu held.
func (l *line) explain(it *item, now int64) {
	from := max(it.since, it.told)
	if time.Duration(now-from) < leastWait {
		return
	}
	it.told = now
	spans, until := it.m.Spent, now
	if began := max(l.holding.from, from); l.holding.n > 0 && began < now {
		s := l.holding.by
		s.For = time.Duration(now - began)
		spans, until = message.AddSpan(spans, s), began
	}
	spans, rest := l.blocks.Explain(spans, from, until)
	if rest >= message.LeastSpan {
		s := message.Span{Cause: message.WaitBusy, For: rest}
		if l.sessions >= l.limits.sessions {
			s = message.Span{Cause: message.WaitConnectionLimit, At: l.limits.origins.ConnectionLimit, For: rest}
		}
		spans = message.AddSpan(spans, s)
	}
	it.m.Spent = spans
}

// opened remembers what an opening that began then took, unless mail went out over other connections meanwhile.
// Called with mu held.
func (l *line) opened(began, now int64, spans []message.Span) {
	d := time.Duration(now - began)
	if l.connected > 0 || d < leastWait {
		return
	}
	if rest := d - message.SumSpans(spans); rest >= message.LeastSpan || len(spans) == 0 {
		spans = append(spans[:len(spans):len(spans)], message.Span{Cause: message.SpentKumo, For: max(rest, 0)})
	}
	l.block(began, now, spans...)
}

// openingOf is what the opening of a session took, as far as its carrier says.
func openingOf(c egress.Session) []message.Span {
	if o, ok := c.(egress.Opened); ok {
		return o.Opening()
	}
	return nil
}

// origins say where the settings of the path stand.
func (l *line) origins() *egress.Origins {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limits.origins
}
