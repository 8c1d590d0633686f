package intake

import (
	"bytes"
	"strings"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// rfc2822 is the date form of RFC 5322 3.3.
const rfc2822 = "Mon, 2 Jan 2006 15:04:05 -0700"

// hops counts the Received fields of the header.
func hops(data []byte) int {
	n := 0
	for len(data) > 0 && data[0] != '\r' && data[0] != '\n' {
		if c := data[0] | 0x20; c == 'r' && isReceived(data) {
			n++
		}
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			break
		}
		data = data[end+1:]
	}
	return n
}

// isReceived reports a line "Received:"; RFC 5322 4.5.8 lets old mail have blanks before the colon.
func isReceived(line []byte) bool {
	const name = "received"
	if len(line) <= len(name) || !strings.EqualFold(string(line[:len(name)]), name) {
		return false
	}
	for _, c := range line[len(name):] {
		switch c {
		case ':':
			return true
		case ' ', '\t':
		default:
			return false
		}
	}
	return false
}

// draft is a message in the making. Its data lies in whole behind room unused bytes, in which addSupplemental puts
// its field without copying the message again.
type draft struct {
	*message.Message
	whole []byte
	room  int
}

// fill gives the draft its own copy of the submission's data, behind the Received field if one is wanted.
func (d *draft) fill(sub *message.Submission) {
	if sub.Trace.SupplementalHeader {
		d.room = supplementalRoom(&sub.Trace, d.Message)
	}
	var space [1024]byte
	front := space[:0]
	if d.room <= len(space) {
		front = space[:d.room]
	} else {
		d.room = 0
	}
	if sub.Trace.ReceivedHeader {
		front = appendReceived(front, sub, d.Message)
	}
	// bytes.Join does not clear the memory that it is about to fill: for 100 kB that is a third of the cost.
	d.whole = bytes.Join([][]byte{front, sub.Data}, nil)
	d.SetData(d.whole[d.room:])
}

// prepend puts field in front of data, the draft's present data: in the room that fill left if that is still the
// place where data lies and room enough, else in a copy.
func (d *draft) prepend(field, data []byte) {
	if at := d.room - len(field); at >= 0 && len(data) > 0 && &data[0] == &d.whole[d.room] {
		copy(d.whole[at:], field)
		d.SetData(d.whole[at : d.room+len(data)])
		return
	}
	b := make([]byte, 0, len(field)+len(data))
	d.SetData(append(append(b, field...), data...))
}

// appendReceived writes the trace field of RFC 5321 4.4 in KumoMTA's layout (semantics.md 9.5):
//
//	Received: from EHLO (PEER)
//	  by HOSTNAME (KumoMTA LOCAL)
//	  with ESMTPS(TLSv1_3:CIPHER) id ID for <RECIPIENT>;
//	  DATE
//
// with a blank after the second line. Mail that came over no connection has no "from" and no LOCAL; a message
// with several recipients names none of them.
func appendReceived(b []byte, sub *message.Submission, m *message.Message) []byte {
	b = append(b, "Received: "...)
	if sub.Ehlo != "" || sub.Peer.IsValid() {
		b = append(b, "from "...)
		b = append(b, sub.Ehlo...)
		if sub.Peer.IsValid() {
			b = append(b, " ("...)
			b = sub.Peer.AppendTo(b)
			b = append(b, ')')
		}
		b = append(b, "\r\n  "...)
	}
	b = append(b, "by "...)
	b = append(b, sub.Hostname...)
	b = append(b, " (KumoMTA"...)
	if sub.Local.IsValid() {
		b = append(b, ' ')
		b = sub.Local.AppendTo(b)
	}
	b = append(b, ") \r\n  with "...)
	b = appendWith(b, sub.Protocol, sub.TLS)
	b = append(b, " id "...)
	b, _ = m.ID.AppendText(b)
	if len(m.Recipients) == 1 {
		b = append(b, " for <"...)
		b = append(b, m.Recipients[0].String()...)
		b = append(b, '>')
	}
	b = append(b, ";\r\n  "...)
	b = appendDate(b, m.Created)
	return append(b, "\r\n"...)
}

// appendWith writes the protocol (RFC 3848); under TLS as `ESMTPS(TLSv1_3:CIPHER)`.
func appendWith(b []byte, protocol string, tls *smtp.TLSInfo) []byte {
	b = append(b, protocol...)
	if tls == nil {
		return b
	}
	b = append(b, "S("...)
	for i := range len(tls.ProtocolVersion) {
		c := tls.ProtocolVersion[i]
		if c == '.' {
			c = '_'
		}
		b = append(b, c)
	}
	b = append(b, ':')
	b = append(b, tls.Cipher...)
	return append(b, ')')
}

func appendDate(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, rfc2822) }
