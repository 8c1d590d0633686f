package listener

import (
	"bytes"
	"net/netip"
	"strings"

	"kumo/pkg/smtp"
)

// dispatch answers one command line.
func (s *session) dispatch(line []byte) {
	word, arg, _ := bytes.Cut(line, []byte{' '})
	arg = bytes.Trim(arg, " ")
	var verb [8]byte
	upper := verb[:0]
	for _, c := range word[:min(len(word), len(verb))] {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper = append(upper, c)
	}
	if len(word) > len(verb) {
		upper = upper[:0]
	}
	switch string(upper) {
	case "MAIL":
		s.mail(string(arg))
	case "RCPT":
		s.rcpt(string(arg))
	case "DATA":
		s.bare(arg, s.data)
	case "EHLO":
		s.hello(string(arg), true)
	case "HELO":
		s.hello(string(arg), false)
	case "RSET":
		s.idle()
		s.bare(arg, func() { s.reset(); s.say("250 OK") })
	case "NOOP":
		s.idle()
		s.say("250 OK")
	case "QUIT":
		s.bare(arg, func() { s.say("221 2.0.0 ", s.srv.hostname, " closing connection"); s.farewell = true })
	case "STARTTLS":
		s.bare(arg, s.startTLS)
	case "VRFY":
		s.idle()
		s.vrfy(arg)
	case "HELP":
		s.idle()
		s.say("214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT STARTTLS")
	case "BDAT":
		s.bdat()
	default:
		s.unknown(line)
	}
}

// bare runs do if the command has no argument, as it should.
func (s *session) bare(arg []byte, do func()) {
	if len(arg) > 0 {
		s.syntax(501, "5.5.4", "this command takes no argument")
		return
	}
	do()
}

// idle counts commands that do not bring mail: beyond a number that no honest client reaches they are errors.
func (s *session) idle() {
	if s.idling++; s.idling > maxIdling {
		s.errors++
	}
}

func (s *session) vrfy(arg []byte) {
	if len(arg) == 0 {
		s.syntax(501, "5.5.4", "VRFY needs an address")
		return
	}
	s.say("252 2.5.2 cannot verify; send mail and see (RFC 5321 7.3)")
}

// bdat refuses chunks, which EHLO does not offer. A client that sends one anyway sends its bytes right behind the
// command, without waiting: reading on would take them for commands. So the session ends.
func (s *session) bdat() {
	s.syntax(502, "5.5.1", "BDAT is not offered, closing connection")
	s.farewell, s.impolite = true, true
}

// unknown answers everything else. AUTH, XCLIENT, ETRN and so on are among it: what is not offered is not there.
func (s *session) unknown(line []byte) {
	if isHTTP(line) {
		s.http()
		return
	}
	s.syntax(502, "5.5.1", "command unrecognized or not offered")
}

// http ends the session of a browser.
func (s *session) http() {
	s.syntax(554, "5.5.1", "this is an SMTP service")
	s.farewell, s.impolite = true, true
}

// isHTTP recognizes the request line of a browser that was led here (and whose body would be read as commands).
func isHTTP(line []byte) bool {
	if i := bytes.LastIndexByte(line, ' '); i > 0 && bytes.HasPrefix(line[i+1:], []byte("HTTP/")) {
		return true
	}
	word, _, _ := bytes.Cut(line, []byte{' '})
	switch string(word) {
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE", "CONNECT", "PRI":
		return true
	}
	return false
}

// hello is EHLO (RFC 5321 4.1.1.1) and HELO. Both begin anew: a transaction is forgotten.
func (s *session) hello(domain string, extended bool) {
	s.idle()
	if !validHelo(domain) {
		s.syntax(501, "5.5.4", "want one host name or address literal")
		return
	}
	s.reset()
	s.ehlo = domain
	s.describe()
	if !extended {
		s.say("250 Hello ", domain, "!")
		return
	}
	s.say("250-", s.srv.hostname, " Aloha ", domain)
	s.say("250-PIPELINING")
	s.say("250-ENHANCEDSTATUSCODES")
	s.say("250-8BITMIME")
	if s.tls != nil {
		s.say("250 SMTPUTF8")
		return
	}
	s.say("250-SMTPUTF8")
	s.say("250 STARTTLS")
}

// validHelo accepts what may stand in a Received field without a quote: host names, with the underscores that some
// have, and address literals.
func validHelo(d string) bool {
	if d == "" || len(d) > 255 {
		return false
	}
	if d[0] == '[' {
		ip, ok := strings.CutSuffix(d[1:], "]")
		ip = strings.TrimPrefix(ip, "IPv6:")
		_, err := netip.ParseAddr(ip)
		return ok && err == nil
	}
	for i := range len(d) {
		c := d[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_', c == ':':
		default:
			return false
		}
	}
	return true
}

// orderError is the answer to a command that the state of the session does not allow.
func (s *session) orderError(text string) { s.syntax(503, "5.5.0", text) }

// temporary refuses something for now.
func (s *session) temporary(code int, enhanced, text string) {
	s.refuse(smtp.NewReply(code, enhanced, text), "")
}
