package journal

import (
	"net/netip"
	"strconv"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// appendRecord appends r as one line of JSON without its last fields, meta and headers, which appendTail adds: they
// differ from logger to logger. Which fields are null when they are empty and which are left out follows KumoMTA.
func appendRecord(b []byte, r *Record, nodeID string) []byte {
	b = append(b, `{"type":"`...)
	b = append(b, r.Type...)
	b = append(b, `","id":"`...)
	var (
		queue    string
		size     int
		created  = r.Time
		sender   = r.Sender
		rcpts    = r.Recipients
		received = r.Reception
	)
	if m := r.Msg; m != nil {
		b, _ = m.ID.AppendText(b)
		queue, size, sender = m.Queue, m.Size, m.Sender
		if !m.Created.IsZero() {
			created = m.Created
		}
		if rcpts == nil {
			rcpts = m.Recipients
		}
		if received == "" {
			received = m.Meta.String("reception_protocol")
		}
	}
	b = append(b, `","sender":`...)
	b = appendString(b, sender.String())
	b = append(b, `,"recipient":`...)
	b = appendRecipients(b, rcpts)
	b = append(b, `,"queue":`...)
	b = appendString(b, queue)
	b = append(b, `,"site":`...)
	b = appendString(b, r.Route.Site)
	b = append(b, `,"size":`...)
	b = strconv.AppendInt(b, int64(size), 10)
	b = appendResponse(b, &r.Response)
	b = appendPeer(b, r)
	b = appendTime(b, `,"timestamp":`, `,"event_time":"`, r.Time)
	b = appendTime(b, `,"created":`, `,"created_time":"`, created)
	b = append(b, `,"num_attempts":`...)
	b = strconv.AppendInt(b, int64(r.Attempts), 10)
	b = append(b, `,"bounce_classification":"Uncategorized","egress_pool":`...)
	b = appendOr(b, r.Route.Pool)
	b = append(b, `,"egress_source":`...)
	b = appendOr(b, r.Route.Source)
	b = appendSource(b, r.Route.LocalAddr)
	b = append(b, `,"feedback_report":null,"delivery_protocol":`...)
	b = appendOr(b, r.Route.Protocol)
	b = append(b, `,"reception_protocol":`...)
	b = appendOr(b, received)
	b = append(b, `,"nodeid":"`...)
	b = append(b, nodeID...)
	b = append(b, '"')
	return appendSession(b, r)
}

// appendTail ends the line.
func appendTail(b []byte, r *Record, meta, headers names) []byte {
	b = append(b, `,"meta":`...)
	b = meta.appendMeta(b, metaOf(r))
	b = append(b, `,"headers":`...)
	b = headers.appendHeaders(b, r.Msg)
	return append(b, '}', '\n')
}

// appendRecipients appends one address as a string, several as an array.
func appendRecipients(b []byte, rcpts []mail.Address) []byte {
	if len(rcpts) == 0 {
		return append(b, `""`...)
	}
	if len(rcpts) == 1 {
		return appendString(b, rcpts[0].String())
	}
	b = append(b, '[')
	for i, a := range rcpts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, a.String())
	}
	return append(b, ']')
}

func appendResponse(b []byte, r *smtp.Reply) []byte {
	b = append(b, `,"response":{"code":`...)
	b = strconv.AppendInt(b, int64(r.Code), 10)
	b = append(b, `,"enhanced_code":`...)
	if r.Enhanced.IsZero() {
		b = append(b, "null"...)
	} else {
		b = append(b, `{"class":`...)
		b = strconv.AppendInt(b, int64(r.Enhanced.Class), 10)
		b = append(b, `,"subject":`...)
		b = strconv.AppendInt(b, int64(r.Enhanced.Subject), 10)
		b = append(b, `,"detail":`...)
		b = strconv.AppendInt(b, int64(r.Enhanced.Detail), 10)
		b = append(b, '}')
	}
	b = append(b, `,"content":`...)
	b = appendString(b, r.Content())
	b = append(b, `,"command":`...)
	b = appendOr(b, r.Command)
	return append(b, '}')
}

// appendPeer appends who was at the other end: the submitter of what came in, the host of what went out.
func appendPeer(b []byte, r *Record) []byte {
	b = append(b, `,"peer_address":`...)
	switch {
	case r.Route.PeerAddr.IsValid() || r.Route.PeerName != "":
		b = append(b, `{"name":`...)
		b = appendString(b, r.Route.PeerName)
		b = append(b, `,"addr":"`...)
		if r.Route.PeerAddr.IsValid() {
			b = r.Route.PeerAddr.Unmap().WithZone("").AppendTo(b)
		}
		return append(b, '"', '}')
	case r.PeerAddr != "":
		b = append(b, `{"name":`...)
		b = appendString(b, r.PeerName)
		b = append(b, `,"addr":`...)
		b = appendString(b, r.PeerAddr)
		return append(b, '}')
	}
	return append(b, "null"...)
}

func appendSource(b []byte, local netip.AddrPort) []byte {
	b = append(b, `,"source_address":`...)
	if !local.IsValid() {
		return append(b, "null"...)
	}
	b = append(b, `{"address":"`...)
	b = netip.AddrPortFrom(local.Addr().Unmap().WithZone(""), local.Port()).AppendTo(b)
	return append(b, '"', '}')
}

// appendTime appends a moment twice: as whole seconds since 1970 and in RFC 3339 form, UTC.
func appendTime(b []byte, seconds, text string, t time.Time) []byte {
	b = append(b, seconds...)
	b = strconv.AppendInt(b, t.Unix(), 10)
	b = append(b, text...)
	b = t.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendSession appends the fields that are left out when they are empty.
func appendSession(b []byte, r *Record) []byte {
	tls, session := r.TLS, r.SessionID
	if r.Route.TLS != nil {
		tls = r.Route.TLS
	}
	if r.Route.SessionID != "" {
		session = r.Route.SessionID
	}
	if tls != nil {
		b = appendField(b, `,"tls_cipher":`, tls.Cipher)
		b = appendField(b, `,"tls_protocol_version":`, tls.ProtocolVersion)
		if len(tls.PeerSubject) > 0 {
			b = append(b, `,"tls_peer_subject_name":[`...)
			for i, s := range tls.PeerSubject {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendString(b, s)
			}
			b = append(b, ']')
		}
	}
	b = appendField(b, `,"provider_name":`, r.Route.Provider)
	return appendSpent(appendField(b, `,"session_id":`, session), r)
}

func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(append(b, name...), value)
}

// metaOf is the metadata that a record speaks of.
func metaOf(r *Record) *message.Meta {
	if r.Msg != nil {
		return r.Msg.Meta
	}
	return r.Meta
}
