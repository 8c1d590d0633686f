package listener

import (
	"context"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// Hooks are the questions that a listener asks of policy. Errors: *smtp.Error is an answer for the peer (kumo.reject);
// any other error is a local fault, 421 4.3.0 to the peer and a Rejection record with its text.
type Hooks interface {
	// ListenerDomain answers get_listener_domain; the zero Domain when policy says nothing.
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

// Gate says whether mail can be taken now; the error (421 4.3.2 …) is what a peer hears.
type Gate func() *smtp.Error
