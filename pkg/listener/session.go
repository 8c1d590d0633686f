package listener

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// Budgets of a session. A finished transaction fills them up again.
const (
	maxErrors  = 20   // unknown commands, bad syntax, wrong order
	maxRefused = 100  // refused recipients and senders
	maxSurplus = 1000 // recipients over the limit of the transaction: refused, but an honest peer may send a long list
	maxIdling  = 100  // NOOP, RSET, VRFY, HELP, EHLO: more of them are errors
)

// session is one SMTP conversation.
type session struct {
	*wire
	srv  *Server
	opts *Options
	ctx  context.Context

	id        string
	peer      netip.AddrPort
	local     netip.AddrPort
	relayHost bool          // relay_hosts has the peer
	meta      *message.Meta // of the connection, as policy sees it
	tls       *smtp.TLSInfo // nil in clear
	ehlo      string        // the peer's name for itself, "" before EHLO or HELO

	tx       transaction
	mails    int // MAIL commands that were accepted
	errors   int
	refused  int
	surplus  int
	idling   int
	command  []byte // the line that is being answered
	farewell bool   // close after this reply
	impolite bool   // the peer may still be sending: linger
}

// transaction is what MAIL began.
type transaction struct {
	open    bool
	utf8    bool // SMTPUTF8 was given
	sender  mail.Address
	rcpts   []mail.Address
	last    mail.Address // last recipient that was tried, for records of rejections
	domains []knownDomain
}

// run is the session from banner to end. It returns when the connection can be closed.
func (s *session) run() {
	defer s.end()
	if !s.greet() {
		return
	}
	for !s.farewell {
		line, wrong, err := s.line()
		if err != nil {
			s.hangUp(err)
			return
		}
		s.command = line
		if wrong != lineGood {
			s.badLine(wrong)
		} else {
			s.dispatch(line)
		}
		s.spend()
	}
}

// end says the last words and survives what went wrong before: a panic costs this session and no other.
func (s *session) end() {
	if p := recover(); p != nil {
		s.srv.metrics.panicked()
		s.srv.log.Error("panic in an SMTP session", "peer", s.peer, "panic", p)
		s.localFault(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}
	_ = s.flush()
	s.drop()
	if s.impolite && s.failed == nil {
		s.linger()
	}
}

// greet sends the banner, or the reason why there is no service.
func (s *session) greet() bool {
	if err := s.srv.gate(); err != nil {
		s.srv.metrics.deny()
		s.refuseGate(err)
		return false
	}
	s.say("220 ", s.srv.hostname, " ", s.opts.Banner)
	return true
}

// hangUp ends a session whose peer cannot be read any more.
func (s *session) hangUp(err error) {
	switch {
	case errors.Is(err, errCut):
		s.say421("shutting down")
	case errors.Is(err, errNotSMTP):
		s.command, s.impolite = nil, true
		s.refuse(smtp.NewReply(554, "5.5.1", "this is an SMTP service"), "")
	case errors.Is(err, errEndless):
		s.impolite = true
		s.say421("command line without end")
	case isTimeout(err) && s.failed == nil:
		s.say421("idle too long")
	}
	// Otherwise the peer is gone, or does not take what we write.
}

// badLine answers a line that cannot be a command, whatever it says.
func (s *session) badLine(wrong problem) {
	s.errors++
	switch wrong {
	case lineTooLong:
		if isHTTP(s.command) {
			s.http()
			return
		}
		s.command = nil
		s.refuse(smtp.NewReply(500, "5.2.3", "line too long"), "")
	case lineNotUTF8:
		s.refuse(smtp.NewReply(501, "5.5.2", "Invalid UTF-8 in command"), "")
	default:
		s.refuse(smtp.NewReply(500, "5.5.2", "commands end in CRLF and hold no control characters"), "")
	}
}

// spend ends the session of a peer that has used up a budget.
func (s *session) spend() {
	if s.farewell || (s.errors < maxErrors && s.refused < maxRefused && s.surplus < maxSurplus) {
		return
	}
	s.impolite = true
	s.command = nil
	s.refuse(smtp.NewReply(421, "4.7.0", s.srv.hostname+" too many errors"), "")
}

// reset forgets the transaction; room for a few recipients is kept for the next.
func (s *session) reset() {
	rcpts := s.tx.rcpts[:0]
	if cap(rcpts) > 16 {
		rcpts = nil
	}
	s.tx = transaction{rcpts: rcpts}
}

// describe brings the connection's metadata up to date (semantics.md 3). What policy has set on it stays.
func (s *session) describe() {
	if s.meta == nil {
		s.meta = message.NewMeta(s.srv.meta)
		s.meta.Set("reception_protocol", protocol)
		s.meta.Set("received_via", s.local.String())
		s.meta.Set("received_from", s.peer.String())
		s.meta.Set("hostname", s.srv.hostname)
	}
	if s.ehlo != s.meta.String("ehlo_domain") {
		s.meta.Set("ehlo_domain", s.ehlo)
	}
	if s.tls != nil {
		s.meta.Set("tls_cipher", s.tls.Cipher)
		s.meta.Set("tls_protocol_version", s.tls.ProtocolVersion)
	}
}

// protocol is the reception_protocol of this room.
const protocol = "ESMTP"
