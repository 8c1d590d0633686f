package listener

import (
	"strings"

	"kumo/pkg/mail"
	"kumo/pkg/smtp"
)

// knownDomain is what policy said about a domain in this transaction.
type knownDomain struct {
	name   string
	answer Domain
}

// relay decides about a recipient (semantics.md 9.3): it is accepted when the peer is in relay_hosts, or in
// relay_from of the sender's domain, or when the recipient's domain has relay_to. Nothing but the address of the
// TCP connection says who the peer is, and nothing but the domain behind the last "@" of the wire form says where
// the mail goes: percent signs, bang paths and quoted "@" in local parts are letters like any other, and a source
// route is not followed.
func (s *session) relay(to mail.Address) {
	allowed, err := s.mayRelay(to)
	switch {
	case err != nil:
		s.refused++
		s.fail(err)
	case !allowed:
		s.refused++
		s.refuse(smtp.NewReply(550, "5.7.1", "relaying not permitted"), "")
	default:
		s.tx.rcpts = append(s.tx.rcpts, to)
		s.out = appendEcho(s.out, to)
		s.spill()
	}
}

func (s *session) mayRelay(to mail.Address) (bool, error) {
	if s.relayHost {
		return true, nil
	}
	if from := s.tx.sender.Domain(); from != "" {
		d, err := s.domain(from)
		if err != nil || d.RelayFrom.Contains(s.peer.Addr()) {
			return err == nil, err
		}
	}
	d, err := s.domain(to.Domain())
	return err == nil && d.RelayTo, err
}

// domain asks policy about a domain, once per transaction: an answer that outlives its transaction would outlive
// what it was based on, too (who has logged in, say).
func (s *session) domain(name string) (Domain, error) {
	name = strings.ToLower(name)
	for i := range s.tx.domains {
		if s.tx.domains[i].name == name {
			return s.tx.domains[i].answer, nil
		}
	}
	d, err := s.srv.Hooks.ListenerDomain(s.ctx, name, s.opts.Listen, s.meta)
	if err == nil && len(s.tx.domains) < maxKnown {
		s.tx.domains = append(s.tx.domains, knownDomain{name, d})
	}
	return d, err
}

// maxKnown bounds the answers that a transaction remembers; they are searched in a row.
const maxKnown = 64
