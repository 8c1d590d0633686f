package queue

import (
	"context"
	"time"

	"kumo/pkg/smtp"
	"kumo/pkg/throttle"
)

// limitPrefix begins the names of the room's throttles; policies must not use names that begin with "kumomta.".
const limitPrefix = "kumomta.queue.max_message_rate."

// blindWait is how long a message waits when a shared throttle cannot say: the rate is rather too low than too high.
const blindWait = time.Second

// limit is the throttle of a queue; nil for none. The unchanged one of old is kept.
func (s *Queues) limit(name string, spec throttle.Spec, old *settings) *throttle.Throttle {
	switch {
	case spec.IsZero():
		return nil
	case old != nil && old.MaxMessageRate == spec:
		return old.rate
	}
	return s.throttles.Throttle(limitPrefix+name, spec)
}

// throttled is how long the next message of q has to wait for max_message_rate; 0 means that it may go and was
// counted. While due messages wait for the throttle, arrivals do not overtake them.
func (q *Scheduled) throttled(ctx context.Context, c *settings, now int64, arrival bool) time.Duration {
	if c.rate == nil {
		return 0
	}
	if open := q.openAt.Load(); arrival && open > now && q.backlog.Load() {
		return time.Duration(open - now)
	}
	wait := blindWait
	if r, err := c.rate.Take(ctx, 1); err == nil {
		wait = r.RetryAfter
	} else {
		q.owner.log.Warn("throttle cannot be asked", "throttle", c.rate.Name, "error", err)
	}
	if wait > 0 {
		q.openAt.Store(now + int64(wait))
	}
	return wait
}

func throttledReply(queue string, wait time.Duration) smtp.Reply {
	return smtp.NewReply(451, "4.4.4", "KumoMTA internal: "+queue+" throttled message rate, delay="+pretty(wait))
}
