package message

import (
	"net/netip"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/smtp"
)

// Outcome is how a try ended for the recipients that it names.
type Outcome uint8

const (
	Delivered Outcome = iota // the peer took responsibility
	Transient                // try again by the retry schedule; counts as an attempt
	Permanent                // bounce
	Delayed                  // not tried: back to the schedule after Delay; no attempt is counted
	Retried                  // failed at one host and went on at once to the next: logged, and nothing else
)

// Reason says why a message was (re)inserted or delayed: KumoMTA's insert_context words (semantics.md 4.4).
type Reason string

const (
	Received                     Reason = "Received"
	Enumerated                   Reason = "Enumerated"
	ScheduledForLater            Reason = "ScheduledForLater"
	ReadyQueueWasSuspended       Reason = "ReadyQueueWasSuspended"
	MessageRateThrottle          Reason = "MessageRateThrottle"
	ReadyQueueWasFull            Reason = "ReadyQueueWasFull"
	FailedToInsertIntoReadyQueue Reason = "FailedToInsertIntoReadyQueue"
	MessageGetQueueNameFailed    Reason = "MessageGetQueueNameFailed"
	DueTimeWasReached            Reason = "DueTimeWasReached"
	MaxReadyWasReducedByConfig   Reason = "MaxReadyWasReducedByConfigUpdate"
	FailedDueToNullMx            Reason = "FailedDueToNullMx"
	MxResolvedToZeroHosts        Reason = "MxResolvedToZeroHosts"
	MxWasProhibited              Reason = "MxWasProhibited"
	MxWasSkipped                 Reason = "MxWasSkipped"
	TooManyConnectionFailures    Reason = "TooManyConnectionFailures"
	TooManyRecipients            Reason = "TooManyRecipients"
	ConnectionRateThrottle       Reason = "ConnectionRateThrottle"
	LoggedTransientFailure       Reason = "LoggedTransientFailure"

	ReadyQueueWasDelayedDueToLowMemory Reason = "ReadyQueueWasDelayedDueToLowMemory"
	// Damaged is a word of ours: the stored message fails its checksum, and is set aside.
	Damaged Reason = "Damaged"
)

// Attempt is what one try meant for some or all recipients of a message: a value, not an error.
type Attempt struct {
	Outcome    Outcome
	Recipients []mail.Address // nil: all recipients of the message
	Response   smtp.Reply
	Reason     Reason        // for Transient and Delayed
	Delay      time.Duration // for Delayed
	Wait       *Span         // cause and place of the wait that follows, where the schedule is not the cause; may be nil
	Spent      []Span        // what this try took, by cause, as far as it is worth saying

	// What the log says about the place; empty when the try did not get that far.
	Route Route
}

// Route is where a try went: shared by all attempts of one session, so a pointer to it may be kept.
type Route struct {
	Site      string // ready queue name
	Pool      string // egress pool
	Source    string // egress source
	Provider  string // provider_name of the egress path
	Protocol  string // delivery_protocol: "ESMTP", "Maildir", "Lua"
	PeerName  string // MX host name with trailing dot
	PeerAddr  netip.Addr
	LocalAddr netip.AddrPort // the bound source address
	TLS       *smtp.TLSInfo
	SessionID string // uuid of the outbound session
}
