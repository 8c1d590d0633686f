package journal

import (
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
