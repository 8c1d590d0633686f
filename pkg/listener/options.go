package listener

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/option"
)

// LineEndings says what happens to a message with a CR or LF that is not part of a CRLF.
type LineEndings string

const (
	// Deny answers 552 5.6.0 after the end of the data.
	Deny LineEndings = "Deny"
	// Allow takes the message. Since no bare CR or LF may leave kumo (it is what SMTP smuggling is made of), it
	// does the same as Fix; see DESIGN.md.
	Allow LineEndings = "Allow"
	// Fix makes CRLF of each bare CR and bare LF, which can invalidate signatures.
	Fix LineEndings = "Fix"
)

// Options are those of kumo.start_esmtp_listener.
type Options struct {
	// Address and port to listen on; port 0 lets the kernel choose.
	Listen string `opt:"listen,default=127.0.0.1:2025"`
	// Name of this host in the banner, in replies and in Received headers. The local host name when not set.
	Hostname string `opt:"hostname"`
	// Text after the host name in the banner.
	Banner string `opt:"banner,default=KumoMTA"`
	// Peers that may relay to any domain: addresses and CIDR blocks.
	RelayHosts option.CIDRSet `opt:"relay_hosts,default=127.0.0.1|::1"`
	// How long a peer may take to send one command, or to send or accept more data, before it gets 421 4.3.2.
	ClientTimeout time.Duration `opt:"client_timeout,default=1m"`
	// Largest message in bytes; larger ones get 552 5.3.4.
	MaxMessageSize option.Size `opt:"max_message_size,default=20971520,min=1"`
	// Recipients of one transaction; more get 452 4.5.3 and the transaction stays valid for those before.
	MaxRecipientsPerMessage int `opt:"max_recipients_per_message,default=1024,min=1"`
	// MAIL commands of one connection; more get 452 4.5.3.
	MaxMessagesPerConnection int `opt:"max_messages_per_connection,default=10000,min=1"`
	// Open connections of this listener; more get 421 4.3.2 and are closed.
	MaxConnections int `opt:"max_connections,default=32768,min=1,since=2024.09.02"`
	// Longest line of a message in bytes, without its CRLF; a longer one gets 500 5.2.3.
	LineLengthHardLimit int `opt:"line_length_hard_limit,default=998,min=1"`
	// What happens to a message with a CR or LF that is not part of a CRLF.
	InvalidLineEndings LineEndings `opt:"invalid_line_endings,default=Deny,enum=Deny|Allow|Fix"`
	// Size of the buffer that a message which does not fit into 4 KiB is read into; it doubles as needed.
	DataBufferSize option.Size `opt:"data_buffer_size,default=131072"`
	// How a transaction with several recipients becomes messages.
	BatchHandling message.Batching `opt:"batch_handling,default=BifurcateAlways,enum=BifurcateAlways|BatchByDomain,since=2025.12.02"`
	// Which headers are added to each message.
	TraceHeaders message.TraceHeaders `opt:"trace_headers"`
	// Certificate chain in PEM for STARTTLS; a self-signed one is made when not set.
	TLSCertificate option.Secret `opt:"tls_certificate"`
	// Private key in PEM that belongs to tls_certificate.
	TLSPrivateKey option.Secret `opt:"tls_private_key"`
	// How long policy and spool may take for one message before the peer gets 451 4.4.5.
	DataProcessingTimeout time.Duration `opt:"data_processing_timeout,default=5m,since=2025.03.19"`
	// Acknowledge messages before they are on stable storage: they are written when their first attempt fails, and at
	// shutdown. A crash or power cut loses those in memory; their Reception records say so.
	DeferredSpool bool `opt:"deferred_spool,default=false"`
	// Metadata that every connection of this listener starts with.
	Meta map[string]any `opt:"meta,merge=map,since=2025.05.06"`
}

// Check refuses what a session could not work with.
func (o *Options) Check() error {
	switch {
	case !validListen(o.Listen):
		return bad("listen", fmt.Sprintf("invalid value: %q, expected an address and a port from 0 to 65535, such as 0.0.0.0:25 or [::]:25", o.Listen))
	case o.ClientTimeout <= 0:
		return bad("client_timeout", "invalid value: 0, expected a duration above zero")
	case o.DataProcessingTimeout <= 0:
		return bad("data_processing_timeout", "invalid value: 0, expected a duration above zero")
	case !printable(o.Banner):
		return bad("banner", "invalid value: control characters, expected printable ASCII text")
	case o.Hostname != "" && !validHelo(o.Hostname):
		return bad("hostname", "invalid value: expected a host name or an address literal")
	case o.TraceHeaders.HeaderName != "" && !validFieldName(o.TraceHeaders.HeaderName):
		return bad("trace_headers.header_name", "invalid value: expected the name of a header field")
	case o.TLSCertificate.IsZero() != o.TLSPrivateKey.IsZero():
		return bad("tls_certificate", "invalid value: tls_certificate and tls_private_key need each other, one is not set")
	}
	if err := fromHere(o.TLSCertificate, "tls_certificate"); err != nil {
		return err
	}
	return fromHere(o.TLSPrivateKey, "tls_private_key")
}

func bad(name, msg string) error { return &option.Error{Option: name, Msg: msg} }

func fromHere(s option.Secret, name string) error {
	switch s.Kind {
	case option.SecretNone, option.SecretFile, option.SecretData:
		return nil
	}
	return bad(name, "invalid value: "+string(s.Kind)+" key source, expected a path or {key_data=...}")
}

// validListen reports host:port with a port that is a number. Whether the address is ours shows when it is bound.
func validListen(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// printable reports text that can stand in a reply line.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// validFieldName is RFC 5322 3.6.8, bounded so that a folded line has room beside it.
func validFieldName(s string) bool {
	return len(s) <= 76 && printable(s) && !strings.ContainsAny(s, ": ")
}

// ReportHandling says what happens to delivery and feedback reports that a domain which is not relayed receives.
type ReportHandling string

// ReportsIgnored is the one handling that is offered: reports are ordinary mail.
const ReportsIgnored ReportHandling = "Ignore"

// DecodeOption reads KumoMTA's words, and its booleans: false is Ignore, true is LogThenRelay.
func (h *ReportHandling) DecodeOption(v any) error {
	switch v {
	case false:
		*h = ReportsIgnored
		return nil
	case true:
		*h = "LogThenRelay"
		return nil
	}
	s, ok := v.(string)
	if !ok {
		return option.InvalidType(v, "Ignore, LogThenRelay, LogThenDrop or a boolean")
	}
	switch s {
	case "Ignore", "LogThenRelay", "LogThenDrop":
		*h = ReportHandling(s)
		return nil
	}
	return option.InvalidValue(s, "Ignore, LogThenRelay or LogThenDrop")
}

// OptionType names the type in the manual.
func (h *ReportHandling) OptionType() string { return "Ignore|LogThenRelay|LogThenDrop|bool" }

// Domain is what policy says about a domain at this listener (kumo.make_listener_domain). The zero value relays
// nothing.
type Domain struct {
	// Whether mail to this domain is accepted from anybody.
	RelayTo bool `opt:"relay_to,default=false"`
	// Peers that may relay to any domain when the sender is of this domain.
	RelayFrom option.CIDRSet `opt:"relay_from"`
	// What happens to out-of-band bounce reports (RFC 3464) for this domain. Only Ignore, or false, is offered.
	LogOOB ReportHandling `opt:"log_oob,default=Ignore"`
	// What happens to feedback reports (RFC 5965) for this domain. Only Ignore, or false, is offered.
	LogARF ReportHandling `opt:"log_arf,default=Ignore"`
}

// Check refuses the handling of reports: taking a report in and not logging it would lose it silently.
func (d *Domain) Check() error {
	const msg = "invalid value: reports are not parsed by this version, expected Ignore or false"
	switch {
	case d.LogOOB != ReportsIgnored && d.LogOOB != "":
		return bad("log_oob", msg)
	case d.LogARF != ReportsIgnored && d.LogARF != "":
		return bad("log_arf", msg)
	}
	return nil
}
