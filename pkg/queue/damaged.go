package queue

import (
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// unreadable sets a message aside whose stored envelope is damaged. Trying it again each minute would not heal it.
func (s *Queues) unreadable(q *Scheduled, e entry, err error) {
	m := &message.Message{ID: e.id, Queue: q.name, Created: s.base.Add(time.Duration(e.created)), Attempts: int(e.attempts)}
	s.record(journal.Delayed, m, nil, s.clock.Now(), damagedReply(err.Error()), nil)
	s.shelve(q, m.ID)
}

// damaged sets a message aside whose stored body turned out to be damaged when it was to be sent: the attempt is in the
// log already.
func (s *Queues) damaged(q *Scheduled, m *message.Message) {
	s.store.Give(m.ID)
	s.shelve(q, m.ID)
}

func (s *Queues) shelve(q *Scheduled, id message.ID) {
	q.live.Add(-1)
	s.log.Error("a stored message is damaged and was set aside; kumo spool check says where, kumo queue release has it tried again",
		"id", id.String(), "queue", q.name)
	if s.orders != nil {
		s.orders.claims.take(id)
	}
	if err := s.store.Shelve(id); err != nil {
		s.log.Error("cannot note that a damaged message is set aside; a restart would try it again", "id", id.String(), "error", err)
	}
}

func damagedReply(why string) smtp.Reply {
	return smtp.NewReply(451, "4.3.0", "KumoMTA internal: the message is set aside until an operator releases it: "+why)
}
