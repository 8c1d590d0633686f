package journal

import (
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// Type is the kind of a record: KumoMTA's words.
type Type string

const (
	Reception        Type = "Reception"
	Delivery         Type = "Delivery"
	TransientFailure Type = "TransientFailure"
	Bounce           Type = "Bounce"
	Expiration       Type = "Expiration"
	Rejection        Type = "Rejection"
	Delayed          Type = "Delayed"
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
}
