package ready

import (
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// wellness is a node that is always well.
type wellness struct{}

func (wellness) Low() bool                     { return false }
func (wellness) Keep([]*message.Message) error { return nil }
func (wellness) Sick() error                   { return nil }

// shrink lets bodies leave memory. Those that cannot be stored stay.
func (s *Queues) shrink(ms ...*message.Message) {
	if err := s.pressure.Keep(ms); err != nil {
		s.log.Warn("messages stay in memory: they cannot be stored", "messages", len(ms), "error", err)
	}
	for _, m := range ms {
		m.Shrink()
	}
}

// Relieve makes room in memory when none is left, as no_memory_reduction_policy allows: bodies leave it, and messages
// whose turn does not come soon go back to their schedules.
func (s *Queues) Relieve() {
	s.each(func(l *line) { l.relieve() })
}

func (l *line) relieve() {
	l.mu.Lock()
	how := l.limits.path.NoMemoryReductionPolicy
	if l.fifo.n == 0 || how == egress.NoShrink {
		l.mu.Unlock()
		return
	}
	ms := make([]*message.Message, 0, l.fifo.n)
	l.fifo.each(func(it *item) { ms = append(ms, it.m) })
	l.owner.shrink(ms...) // with mu held: no session may have one of them meanwhile
	var back []item
	if how != egress.ShrinkData {
		for l.fifo.n > max(l.sessions*perSession, smallRing) {
			back = append(back, l.fifo.popLast())
		}
	}
	l.mu.Unlock()
	for i := range back {
		delay := time.Duration(l.owner.random() * float64(time.Minute))
		l.settle(back[i:i+1], message.Attempt{
			Outcome:  message.Delayed,
			Reason:   message.ReadyQueueWasDelayedDueToLowMemory,
			Delay:    delay,
			Wait:     &message.Span{Cause: message.WaitMemory},
			Response: smtp.NewReply(451, "4.4.4", "KumoMTA internal: no memory left for the ready queue "+l.key+", delay="+pretty(delay)),
		})
	}
}

// unhealthy sends it and all that wait behind it back while nothing may be delivered.
func (l *line) unhealthy(it item, why error) {
	it.told = l.owner.now()
	l.mu.Lock()
	items := append([]item{it}, l.fifo.all()...)
	l.mu.Unlock()
	for i := range items {
		delay := time.Duration((0.5 + l.owner.random()/2) * float64(sickRetry))
		l.settle(items[i:i+1], message.Attempt{
			Outcome:  message.Delayed,
			Reason:   message.ReadyQueueWasSuspended,
			Delay:    delay,
			Wait:     &message.Span{Cause: message.WaitUnhealthy},
			Response: smtp.NewReply(451, "4.4.4", "KumoMTA internal: delivery suspended: "+why.Error()),
		})
	}
}

// sickRetry is the longest time until messages are tried again that could not be delivered because the node was sick.
const sickRetry = time.Minute

// Resident counts the messages that the ready queues have in memory, and those of them with their bodies. A message
// that is being sent counts for both.
func (s *Queues) Resident() (messages, bodies int) {
	s.each(func(l *line) {
		l.mu.Lock()
		defer l.mu.Unlock()
		busy := max(l.connected-len(l.idle), 0)
		messages += l.fifo.n + busy
		bodies += busy
		l.fifo.each(func(it *item) {
			if it.m.InMemory() {
				bodies++
			}
		})
	})
	return messages, bodies
}

// each shows the items in their order.
func (f *fifo) each(see func(*item)) {
	for i := range f.n {
		see(&f.ring[(f.head+i)&(len(f.ring)-1)])
	}
}
