package delivery

import (
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// took notes what lasted from began until now, if it took long enough.
func (s *session) took(cause message.Cause, at string, began time.Time) {
	if d := time.Since(began); d >= message.LeastSpan {
		s.spent = message.AddSpan(s.spent, message.Span{Cause: cause, At: at, For: d})
	}
}

// waited notes what the host of a connection took until now.
func (s *session) waited(c *smtp.Conn, t egress.Target) {
	for _, w := range c.Waits() {
		s.spent = message.AddSpan(s.spent, message.Span{Cause: causeOf(w.Stage), At: t.String(), For: w.For})
	}
}

// bill is what was spent since the last bill; nil when nothing was worth saying.
func (s *session) bill() []message.Span {
	if s.conn != nil {
		s.waited(s.conn, s.targets[s.current])
	}
	b := s.spent
	s.spent = nil
	return b
}

// settleBill puts what was spent after the last verdict on that one's bill.
func (d *delivering) settleBill() {
	if b := d.bill(); len(b) > 0 && len(d.attempts) > 0 {
		last := &d.attempts[len(d.attempts)-1]
		for _, s := range b {
			last.Spent = message.AddSpan(last.Spent, s)
		}
	}
}

// Opening is what the opening of the session took: DNS, connecting, TLS, the host's greetings.
func (s *session) Opening() []message.Span { return s.opening }

// causeOf is the cause of a wait in a stage of the conversation.
func causeOf(stage string) message.Cause {
	switch stage {
	case "banner":
		return message.SpentBanner
	case "EHLO", "HELO":
		return message.SpentEhlo
	case "STARTTLS":
		return message.SpentStartTLS
	case "TLS":
		return message.SpentTLS
	case "RSET":
		return message.SpentRset
	case "MAIL":
		return message.SpentMail
	case "RCPT":
		return message.SpentRcpt
	case "DATA":
		return message.SpentData
	case "body":
		return message.SpentBody
	}
	return message.SpentDot
}
