package listener

import (
	"strings"

	"kumo/pkg/mail"
	"kumo/pkg/smtp"
)

// mail is MAIL FROM:<path> with its parameters (RFC 5321 4.1.1.2).
func (s *session) mail(arg string) {
	switch {
	case s.ehlo == "":
		s.orderError("send EHLO first")
		return
	case s.tx.open:
		s.orderError("a transaction is open; RSET ends it")
		return
	}
	rest, ok := afterKeyword(arg, "FROM:")
	if !ok {
		s.syntax(501, "5.5.4", "syntax: MAIL FROM:<address>")
		return
	}
	// Whether UTF-8 is allowed stands behind the address.
	sender, params, err := mail.CutPath(rest, true)
	if err != nil {
		s.syntax(501, "5.1.7", "bad sender: "+problemOf(err))
		return
	}
	wide, bad := mailParams(params)
	if bad != nil {
		s.syntax(bad.Code, bad.Enhanced.String(), bad.Text)
		return
	}
	if !wide && !ascii(sender.String()) {
		s.syntax(501, "5.1.7", "bad sender: a non-ASCII address needs SMTPUTF8")
		return
	}
	if s.mails >= s.opts.MaxMessagesPerConnection {
		s.errors++
		s.temporary(452, "4.5.3", "too many messages on this connection, use another")
		return
	}
	if err := s.srv.gate(); err != nil {
		s.refuseGate(err)
		return
	}
	s.mails++
	s.tx.open, s.tx.utf8, s.tx.sender = true, wide, sender
	s.out = appendEcho(s.out, sender)
	s.spill()
}

// afterKeyword cuts `FROM:` or `TO:` off, with stray blanks after it, which many clients send.
func afterKeyword(arg, keyword string) (string, bool) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", false
	}
	return strings.TrimLeft(arg[len(keyword):], " "), true
}

// mailParams reads what follows the path: BODY (RFC 6152) and SMTPUTF8 (RFC 6531), the extensions that EHLO offers.
func mailParams(s string) (wide bool, bad *smtp.Reply) {
	body := false
	for s != "" {
		if s[0] != ' ' {
			return false, reply(501, "5.5.4", "want a blank between address and parameters")
		}
		var p string
		if p, s, _ = strings.Cut(strings.TrimLeft(s, " "), " "); s != "" {
			s = " " + s
		}
		name, value, hasValue := strings.Cut(p, "=")
		switch {
		case p == "":
		case strings.EqualFold(name, "BODY"):
			if body {
				return false, reply(501, "5.5.4", "BODY is given twice")
			}
			if !strings.EqualFold(value, "8BITMIME") && !strings.EqualFold(value, "7BIT") {
				return false, reply(555, "5.5.4", "BODY can be 7BIT or 8BITMIME")
			}
			body = true
		case strings.EqualFold(name, "SMTPUTF8"):
			if hasValue || wide {
				return false, reply(501, "5.5.4", "SMTPUTF8 has no value and is given once")
			}
			wide = true
		default:
			return false, reply(555, "5.5.4", "a parameter of MAIL is not offered by EHLO")
		}
	}
	return wide, nil
}

func reply(code int, enhanced, text string) *smtp.Reply {
	r := smtp.NewReply(code, enhanced, text)
	return &r
}

// problemOf is the sentence about an address that a peer may read: it holds nothing of what the peer sent.
func problemOf(err error) string {
	if e, ok := err.(*mail.AddressError); ok {
		return e.Problem
	}
	return "it cannot be read"
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// rcpt is RCPT TO:<path> (RFC 5321 4.1.1.3).
func (s *session) rcpt(arg string) {
	if !s.tx.open {
		s.orderError("send MAIL first")
		return
	}
	s.tx.last = mail.Address{}
	rest, ok := afterKeyword(arg, "TO:")
	if !ok {
		s.syntax(501, "5.5.4", "syntax: RCPT TO:<address>")
		return
	}
	to, params, err := mail.CutPath(rest, s.tx.utf8)
	switch {
	case err != nil:
		s.syntax(501, "5.1.3", "bad recipient: "+problemOf(err))
		return
	case to.IsNull():
		s.syntax(501, "5.1.3", "bad recipient: it is empty")
		return
	case params != "" && params[0] != ' ':
		s.syntax(501, "5.5.4", "want a blank between address and parameters")
		return
	case strings.Trim(params, " ") != "":
		s.syntax(555, "5.5.4", "a parameter of RCPT is not offered by EHLO")
		return
	}
	if to.Domain() == "" {
		// RFC 5321 4.5.1: <postmaster> is the postmaster of this host.
		to = mail.Restore(to.String() + "@" + s.srv.hostname)
	}
	s.tx.last = to
	if len(s.tx.rcpts) >= s.opts.MaxRecipientsPerMessage {
		s.surplus++
		s.temporary(452, "4.5.3", "too many recipients")
		return
	}
	s.relay(to)
}
