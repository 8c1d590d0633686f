package queue

import (
	"context"
	"strings"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

var failedConfig = smtp.NewReply(451, "4.4.4", "KumoMTA internal: the queue of this message cannot be configured now")

func fullReply(key string, wait time.Duration) smtp.Reply {
	return smtp.NewReply(451, "4.4.4", "KumoMTA internal: ready queue "+key+" is full, delay="+pretty(wait))
}

// pretty is d as people read it: "1m30s", "250ms".
func pretty(d time.Duration) string {
	if d >= time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}

// delay logs why m is not tried now and schedules it; at is where the setting stands that makes it wait. No attempt is counted.
func (s *Queues) delay(ctx context.Context, q *Scheduled, m *message.Message, now time.Time, wait time.Duration, why message.Reason, reply smtp.Reply, at string) {
	q.delayed(why)
	account(m, nil, now)
	s.recordWait(journal.Delayed, m, nil, now, reply, nil, delaySpan(why, at, wait))
	m.LastResponse = reply.String()
	s.reschedule(ctx, q, m, now, wait, false)
}

// nextTry is when m is tried again after an attempt that fails now, by the queue's retry intervals.
func (s *Queues) nextTry(ctx context.Context, q *Scheduled, m *message.Message, now time.Time) message.Span {
	c := s.settings(ctx, q, now)
	return c.retrySpan(m.Attempts, c.delay(m.Attempts, s.random()))
}

// retry counts an attempt and schedules m for the next one.
func (s *Queues) retry(ctx context.Context, q *Scheduled, m *message.Message, now time.Time, wait time.Duration) {
	m.Attempts++
	s.reschedule(ctx, q, m, now, wait, true)
}

// settings is the configuration of q, or the defaults when there is none to be had: a message that was taken in
// must have some schedule.
func (s *Queues) settings(ctx context.Context, q *Scheduled, now time.Time) *settings {
	c, err := q.config(ctx, s.since(now))
	if err != nil {
		s.log.Error("queue is treated by default values", "queue", q.name, "error", err)
		return s.fallback
	}
	return c
}

// reschedule makes m due after wait, or expires it if it would then be too old. changed says that more of m than its
// schedule is to be saved. Only an entry of m stays in memory.
func (s *Queues) reschedule(ctx context.Context, q *Scheduled, m *message.Message, now time.Time, wait time.Duration, changed bool) {
	maxAge := s.settings(ctx, q, now).MaxAge.Std()
	if age(m, now)+wait >= maxAge {
		s.expire(q, m, now, wait, maxAge)
		return
	}
	was := m.Due
	m.Due = now.Add(wait).Round(0)
	var err error
	switch {
	case changed:
		err = s.store.Update(m)
	case s.sick() != nil:
		m.Due = was
		s.store.Give(m.ID)
	default:
		err = s.store.Reschedule(m.ID, m.Due, m.Attempts, m.LastResponse)
	}
	if err != nil {
		s.log.Error("cannot save when a message is due; a restart would try it earlier", "id", m.ID.String(), "error", err)
		m.Due = was // as the store has it, which recognizes the entry by it
		s.store.Give(m.ID)
	}
	s.wait(q, s.entry(m, s.since(now)+int64(wait)))
}

// age is how long ago m was received; not negative, whatever the clock did since.
func age(m *message.Message, now time.Time) time.Duration { return max(now.Sub(m.Created), 0) }

// expire ends m because its next try would come too late.
func (s *Queues) expire(q *Scheduled, m *message.Message, now time.Time, wait, maxAge time.Duration) {
	var b strings.Builder
	b.WriteString("Next delivery time would be at ")
	b.WriteString(now.Add(wait).UTC().Format(time.RFC3339))
	b.WriteString(" which exceeds the expiry time ")
	b.WriteString(m.Created.Add(maxAge).UTC().Format(time.RFC3339))
	b.WriteString(" configured via max_age")
	s.records(journal.Expiration, m, nil, now, smtp.NewReply(551, "5.4.7", b.String()), nil)
	s.end(q, m, journal.Expiration)
}
