package egress

import (
	"fmt"
	"time"

	"kumo/pkg/dns"
	"kumo/pkg/option"
	"kumo/pkg/throttle"
)

// TLSMode is what enable_tls says.
type TLSMode string

const (
	TLSOpportunistic         TLSMode = "Opportunistic"         // use when offered; the certificate must verify
	TLSOpportunisticInsecure TLSMode = "OpportunisticInsecure" // use when offered; any certificate
	TLSRequired              TLSMode = "Required"              // must be offered and verify
	TLSRequiredInsecure      TLSMode = "RequiredInsecure"      // must be offered; any certificate
	TLSDisabled              TLSMode = "Disabled"              // never
)

// Required reports that mail may not go in clear text.
func (m TLSMode) Required() bool { return m == TLSRequired || m == TLSRequiredInsecure }

// Verify reports that the peer's certificate must be good for its name.
func (m TLSMode) Verify() bool { return m == TLSOpportunistic || m == TLSRequired }

// IPStrategy is what ip_lookup_strategy says: which address families of a host are used, in which order.
type IPStrategy = dns.IPStrategy

// RefreshStrategy is what refresh_strategy says.
type RefreshStrategy string

const (
	RefreshTTL   RefreshStrategy = "Ttl"   // ask policy again every refresh_interval
	RefreshEpoch RefreshStrategy = "Epoch" // ask policy again when the configuration epoch changes
)

// ReconnectStrategy is what reconnect_strategy says.
type ReconnectStrategy string

const (
	ConnectNextHost   ReconnectStrategy = "ConnectNextHost"
	ReconnectSameHost ReconnectStrategy = "ReconnectSameHost"
	TerminateSession  ReconnectStrategy = "TerminateSession"
)

// MemoryReduction is what happens to messages in a ready queue when memory is short.
type MemoryReduction string

// The ways. Metadata leave memory with their message: it goes back to its schedule.
const (
	ShrinkDataAndMeta MemoryReduction = "ShrinkDataAndMeta" // bodies leave memory, then messages that are not next
	ShrinkData        MemoryReduction = "ShrinkData"        // bodies leave memory
	NoShrink          MemoryReduction = "NoShrink"
)

// Path says how to talk to a site from a source: kumo.make_egress_path. Where KumoMTA's manual and its program
// disagree about a default, the program's is used, and the comment says so.
type Path struct {
	// How many sessions may be open at once to the site from one source: a number, or "local:N" to keep the
	// limit to this node.
	ConnectionLimit throttle.ConnLimit `opt:"connection_limit,default=32"`
	// How many messages may wait in the ready queue; more go back to the schedule with a delay of up to 60 s.
	MaxReady int `opt:"max_ready,default=1024,min=1"`
	// How many messages are sent over one connection before it is closed.
	MaxDeliveriesPerConnection int `opt:"max_deliveries_per_connection,default=1024,min=1"`
	// How fast connections may be opened, such as "10/s".
	MaxConnectionRate *throttle.Spec `opt:"max_connection_rate"`
	// How fast messages may be sent, such as "100/s".
	MaxMessageRate *throttle.Spec `opt:"max_message_rate"`
	// How many recipients go into one transaction (RFC 5321 4.5.3.1.8 obliges servers to take 100).
	MaxRecipientsPerBatch int `opt:"max_recipients_per_batch,default=100,min=1,since=2025.12.02-67ee9e96"`
	// How many failed connection attempts in a row, over all hosts, make the whole ready queue wait for its
	// messages' retry schedules.
	ConsecutiveConnectionFailuresBeforeDelay int `opt:"consecutive_connection_failures_before_delay,default=100,min=0"`

	// How long a TCP connection may take to open.
	ConnectTimeout option.Duration `opt:"connect_timeout,default=60s"`
	// How long the peer may take to send its banner.
	BannerTimeout option.Duration `opt:"banner_timeout,default=60s,since=2024.09.02-c5476b89"`
	// How long the peer may take to answer EHLO or HELO.
	EhloTimeout option.Duration `opt:"ehlo_timeout,default=300s"`
	// How long the peer may take to answer MAIL FROM.
	MailFromTimeout option.Duration `opt:"mail_from_timeout,default=300s"`
	// How long the peer may take to answer RCPT TO.
	RcptToTimeout option.Duration `opt:"rcpt_to_timeout,default=300s"`
	// How long the peer may take to answer DATA, and to take each piece of the message. (The manual says 30 s;
	// the program has 300 s.)
	DataTimeout option.Duration `opt:"data_timeout,default=300s"`
	// How long the peer may take to answer the end of the message. (The manual says 60 s; the program has 300 s.)
	DataDotTimeout option.Duration `opt:"data_dot_timeout,default=300s"`
	// How long the peer may take to answer RSET.
	RsetTimeout option.Duration `opt:"rset_timeout,default=5s"`
	// How long the peer may take to answer STARTTLS and to shake hands.
	StarttlsTimeout option.Duration `opt:"starttls_timeout,default=5s"`
	// How long an open session waits for more mail before it says goodbye. (The manual says 60 s; the program
	// has 5 s.)
	IdleTimeout option.Duration `opt:"idle_timeout,default=5s"`
	// How long a delivery whose text is on its way at shutdown may take; others are cut at once, and tried again after
	// the start. Unset: the sum of the timeouts of MAIL FROM,
	// RCPT TO, DATA and the end of the message.
	SystemShutdownTimeout option.Duration `opt:"system_shutdown_timeout,since=2025.05.06-b29689af"`

	// Port to connect to, unless the source has a remote_port or the host was written with a port.
	SMTPPort uint16 `opt:"smtp_port,default=25,min=1,max=65535"`
	// Name for EHLO; unset: the ehlo_domain of the source, else the name of this machine.
	EhloDomain string `opt:"ehlo_domain"`
	// When to use STARTTLS, and whether the peer's certificate must verify.
	EnableTLS TLSMode `opt:"enable_tls,default=Opportunistic,enum=Opportunistic|OpportunisticInsecure|Required|RequiredInsecure|Disabled"`
	// After a failed TLS handshake connect again to the same address with TLS off. Not for the Required modes.
	OpportunisticTLSReconnectOnFailedHandshake bool `opt:"opportunistic_tls_reconnect_on_failed_handshake,default=false,since=2025.01.23-7273d2bc"`
	// How long to remember that a site's STARTTLS is broken and to act as if it were not offered. Unset: do not
	// remember. Not for the Required modes.
	RememberBrokenTLS option.Duration `opt:"remember_broken_tls,since=2024.11.08-d383b033"`
	// Send commands in one go where the peer offers PIPELINING (RFC 2920).
	EnablePipelining bool `opt:"enable_pipelining,default=true,since=2025.01.23-7273d2bc"`
	// Send RSET before each message but the first of a session.
	EnableRset bool `opt:"enable_rset,default=true,since=2025.01.23-7273d2bc"`
	// Send 8-bit bodies and internationalised addresses although the peer does not offer 8BITMIME or SMTPUTF8.
	Ignore8bitChecks bool `opt:"ignore_8bit_checks,default=false,since=2025.10.06-5ec871ab"`
	// What to do with the rest of a session's work after a 421, a timeout or a broken connection.
	ReconnectStrategy ReconnectStrategy `opt:"reconnect_strategy,default=ConnectNextHost,enum=ConnectNextHost|ReconnectSameHost|TerminateSession,since=2025.01.29-833f82a8"`
	// Try a message at once on the next host when the connection broke while it was sent.
	TryNextHostOnTransportError bool `opt:"try_next_host_on_transport_error,default=false,since=2025.10.06-5ec871ab"`

	// Which address families of the hosts are used, in which order.
	IPLookupStrategy IPStrategy `opt:"ip_lookup_strategy,default=Ipv4AndIpv6,enum=Ipv4AndIpv6|Ipv4Only|Ipv6Only|Ipv6ThenIpv4|Ipv4ThenIpv6,since=2026.04.09-ea3b2a9b"`
	// Networks that mail must not go to: one address of the site inside them fails the whole ready queue for
	// good, so that nobody can make us talk to ourselves.
	ProhibitedHosts option.CIDRSet `opt:"prohibited_hosts,default=127.0.0.0/8|0.0.0.0|::1|::"`
	// Networks whose hosts are left out. When no host is left the ready queue fails for now.
	SkipHosts option.CIDRSet `opt:"skip_hosts"`

	// What happens to a message that comes to the ready queue while memory is low: its body leaves memory until it is
	// sent, with both ShrinkDataAndMeta and ShrinkData, or nothing with NoShrink.
	LowMemoryReductionPolicy MemoryReduction `opt:"low_memory_reduction_policy,default=ShrinkDataAndMeta,enum=ShrinkDataAndMeta|ShrinkData|NoShrink,since=2025.03.19-1d3f1f67"`
	// What happens to the messages in the ready queue when there is no memory left: bodies leave memory, and with
	// ShrinkDataAndMeta those messages that are not next go back to their schedules for up to a minute.
	NoMemoryReductionPolicy MemoryReduction `opt:"no_memory_reduction_policy,default=ShrinkDataAndMeta,enum=ShrinkDataAndMeta|ShrinkData|NoShrink,since=2025.03.19-1d3f1f67"`

	// When to ask policy for this path again.
	RefreshStrategy RefreshStrategy `opt:"refresh_strategy,default=Ttl,enum=Ttl|Epoch,since=2024.11.08-d383b033"`
	// How old the answer of policy may get with refresh_strategy Ttl.
	RefreshInterval option.Duration `opt:"refresh_interval,default=60s,since=2024.09.02-c5476b89"`
	// Name of the mailbox provider, for metrics and log records.
	ProviderName string `opt:"provider_name"`
}

// ShutdownTimeout is system_shutdown_timeout or what takes its place.
func (p *Path) ShutdownTimeout() time.Duration {
	if p.SystemShutdownTimeout > 0 {
		return time.Duration(p.SystemShutdownTimeout)
	}
	return time.Duration(p.MailFromTimeout + p.RcptToTimeout + p.DataTimeout + p.DataDotTimeout)
}

// Check refuses what no peer could satisfy: a timeout of zero or less.
func (p *Path) Check() error {
	for _, t := range []struct {
		name string
		d    option.Duration
	}{
		{"connect_timeout", p.ConnectTimeout},
		{"banner_timeout", p.BannerTimeout},
		{"ehlo_timeout", p.EhloTimeout},
		{"mail_from_timeout", p.MailFromTimeout},
		{"rcpt_to_timeout", p.RcptToTimeout},
		{"data_timeout", p.DataTimeout},
		{"data_dot_timeout", p.DataDotTimeout},
		{"rset_timeout", p.RsetTimeout},
		{"starttls_timeout", p.StarttlsTimeout},
		{"refresh_interval", p.RefreshInterval},
	} {
		if t.d <= 0 {
			return fmt.Errorf("%s must be more than zero", t.name)
		}
	}
	return nil
}
