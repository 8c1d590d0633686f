package egress

import (
	"errors"
	"fmt"
	"strings"

	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// internal marks replies that no peer gave, as KumoMTA does.
const internal = "KumoMTA internal: "

// maxCause bounds what a reply tells of an error, in bytes; the whole of it is Failure.Cause.
const maxCause = 500

func transient(reason message.Reason, text string, cause error) *Failure {
	return &Failure{Outcome: message.Transient, Reason: reason, Reply: smtp.NewReply(451, "4.4.4", text), Cause: cause}
}

// unresolved is for everything that keeps a queue from getting a plan: DNS, and policy that fails.
func unresolved(queue message.QueueName, cause error) *Failure {
	text := fmt.Sprintf("failed to resolve queue %s: %s", queue, firstLine(cause))
	return transient(message.LoggedTransientFailure, text, cause)
}

func noSources(queue message.QueueName, pool string) *Failure {
	text := fmt.Sprintf("%sno sources available for %s pool=`%s`", internal, queue, pool)
	return transient(message.LoggedTransientFailure, text, nil)
}

// nullMX is RFC 7505 4.
func nullMX() *Failure {
	return &Failure{
		Outcome: message.Permanent,
		Reason:  message.FailedDueToNullMx,
		Reply:   smtp.NewReply(556, "5.1.10", "Recipient address has a null MX"),
	}
}

// prohibited fails the whole ready queue: t is on the list.
func prohibited(t Target) *Failure {
	return &Failure{
		Outcome: message.Permanent,
		Reason:  message.MxWasProhibited,
		Reply:   smtp.NewReply(550, "5.4.4", fmt.Sprintf("%sMX host %s is on the prohibited_hosts list", internal, t)),
	}
}

func skipped() *Failure {
	return transient(message.MxWasSkipped, internal+"MX consisted solely of hosts on the skip_hosts list", nil)
}

func zeroHosts(cause error) *Failure {
	return transient(message.MxResolvedToZeroHosts, "MX didn't resolve to any hosts", cause)
}

// firstLine is an error fit for a reply: one line, bounded, without the chain of a Lua traceback.
func firstLine(err error) string {
	var f *Failure
	if errors.As(err, &f) {
		return f.Reply.Content()
	}
	s, _, _ := strings.Cut(err.Error(), "\n")
	if len(s) > maxCause {
		s = strings.ToValidUTF8(s[:maxCause], "") + "…"
	}
	return s
}
