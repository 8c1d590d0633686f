package ready

import "kumo/pkg/message"

// Recall takes back the messages that want picks among those that wait and that no session has begun: they are the
// caller's again, and the Settler does not hear of them.
func (s *Queues) Recall(want func(id message.ID) bool) []*message.Message {
	var out []*message.Message
	now := s.now()
	s.each(func(l *line) {
		l.mu.Lock()
		n := len(out)
		out = l.fifo.take(want, func(it *item) { l.explain(it, now) }, out)
		room := 0
		if len(out) > n {
			room = l.roomAgain()
		}
		l.mu.Unlock()
		if room > 0 {
			s.room(l.key, room)
		}
	})
	return out
}

// Hurry ends the pause of the ready queue of that name which a site that does not answer has earned: what waits there is
// tried now. Limits of the path stay in force.
func (s *Queues) Hurry(key string) {
	l := s.find(key)
	if l == nil {
		return
	}
	now := s.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead || s.stopping.Load() {
		return
	}
	l.notBefore = 0
	l.blocks.Cut(now)
	if l.fifo.n > 0 {
		l.demand(now)
	}
}

// take removes the items that want picks, shows them to see, appends their messages to out, and keeps the others in
// their order.
func (f *fifo) take(want func(message.ID) bool, see func(*item), out []*message.Message) []*message.Message {
	n := f.n
	for range n {
		if it := f.pop(); want(it.m.ID) {
			see(&it)
			out = append(out, it.m)
		} else {
			f.push(it)
		}
	}
	return out
}
