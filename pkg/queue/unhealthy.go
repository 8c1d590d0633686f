package queue

import (
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// sickRetry is the longest time until a message is looked at again that could not be delivered because the spool was
// unhealthy: soon enough after it is well again, and not so often that the log is full of it.
const sickRetry = 5 * time.Minute

// unhealthy makes m wait while nothing may be delivered, because what became of it could not be written down: it would
// be delivered again after a restart. No attempt is counted, and nothing is written now.
func (s *Queues) unhealthy(q *Scheduled, c *settings, m *message.Message, now time.Time, why error) {
	wait := min(c.delay(m.Attempts, s.random()), time.Duration((0.5+s.random()/2)*float64(sickRetry)))
	account(m, nil, now)
	reply := smtp.NewReply(451, "4.4.4", "KumoMTA internal: delivery suspended: "+why.Error())
	s.recordWait(journal.Delayed, m, nil, now, reply, nil, message.Span{Cause: message.WaitUnhealthy, For: wait})
	s.putBack(q, m, s.since(now)+int64(wait))
}

// Holding is how many messages the scheduled queues have in memory: those that came before their queue had a plan.
func (s *Queues) Holding() int { return int(s.holding.Load()) }
