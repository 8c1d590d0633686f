package intake

import (
	"time"

	"kumo/pkg/message"
)

// leastSpent is the shortest time on the way in that a message's account names.
const leastSpent = 5 * time.Millisecond

// charge begins the accounts of ms, which have just become durable: how long policy was asked about the portion, and how
// long the disk took.
func (t *taking) charge(ms []*message.Message, asked, stored time.Time) {
	policy, disk := asked.Sub(t.until), stored.Sub(asked)
	t.until = stored
	for _, m := range ms {
		m.Hop = t.now
		if policy >= leastSpent {
			m.Spent = message.AddSpan(m.Spent, message.Span{Cause: message.SpentPolicy, At: "message_received", For: policy})
		}
		if disk >= leastSpent {
			m.Spent = message.AddSpan(m.Spent, message.Span{Cause: message.SpentSpool, For: disk})
		}
	}
}
