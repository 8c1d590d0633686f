package listener

import (
	"context"
	"errors"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// Bounds of the DATA phase.
const (
	minRate  = 500 // bytes per second that a peer must reach on average once client_timeout has passed
	maxTimes = 10  // a message of so many times max_message_size is not waited out
)

// data is DATA (RFC 5321 4.1.1.4).
func (s *session) data() {
	switch {
	case !s.tx.open:
		s.orderError("send MAIL first")
		return
	case len(s.tx.rcpts) == 0:
		s.orderError("no valid recipients")
		return
	}
	s.say("354 go ahead, end with CRLF.CRLF")
	b, err := s.receive()
	s.command = []byte(".")
	if err != nil {
		s.reset()
		s.brokenOff(err)
		return
	}
	s.finish(b)
	s.reset()
	s.release()
}

// brokenOff ends a session in the middle of a message. It must end: what the peer sends next is more message, and
// would be read as commands.
func (s *session) brokenOff(err error) {
	s.farewell, s.impolite = true, true
	switch {
	case errors.Is(err, errTooBig):
		s.refuse(smtp.NewReply(552, "5.3.4", "message too big"), "")
	case errors.Is(err, errNoMemory):
		s.say421("load shedding. Try later")
	case errors.Is(err, errCut), isTimeout(err) && s.failed == nil:
		s.hangUp(err)
	}
}

var (
	errTooBig   = errors.New("message exceeds any bound")
	errNoMemory = errors.New("no memory for the message")
)

// receive reads the message into s.in and leaves s.r behind its end.
func (s *session) receive() (*body, error) {
	copy(s.in, s.in[s.r:s.w])
	s.w -= s.r
	s.r = 0
	b := &body{
		max:      int(s.opts.MaxMessageSize),
		limit:    s.opts.LineLengthHardLimit,
		keepBare: s.opts.InvalidLineEndings != Deny,
	}
	start := time.Now()
	for !b.scan(s.in, s.w) {
		switch {
		case b.dropping():
			s.w = b.compact(s.in, s.w)
		case s.w == len(s.in) && !s.grow():
			s.r = s.w
			return nil, errNoMemory
		}
		taken := b.total + s.w - b.in
		if taken/maxTimes > b.max {
			s.r = s.w
			return nil, errTooBig
		}
		if err := s.fill(s.patience(start, taken), cutAll); err != nil {
			s.r = s.w
			return nil, err
		}
	}
	s.r = b.in
	return b, nil
}

// patience is how long to wait for more of a message: client_timeout, but for the whole message no longer than
// client_timeout and what the bytes so far earn at the least rate. A peer that drips is cut soon; 20 MB at
// 1 Mbit/s have all the time that they need.
func (s *session) patience(start time.Time, taken int) time.Time {
	next := time.Now().Add(s.timeout)
	whole := start.Add(s.timeout + time.Duration(taken)*(time.Second/minRate))
	if whole.Before(next) {
		return whole
	}
	return next
}

// finish judges the message and hands it over.
func (s *session) finish(b *body) {
	msg, bad := s.judge(b)
	if bad != nil {
		s.refuse(*bad, "")
		return
	}
	s.accept(msg)
}

// judge is the message, or what is wrong with it.
func (s *session) judge(b *body) ([]byte, *smtp.Reply) {
	msg, longLine, tooBig := s.in[:b.out], b.longLine, b.tooBig
	switch {
	case tooBig:
	case b.keepBare && b.bare(s.in):
		var longest int
		msg, longest = mend(msg)
		longLine, tooBig = longest > b.limit, len(msg) > b.max
	case b.keepBare:
	case b.bareLF, !longLine && b.bare(s.in):
		return nil, reply(552, "5.6.0", "message data must use CRLF for line endings")
	}
	switch {
	case tooBig:
		return nil, reply(552, "5.3.4", "message too big")
	case longLine:
		return nil, reply(500, "5.2.3", "line too long")
	}
	return msg, nil
}

// accept gives the transaction to intake and answers with the ids.
func (s *session) accept(msg []byte) {
	sub := message.Submission{
		Protocol:   protocol,
		Sender:     s.tx.sender,
		Recipients: s.tx.rcpts,
		Data:       msg,
		Conn:       s.meta,
		Hostname:   s.srv.hostname,
		Ehlo:       s.ehlo,
		Peer:       s.peer,
		Local:      s.local,
		TLS:        s.tls,
		SessionID:  s.id,
		Trace:      s.opts.TraceHeaders,
		Batch:      s.opts.BatchHandling,
		Deferred:   s.opts.DeferredSpool,
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.DataProcessingTimeout)
	ids, err := s.srv.Intake.Accept(ctx, &sub)
	cancel()
	if err != nil {
		s.fail(err)
		return
	}
	s.errors, s.refused, s.surplus, s.idling = 0, 0, 0, 0
	s.sayIDs(ids)
}

// idsPerLine keeps reply lines within the 512 bytes of RFC 5321 4.5.3.1.5.
const idsPerLine = 14

// sayIDs answers `250 OK ids=ID1,ID2`, in several lines of that form when there are many.
func (s *session) sayIDs(ids []message.ID) {
	for {
		n := min(len(ids), idsPerLine)
		more := len(ids) > n
		if more {
			s.out = append(s.out, "250-OK ids="...)
		} else {
			s.out = append(s.out, "250 OK ids="...)
		}
		for i, id := range ids[:n] {
			if i > 0 {
				s.out = append(s.out, ',')
			}
			s.out, _ = id.AppendText(s.out)
		}
		s.say()
		if ids = ids[n:]; !more {
			return
		}
	}
}
