package delivery

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// session is one egress.Session: a connection, and the hosts that may follow it.
type session struct {
	smtp    *SMTP
	plan    *egress.Plan
	path    *egress.Path
	targets []egress.Target
	next    int // targets[next:] have not been tried
	current int // the target of conn

	conn  *smtp.Conn // nil: connect before the next message
	route message.Route
	pipe  bool // commands go in groups
	used  bool // conn has seen a transaction
	dirty bool // the peer may think that a transaction is open

	spent   []message.Span // what was not yet told
	opening []message.Span

	yield yielding

	heard bool           // the peer has answered something of the present message
	good  []mail.Address // scratch: recipients that the peer accepted
}

// Deliver makes as many transactions as the recipients of m need. See doc.go.
func (s *session) Deliver(ctx context.Context, m *message.Message) egress.Result {
	if ctx.Err() != nil || s.yield.wanted() || s.conn == nil && s.reconnect(ctx) != nil || s.used && s.conn.Check() != nil {
		return s.unsent()
	}
	body, err := s.load(m)
	if err != nil {
		res := s.decided(verdict{message.Transient, internal(451, "4.3.0", "the message cannot be read: "+err.Error())})
		if errors.Is(err, message.ErrDamaged) {
			res.Attempts[0].Reason = message.Damaged
		}
		return res
	}
	d := delivering{session: s, ctx: ctx, m: m, body: body}
	return d.run()
}

// load is the text of m.
func (s *session) load(m *message.Message) ([]byte, error) {
	if m.InMemory() {
		return m.Data()
	}
	began := time.Now()
	defer s.took(message.SpentSpool, "", began)
	return m.Data()
}

// unsent gives the message back: nothing of it was sent.
func (s *session) unsent() egress.Result {
	s.drop()
	return egress.Result{Unsent: true, Done: true}
}

// decided is one verdict for all recipients.
func (s *session) decided(v verdict) egress.Result {
	return egress.Result{Attempts: []message.Attempt{s.attempt(v, nil)}}
}

// drop gives up the connection.
func (s *session) drop() {
	if s.conn != nil {
		s.waited(s.conn, s.targets[s.current])
		s.conn.Abort()
		s.conn = nil
	}
}

// done decides after a message whether the session goes on: always if the connection lives, else by
// reconnect_strategy.
func (s *session) done() bool {
	if s.conn != nil {
		return false
	}
	switch s.path.ReconnectStrategy {
	case egress.TerminateSession:
		return true
	case egress.ReconnectSameHost:
		s.next = s.current
	}
	return s.next >= len(s.targets)
}

// Close says goodbye.
func (s *session) Close() {
	if s.conn != nil {
		s.conn.Quit(quitTimeout)
		s.conn = nil
	}
}

// verdict is what was decided about some recipients.
type verdict struct {
	outcome message.Outcome
	reply   smtp.Reply
}

// judge makes a verdict of a peer's reply.
func judge(r smtp.Reply) verdict {
	switch {
	case r.Code >= 200 && r.Code < 300:
		return verdict{message.Delivered, r}
	case r.Permanent():
		return verdict{message.Permanent, r}
	}
	return verdict{message.Transient, r}
}

// internal is a reply that we give ourselves; shaping rules know it by its first words.
func internal(code int, enhanced, text string) smtp.Reply {
	return smtp.NewReply(code, enhanced, "KumoMTA internal: "+text)
}

func (s *session) attempt(v verdict, to []mail.Address) message.Attempt {
	a := message.Attempt{Outcome: v.outcome, Recipients: to, Response: v.reply, Route: s.route}
	a.Response.Command = spelled(v.reply.Command)
	a.Spent = s.bill()
	if v.outcome == message.Transient {
		a.Reason = message.LoggedTransientFailure
		if v.reply.Command == "RCPT" && (v.reply.Code == 452 || v.reply.Code == 552) {
			a.Reason = message.TooManyRecipients
		}
	}
	return a
}

// spelled is a command as KumoMTA's log records name it.
func spelled(verb string) string {
	switch verb {
	case "MAIL":
		return "MAIL FROM"
	case "RCPT":
		return "RCPT TO"
	}
	return verb
}

// mailParams decides the parameters of MAIL, or that m cannot go to this peer at all (RFC 6152 3, RFC 6531 3.5).
func (s *session) mailParams(m *message.Message, body []byte) (smtp.MailParams, *verdict) {
	caps := &s.conn.Caps
	var p smtp.MailParams
	if caps.Size {
		p.Size = len(body)
	}
	p.EightBit, p.UTF8 = eightBit(body), wideEnvelope(m)
	if !s.path.Ignore8bitChecks {
		if p.EightBit && !caps.EightBitMIME {
			return p, &verdict{message.Permanent, internal(554, "5.6.3", "the message has 8-bit data and the host does not offer 8BITMIME")}
		}
		if p.UTF8 && !caps.SMTPUTF8 {
			return p, &verdict{message.Permanent, internal(553, "5.6.7", "an envelope address is not ASCII and the host does not offer SMTPUTF8")}
		}
	}
	p.EightBit = p.EightBit && caps.EightBitMIME
	p.UTF8 = p.UTF8 && caps.SMTPUTF8
	return p, nil
}

func wideEnvelope(m *message.Message) bool {
	for _, to := range m.Recipients {
		if mail.NeedsUTF8(to) {
			return true
		}
	}
	return mail.NeedsUTF8(m.Sender)
}

// eightBit reports whether b has a byte above 127.
func eightBit(b []byte) bool {
	for len(b) >= 32 {
		if (binary.NativeEndian.Uint64(b)|binary.NativeEndian.Uint64(b[8:])|
			binary.NativeEndian.Uint64(b[16:])|binary.NativeEndian.Uint64(b[24:]))&0x8080808080808080 != 0 {
			return true
		}
		b = b[32:]
	}
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b)&0x8080808080808080 != 0 {
			return true
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
