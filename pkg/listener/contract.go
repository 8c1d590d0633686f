package listener

import (
	"context"
	"log/slog"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// Hooks are the questions that a listener asks of policy. Errors: *smtp.Error is an answer for the peer (kumo.reject);
// any other error is a local fault, 421 4.3.0 to the peer and a Rejection record with its text.
type Hooks interface {
	// ListenerDomain answers get_listener_domain; the zero Domain when policy says nothing. domain is in lower case,
	// listen is the listen option. It is asked at most once per domain and transaction, and only when relay_hosts
	// does not decide. It may set values of conn.
	ListenerDomain(ctx context.Context, domain, listen string, conn *message.Meta) (Domain, error)
}

// Intake takes a finished transaction. When it returns ids without error, all of the messages are durable.
// Errors as with Hooks.
type Intake interface {
	Accept(ctx context.Context, sub *message.Submission) ([]message.ID, error)
}

// Recorder takes facts for the log.
type Recorder interface {
	Record(r *journal.Record)
}

// Gate says whether mail can be taken now: nil, or what a peer hears. Its text comes after our host name: for
// `421 4.3.2 HOST load shedding. Try later` it is "load shedding. Try later". It is asked before the banner and at
// each MAIL, so it must be quick.
type Gate func() *smtp.Error

// Memory bounds what the messages on their way in may take together. A session that gets none hears
// `421 4.3.2 HOST load shedding. Try later`.
type Memory interface {
	// Take asks for n bytes.
	Take(n int) bool
	// Give returns them.
	Give(n int)
}

// Parts are what a Server is made of.
type Parts struct {
	Options  Options
	Hooks    Hooks
	Intake   Intake
	Recorder Recorder
	Gate     Gate         // nil: mail can always be taken
	Memory   Memory       // nil: only the size of each message is bounded
	Metrics  *Metrics     // nil: nothing is counted
	Log      *slog.Logger // nil: slog.Default
}
