package smtp

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"kumo/pkg/mail"
)

// MailParams are the parameters of MAIL. Set only what the peer offered.
type MailParams struct {
	Size     int  // octets of the message for SIZE= (RFC 1870); 0: left out
	EightBit bool // BODY=8BITMIME (RFC 6152)
	UTF8     bool // SMTPUTF8 (RFC 6531)
}

// Rset queues RSET.
func (c *Conn) Rset() { c.queue("RSET\r\n") }

// Data queues DATA.
func (c *Conn) Data() { c.queue("DATA\r\n") }

// Mail queues MAIL. Only a mail.Address can stand in it, which by invariant wire-form adds no parameter and ends no
// command.
func (c *Conn) Mail(from mail.Address, p MailParams) {
	c.out = append(append(append(c.out, "MAIL FROM:<"...), from.String()...), '>')
	if p.Size > 0 {
		c.out = strconv.AppendInt(append(c.out, " SIZE="...), int64(p.Size), 10)
	}
	if p.EightBit {
		c.out = append(c.out, " BODY=8BITMIME"...)
	}
	if p.UTF8 {
		c.out = append(c.out, " SMTPUTF8"...)
	}
	c.queue("\r\n")
}

// Rcpt queues RCPT.
func (c *Conn) Rcpt(to mail.Address) {
	c.out = append(append(c.out, "RCPT TO:<"...), to.String()...)
	c.queue(">\r\n")
}

// queue ends a command.
func (c *Conn) queue(tail string) {
	c.out = append(c.out, tail...)
	c.queued++
}

// Ehlo says EHLO name and learns from a positive answer what the peer offers.
func (c *Conn) Ehlo(name string, timeout time.Duration) (Reply, error) {
	c.Caps = Caps{}
	r, err := c.greet("EHLO", name, timeout)
	if err == nil && r.Code == 250 {
		c.Caps = parseCaps(r.Text)
	}
	return r, err
}

// Helo says HELO name, for peers that do not know EHLO.
func (c *Conn) Helo(name string, timeout time.Duration) (Reply, error) {
	c.Caps = Caps{}
	return c.greet("HELO", name, timeout)
}

func (c *Conn) greet(verb, name string, timeout time.Duration) (Reply, error) {
	if c.err != nil {
		return Reply{}, c.err
	}
	if err := CheckEhloName(name); err != nil {
		return Reply{}, c.fail(&ConnError{Stage: verb, Kind: KindLocal, Err: err})
	}
	c.out = append(append(append(c.out, verb...), ' '), name...)
	c.queue("\r\n")
	if err := c.Flush(verb, timeout); err != nil {
		return Reply{}, err
	}
	return c.Read(verb, timeout)
}

// CheckEhloName refuses a name for EHLO that would end the command or be two words.
func CheckEhloName(name string) error {
	if name == "" || len(name) > mail.MaxDomain {
		return fmt.Errorf("name for EHLO has %d octets: want 1 to %d", len(name), mail.MaxDomain)
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= ' ' || c >= 0x7f {
			return fmt.Errorf("name for EHLO %q: octet %d is not allowed", name, i+1)
		}
	}
	return nil
}

// Caps is what a peer offers in its answer to EHLO.
type Caps struct {
	Pipelining    bool     // RFC 2920
	EightBitMIME  bool     // RFC 6152
	SMTPUTF8      bool     // RFC 6531
	StartTLS      bool     // RFC 3207
	EnhancedCodes bool     // RFC 2034
	Size          bool     // RFC 1870: takes SIZE=
	MaxSize       int64    // the limit that SIZE gave; 0: none, or not one that makes sense
	Auth          []string // mechanisms in upper case (RFC 4954), at most 16
}

const maxAuth = 16

// parseCaps reads the lines behind the greeting. What it does not know or understand it passes over.
func parseCaps(text string) Caps {
	var caps Caps
	_, lines, _ := strings.Cut(text, "\n")
	for line := range strings.SplitSeq(lines, "\n") {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(word) {
		case "PIPELINING":
			caps.Pipelining = true
		case "8BITMIME":
			caps.EightBitMIME = true
		case "SMTPUTF8":
			caps.SMTPUTF8 = true
		case "STARTTLS":
			caps.StartTLS = true
		case "ENHANCEDSTATUSCODES":
			caps.EnhancedCodes = true
		case "SIZE":
			caps.Size = true
			if n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64); err == nil && n > 0 {
				caps.MaxSize = n
			}
		case "AUTH":
			for m := range strings.FieldsSeq(rest) {
				if len(caps.Auth) < maxAuth {
					caps.Auth = append(caps.Auth, strings.ToUpper(m))
				}
			}
		}
	}
	return caps
}
