package message

import (
	"net/netip"

	"kumo/pkg/mail"
	"kumo/pkg/smtp"
)

// Submission is what a peer handed over in one transaction, before intake makes messages of it.
type Submission struct {
	Protocol   string // reception_protocol: "ESMTP", "HTTP", "Inject"
	Sender     mail.Address
	Recipients []mail.Address
	Data       []byte // dot-unstuffed, CRLF line ends; intake reads it until Accept returns and keeps nothing of it
	Conn       *Meta  // connection metadata, the base of each message's own; policy may set values of it

	Hostname  string         // our name, for Received
	Ehlo      string         // the peer's name for itself
	Peer      netip.AddrPort // zero when there is no connection
	Local     netip.AddrPort
	TLS       *smtp.TLSInfo
	SessionID string // uuid of the inbound session, "" if none
	Trace     TraceHeaders
	Batch     Batching
	Deferred  bool   // deferred_spool: the messages may be acknowledged before they are stored
	Order     string // id of the order that causes this submission, "" if none: makes it idempotent
}

// Batching says how a transaction with several recipients becomes messages.
type Batching string

const (
	BifurcateAlways Batching = "BifurcateAlways" // one message per recipient
	BatchByDomain   Batching = "BatchByDomain"   // one per exact domain
)

// TraceHeaders are the headers that intake adds.
type TraceHeaders struct {
	// Add a Received header before smtp_server_message_received runs.
	ReceivedHeader bool `opt:"received_header,default=true"`
	// Add the supplemental trace header, which lets feedback reports be matched to their message.
	SupplementalHeader bool `opt:"supplemental_header,default=true"`
	// Name of the supplemental trace header.
	HeaderName string `opt:"header_name,default=X-KumoRef"`
	// Metadata names whose values go into the supplemental trace header.
	IncludeMetaNames []string `opt:"include_meta_names"`
}
