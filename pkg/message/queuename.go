package message

import "strings"

// NullQueue is the queue name that drops a message at reception.
const NullQueue = "null"

// QueueName is the name of a scheduled queue: `campaign:tenant@domain!routing_domain`, absent parts left out.
type QueueName struct {
	Campaign      string
	Tenant        string
	Domain        string
	RoutingDomain string
}

// ParseQueueName takes a name apart as KumoMTA does: at the first "@", the prefix at the first ":", the rest at
// the first "!". Without "@" the whole is a domain.
func ParseQueueName(s string) QueueName {
	var n QueueName
	prefix, domain, ok := strings.Cut(s, "@")
	if !ok {
		domain = s
	} else if c, t, two := strings.Cut(prefix, ":"); two {
		n.Campaign, n.Tenant = c, t
	} else {
		n.Tenant = prefix
	}
	n.Domain, n.RoutingDomain, _ = strings.Cut(domain, "!")
	return n
}

// String is the name in its canonical form.
func (n QueueName) String() string {
	var b strings.Builder
	switch {
	case n.Campaign != "":
		b.WriteString(n.Campaign + ":" + n.Tenant + "@")
	case n.Tenant != "":
		b.WriteString(n.Tenant + "@")
	}
	b.WriteString(n.Domain)
	if n.RoutingDomain != "" {
		b.WriteString("!" + n.RoutingDomain)
	}
	return b.String()
}

// Effective is the domain that mail of this queue is routed to.
func (n QueueName) Effective() string {
	if n.RoutingDomain != "" {
		return n.RoutingDomain
	}
	return n.Domain
}
