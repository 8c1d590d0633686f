package egress

import (
	"context"

	"kumo/pkg/dns"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/smtp"
)

// Configs answers what policy says about egress objects. A nil handler result gives the defaults.
type Configs interface {
	EgressPool(ctx context.Context, name string) (option.Resolved[Pool], error)
	EgressSource(ctx context.Context, name string) (option.Resolved[Source], error)
	EgressPath(ctx context.Context, routingDomain, source, site string) (option.Resolved[Path], error)
}

// Plan is the decision where a message goes: it names the ready queue and carries what a session needs.
// Plans are shared and immutable.
type Plan struct {
	Key           string // ready queue name: SOURCE->SITE@PROTO
	Site          string // SITE alone
	Pool          string
	RoutingDomain string // effective domain that was resolved
	Source        *Source
	Path          *Path
	Protocol      Protocol
	MX            *dns.MX // nil for protocols that resolve nothing
	Trace         []PlanTrace
	Origins       Origins
}

// Origins say where the settings of a path stand that may keep messages waiting: "file:line", "" for defaults.
type Origins struct {
	ConnectionLimit, MaxConnectionRate, MaxMessageRate, MaxReady string
}

// PlanTrace explains one object of a plan for route-test: "egress_pool pool1", "egress_source ip-1", "egress_path …".
type PlanTrace struct {
	Object string       `json:"object"`
	Name   string       `json:"name"`
	Fields option.Trace `json:"fields"`
}

// Failure is why there is no plan or no connection. It applies to every message that waits for it.
type Failure struct {
	Outcome message.Outcome // Transient or Permanent
	Reason  message.Reason
	Reply   smtp.Reply
	Cause   error
	Spent   []message.Span // what finding out took, by cause
}

func (f *Failure) Error() string {
	if f.Cause != nil {
		return f.Reply.String() + ": " + f.Cause.Error()
	}
	return f.Reply.String()
}

func (f *Failure) Unwrap() error { return f.Cause }

// Carrier opens sessions of one protocol.
type Carrier interface {
	// Open connects to some host of the plan. When none answers the error is a *Failure.
	Open(ctx context.Context, plan *Plan) (Session, error)
}

// Opened is a Session that knows what its opening took, by cause.
type Opened interface {
	Opening() []message.Span
}

// Yielding is a Session that can be told that the node is about to stop.
type Yielding interface {
	// Yield has Deliver give its message back Unsent, at once and from now on, unless the text of the message is on its
	// way to the peer: that one may finish. Any goroutine may call it at any time.
	Yield()
}

// Session delivers messages one after the other. It may be an Opened, and Yielding.
type Session interface {
	// Deliver tries to hand over m. It never panics and never blocks longer than the path's timeouts.
	Deliver(ctx context.Context, m *message.Message) Result
	// Close says goodbye politely, within a short bound.
	Close()
}

// Result is what Deliver came to.
type Result struct {
	// Attempts name every recipient of the message exactly once, grouped by outcome, but for those of outcome Retried,
	// which come on top. Empty when Unsent.
	Attempts []message.Attempt
	// Unsent: the session was found dead before anything of m was sent (an idle disconnect). The message is to
	// be given to another session; nothing is logged.
	Unsent bool
	// Done: the session takes no more messages.
	Done bool
}

// Request asks for a plan for one message.
type Request struct {
	Queue    message.QueueName
	Pool     string
	Protocol Protocol
	// Turn is the weighted round robin state of the scheduled queue; nil for a dry run, which gets the source with
	// the largest weight.
	Turn *Turn
	// Full reports ready queues without room, whose sources are passed over while others remain; may be nil.
	Full func(key string) bool
	// Spent is told what the plan took, by cause, where that is worth saying; nil: nobody asks.
	Spent *[]message.Span
	// Explain asks for Plan.Trace.
	Explain bool
}
