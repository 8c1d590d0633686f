package queue

import "kumo/pkg/message"

// Scope says which scheduled queues an order is about: those whose names fit all of its fields. Fields that are empty
// say nothing. Names are compared as they are.
type Scope struct {
	Queues        []string // whole names, any of them
	Domain        string
	Tenant        string
	Campaign      string
	RoutingDomain string
}

// Covers reports whether the queue of that name fits.
func (s *Scope) Covers(name string) bool {
	return s.covers(name, message.ParseQueueName(name))
}

func (s *Scope) covers(name string, q message.QueueName) bool {
	fits := func(want, is string) bool { return want == "" || want == is }
	if !fits(s.Domain, q.Domain) || !fits(s.Tenant, q.Tenant) || !fits(s.Campaign, q.Campaign) || !fits(s.RoutingDomain, q.RoutingDomain) {
		return false
	}
	return len(s.Queues) == 0 || has(s.Queues, name)
}

// Within reports whether every queue that fits s fits wide, too.
func (s *Scope) Within(wide *Scope) bool {
	if len(s.Queues) > 0 {
		for _, name := range s.Queues {
			if !wide.Covers(name) {
				return false
			}
		}
		return true
	}
	same := func(want, is string) bool { return want == "" || want == is }
	return len(wide.Queues) == 0 && same(wide.Domain, s.Domain) && same(wide.Tenant, s.Tenant) &&
		same(wide.Campaign, s.Campaign) && same(wide.RoutingDomain, s.RoutingDomain)
}

func has(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}
