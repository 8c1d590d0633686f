package message

import "time"

// Cause names what a message spent time on. The words go into log records and into what kumo why prints.
type Cause string

// The causes. Where a Span has one of the first group, its At is the place of the setting ("init.lua:41", "" when
// nobody set it); in the second group it is the host that was waited for, or what was asked.
const (
	WaitRetry           Cause = "retry_interval"
	WaitRetryCap        Cause = "max_retry_interval"
	WaitQueueRate       Cause = "queue_max_message_rate" // of the scheduled queue
	WaitMessageRate     Cause = "max_message_rate"       // of the egress path
	WaitConnectionRate  Cause = "max_connection_rate"
	WaitConnectionLimit Cause = "connection_limit" // as many connections as allowed were busy with other mail
	WaitMaxReady        Cause = "max_ready"        // the ready queue was full

	WaitPause     Cause = "connection_failures" // no connection is tried for a while after one has failed
	WaitBusy      Cause = "busy_connections"    // open connections were busy with other mail, and the backlog not worth another
	WaitScheduled Cause = "scheduled"           // first attempt asked for at a later time
	WaitSuspended Cause = "suspended"           // the queue was suspended; At is the order
	WaitHeld      Cause = "held"                // held by an order; At is the order
	WaitTrashed   Cause = "trashed"             // bounced by an order that was undone later; At is the order
	WaitDown      Cause = "daemon_down"         // nobody ran
	WaitConfig    Cause = "no_configuration"    // policy gave no configuration for the queue
	WaitUnhealthy Cause = "spool_unhealthy"     // the disk failed: nothing is delivered whose end could not be written
	WaitMemory    Cause = "low_memory"          // the ready queue was thinned out because there was no memory left

	SpentPolicy   Cause = "policy" // a handler of policy ran
	SpentSpool    Cause = "spool"  // the disk: a body was read, or a message made durable
	SpentDNS      Cause = "dns"
	SpentConnect  Cause = "connect" // TCP, until the connection was open or given up
	SpentTLS      Cause = "tls"     // the handshake
	SpentBanner   Cause = "remote_banner"
	SpentEhlo     Cause = "remote_ehlo"
	SpentStartTLS Cause = "remote_starttls"
	SpentRset     Cause = "remote_rset"
	SpentMail     Cause = "remote_mail"
	SpentRcpt     Cause = "remote_rcpt"
	SpentData     Cause = "remote_data"
	SpentBody     Cause = "remote_body" // the host took the text slowly
	SpentDot      Cause = "remote_dot"  // the host thought about the message after its end
	SpentSending  Cause = "sending"     // a connection has it, and nothing more is known yet; At is the ready queue
	SpentKumo     Cause = "kumo"        // kumo itself: waiting for a processor, and what nothing else names

	Unexplained Cause = "unexplained" // nothing says what it was
)

// Span is a stretch of a message's life and its cause.
type Span struct {
	Cause Cause
	At    string // see Cause
	For   time.Duration
}

// LeastSpan is the shortest time that is worth a Span of its own: what is shorter is left out.
const LeastSpan = time.Millisecond

// maxSpans bounds the spans of one attempt. What comes beyond joins one of its cause, whose place is then no longer
// told, or counts for kumo.
const maxSpans = 24

// AddSpan adds s to spans, to the one with the same cause and place if there is one.
func AddSpan(spans []Span, s Span) []Span {
	for i := range spans {
		if spans[i].Cause == s.Cause && (spans[i].At == s.At || len(spans) >= maxSpans) {
			if spans[i].At != s.At {
				spans[i].At = ""
			}
			spans[i].For += s.For
			return spans
		}
	}
	if len(spans) > maxSpans {
		spans[maxSpans].For += s.For
		return spans
	}
	if len(spans) == maxSpans {
		s = Span{Cause: SpentKumo, For: s.For}
	}
	return append(spans, s)
}

// SumSpans is how long all of them are together.
func SumSpans(spans []Span) time.Duration {
	var sum time.Duration
	for i := range spans {
		sum += spans[i].For
	}
	return sum
}
