package journal

import (
	"slices"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// Type is the kind of a record: KumoMTA's words.
type Type string

// The types that there are.
const (
	Reception               Type = "Reception"               // taken in and durable
	Delivery                Type = "Delivery"                // the peer took responsibility
	Bounce                  Type = "Bounce"                  // ended by a permanent failure
	TransientFailure        Type = "TransientFailure"        // an attempt failed and will be repeated
	Expiration              Type = "Expiration"              // ended by age
	AdminBounce             Type = "AdminBounce"             // ended by an operator
	OOB                     Type = "OOB"                     // an out-of-band bounce report came in (RFC 3464)
	Feedback                Type = "Feedback"                // a feedback report came in (RFC 5965)
	Rejection               Type = "Rejection"               // a peer was refused
	AdminRebind             Type = "AdminRebind"             // moved to another queue by an operator
	DeferredInjectionRebind Type = "DeferredInjectionRebind" // left the queue of deferred injections
	Delayed                 Type = "Delayed"                 // put off without an attempt
	XferOut                 Type = "XferOut"                 // handed to another node
	XferIn                  Type = "XferIn"                  // taken over from another node

	// AdminUndo is a type of ours: an AdminBounce was taken back by an operator, and the message waits again.
	AdminUndo Type = "AdminUndo"
)

// typeIndex is the place of t in Types; maxTypes-1, which no type has, when it is not there.
func typeIndex(t Type) int {
	switch t {
	case Reception:
		return 0
	case Delivery:
		return 1
	case Bounce:
		return 2
	case TransientFailure:
		return 3
	}
	for i, known := range types {
		if t == known {
			return i
		}
	}
	return maxTypes - 1
}

// maxTypes is more than there are types.
const maxTypes = 32

// types are all of them, in the order of KumoMTA's manual; ours come last.
var types = []Type{
	Reception, Delivery, Bounce, TransientFailure, Expiration, AdminBounce, OOB, Feedback, Rejection,
	AdminRebind, DeferredInjectionRebind, Delayed, XferOut, XferIn, AdminUndo,
}

// Types lists every record type that there is, in the order of KumoMTA's manual; ours come last.
func Types() []Type { return slices.Clone(types) }

// Record is one fact. The journal encodes it before Record returns and keeps nothing of it, so that the caller may
// go on using the message. Msg may be nil (Rejection): then Sender, Recipients, Meta say what is known.
type Record struct {
	Type       Type
	Time       time.Time
	Msg        *message.Message // id, queue, size, created, attempts, meta, headers
	Sender     mail.Address     // when Msg is nil
	Recipients []mail.Address   // nil: those of Msg
	Meta       *message.Meta    // when Msg is nil
	Attempts   int              // num_attempts
	Response   smtp.Reply
	Route      message.Route // outbound
	PeerName   string        // inbound: the EHLO name; outbound records use Route
	PeerAddr   string        // inbound: ip
	Reception  string        // reception_protocol
	TLS        *smtp.TLSInfo // inbound
	SessionID  string        // inbound
	// Spent is what the time since the last record about the message went to, where that is worth saying; Wait, what it
	// waits for from now on, and how long by the schedule.
	Spent []message.Span
	Wait  message.Span
}
