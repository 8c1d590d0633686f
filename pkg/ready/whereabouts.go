package ready

import (
	"slices"
	"time"

	"kumo/pkg/message"
)

// Whereabouts is what is known of a message in a ready queue that no record tells yet.
type Whereabouts struct {
	Site  string         // the ready queue
	Sent  bool           // a session has it; else it waits
	Since time.Time      // when its account began (Message.Hop)
	Spent []message.Span // what the time since then went to, up to now
}

// current is the message that a session has in hand; the line's.
type current struct {
	id    message.ID
	hop   time.Time
	taken int64
	spent []message.Span // when it was taken
}

// has notes that the session has a message in hand, which has waited. Called with mu of the line held.
func (s *session) has(it *item, now int64, waited bool) {
	s.current.id, s.current.hop, s.current.taken, s.current.spent = it.m.ID, it.m.Hop, now, nil
	if waited {
		s.current.spent = slices.Clone(it.m.Spent)
	}
}

// Find looks for a message among those that wait and those that are being sent. It looks at all of them: it is for
// people who ask, not for programs.
func (s *Queues) Find(id message.ID) (Whereabouts, bool) {
	now := s.now()
	var found *Whereabouts
	s.each(func(l *line) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := range l.fifo.n {
			if it := &l.fifo.ring[(l.fifo.head+i)&(len(l.fifo.ring)-1)]; it.m.ID == id {
				c := item{m: &message.Message{Spent: slices.Clone(it.m.Spent)}, since: it.since, told: it.told}
				l.explain(&c, now)
				found = &Whereabouts{Site: l.key, Since: it.m.Hop, Spent: c.m.Spent}
			}
		}
	})
	if found != nil {
		return *found, true
	}
	s.mu.Lock()
	all := make([]*session, 0, len(s.sessions))
	for x := range s.sessions {
		all = append(all, x)
	}
	s.mu.Unlock()
	for _, x := range all {
		x.line.mu.Lock()
		c := x.current
		x.line.mu.Unlock()
		if c.id == id {
			sending := message.Span{Cause: message.SpentSending, At: x.line.key, For: time.Duration(now - c.taken)}
			return Whereabouts{Site: x.line.key, Sent: true, Since: c.hop, Spent: message.AddSpan(slices.Clone(c.spent), sending)}, true
		}
	}
	return Whereabouts{}, false
}
