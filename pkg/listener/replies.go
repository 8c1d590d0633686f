package listener

import (
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/smtp"
)

// maxShown bounds the command line in records.
const maxShown = 512

// say gathers one reply line of the given parts.
func (s *session) say(parts ...string) {
	for _, p := range parts {
		s.out = append(s.out, p...)
	}
	s.out = append(s.out, "\r\n"...)
	s.spill()
}

// spill writes early when very much has been gathered.
func (s *session) spill() {
	if len(s.out) > 4*outSize {
		_ = s.flush()
	}
}

// say421 ends the session for a reason that is not the peer's fault and not worth a record.
func (s *session) say421(why string) {
	s.say("421 4.3.2 ", s.srv.hostname, " ", why)
	s.farewell = true
}

// refuse answers with r and records the rejection, except 421 4.3.2, which says nothing about the peer. detail,
// when there is one, takes the place of the command in the record: a traceback, say. A 421 ends the session.
func (s *session) refuse(r smtp.Reply, detail string) {
	s.out = smtp.AppendReply(s.out, r)
	s.spill()
	s.farewell = s.farewell || r.Code == 421
	if r.Code == 421 && r.Enhanced == (smtp.Enhanced{Class: 4, Subject: 3, Detail: 2}) {
		return
	}
	if r.Command = detail; detail == "" {
		r.Command = shown(s.command)
	}
	s.srv.metrics.rejected()
	rec := journal.Record{
		Type:      journal.Rejection,
		Time:      time.Now(),
		Sender:    s.tx.sender,
		Meta:      s.meta,
		Response:  r,
		PeerName:  s.ehlo,
		PeerAddr:  s.peer.Addr().String(),
		Reception: protocol,
		TLS:       s.tls,
		SessionID: s.id,
	}
	if !s.tx.last.IsNull() {
		rec.Recipients = []mail.Address{s.tx.last}
	}
	s.srv.Recorder.Record(&rec)
}

// syntax is refuse for what is the peer's mistake: it counts against its budget.
func (s *session) syntax(code int, enhanced, text string) {
	s.errors++
	s.refuse(smtp.NewReply(code, enhanced, text), "")
}

// fail answers an error of policy or intake: with the answer that it holds, or as a local fault.
func (s *session) fail(err error) {
	var answer *smtp.Error
	if !errors.As(err, &answer) {
		s.localFault(err)
		return
	}
	r := answer.Reply
	if r.Code < 400 || r.Code > 599 {
		// A policy that refuses with a positive code cannot mean it.
		r.Code = 451
	}
	if answer.Disconnect {
		s.farewell = true
	}
	s.refuse(r, answer.Detail)
}

// localFault answers a fault of ours: temporary for the peer, with the cause in the record.
func (s *session) localFault(err error) {
	s.srv.log.Error("SMTP session", "peer", s.peer, "error", err)
	s.refuse(smtp.NewReply(421, "4.3.0", s.srv.hostname+" technical difficulties"), err.Error())
}

// refuseGate answers that mail cannot be taken now.
func (s *session) refuseGate(err *smtp.Error) {
	r := err.Reply
	r.Text = s.srv.hostname + " " + r.Text
	s.refuse(r, err.Detail)
}

// appendClean appends s with "?" for everything that does not show.
func appendClean(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				c = '?'
			}
			b = append(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			b = append(b, '?')
		} else {
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return b
}

// shown is a command line for records: bounded, without control characters, and without what AUTH would give away.
func shown(line []byte) string {
	if len(line) > 5 && strings.EqualFold(string(line[:5]), "AUTH ") {
		mechanism, _, more := strings.Cut(string(line[5:min(len(line), maxShown)]), " ")
		if more {
			mechanism += " *"
		}
		line = []byte("AUTH " + mechanism)
	}
	return string(appendClean(nil, string(line[:min(len(line), maxShown)])))
}

// appendEcho appends an address as `EnvelopeAddress("…")`.
func appendEcho(b []byte, a mail.Address) []byte {
	b = append(b, `250 OK EnvelopeAddress("`...)
	s := a.String()
	if strings.ContainsAny(s, `"\`) {
		s = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
	}
	return append(appendClean(b, s), "\")\r\n"...)
}
