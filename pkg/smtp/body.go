package smtp

import (
	"bytes"
	"net"
	"time"
)

const (
	smallBody = 16 << 10 // up to here a body is copied behind its end mark, to go out in one write
	maxDots   = 256      // up to so many dots are doubled without copying the body
	dotPiece  = 64 << 10 // bodies with more are copied in pieces of this size
	rawPiece  = 1 << 20  // other bodies are written in pieces of this size, each within the timeout
)

// WriteBody sends the message text after a 354, dot-stuffed (RFC 5321 4.5.2), with the end mark behind it; the reply to
// "." is then to be read. timeout bounds each piece of at most 1 MiB. When the peer answers and closes before it has
// the whole text, the error is nil and the reply waits for Read; a positive one must not be believed then, but Read
// fails on it (KindEarly).
//
// Invariant "crlf-only": whatever body holds, no CR or LF leaves that is not part of CRLF. Intake has seen to it
// already; a body that was changed since and holds a bare one is sent with CRLF in its place, for a peer that took
// a bare LF for a line end could be made to see the end of the message inside it.
func (c *Conn) WriteBody(body []byte, timeout time.Duration) error {
	if c.err != nil {
		return c.err
	}
	if c.owed == 0 && c.r != c.w {
		return c.fail(&ConnError{Stage: "DATA", Kind: KindEarly, Err: errEarly})
	}
	good := false
	if c.dots, good = inspect(body, c.dots[:0]); !good {
		body = normalLines(body)
		c.dots, _ = inspect(body, c.dots[:0]) // there may be lines now that were none
	}
	tail := ".\r\n"
	if n := len(body); n > 0 && body[n-1] != '\n' {
		tail = "\r\n.\r\n"
	}
	c.owed++
	err := c.writeText(body, tail, timeout)
	if err == errLastWords { //nolint:errorlint // never wrapped
		return nil
	}
	return err
}

func (c *Conn) writeText(body []byte, tail string, timeout time.Duration) error {
	switch {
	case len(c.dots) > maxDots, len(c.dots) > 0 && c.TLS != nil && len(body) > smallBody:
		return c.writeDots(body, tail, timeout)
	case len(body) > smallBody:
		return c.writeRaw(body, tail, timeout)
	}
	c.out = c.out[:0]
	from := 0
	for _, at := range c.dots {
		c.out = append(c.out, body[from:at+1]...)
		from = at
	}
	c.out = append(append(c.out, body[from:]...), tail...)
	err := c.write(".", c.out, timeout)
	c.release()
	return err
}

// inspect finds out whether every CR and LF of b stands in a CRLF, and appends to dots where lines begin with a dot:
// at most maxDots+1 places, for then nobody counts any more.
func inspect(b []byte, dots []int) (places []int, good bool) {
	if len(b) > 0 && b[0] == '.' {
		dots = append(dots, 0)
	}
	lines := 0
	for pos := 0; ; lines++ {
		i := bytes.IndexByte(b[pos:], '\n')
		if i < 0 {
			break
		}
		pos += i
		if pos == 0 || b[pos-1] != '\r' {
			return dots, false
		}
		pos++
		if pos < len(b) && b[pos] == '.' && len(dots) <= maxDots {
			dots = append(dots, pos)
		}
	}
	// Every LF has a CR of its own before it: equal numbers mean that every CR has its LF.
	return dots, bytes.Count(b, []byte{'\r'}) == lines
}

// normalLines writes every bare CR and LF of b as CRLF.
func normalLines(b []byte) []byte {
	out := make([]byte, 0, len(b)+len(b)/16+16)
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
			i++
			out = append(out, '\r', '\n')
		case b[i] == '\r' || b[i] == '\n':
			out = append(out, '\r', '\n')
		default:
			out = append(out, b[i])
		}
	}
	return out
}

// writeDots copies the body with its dots doubled.
func (c *Conn) writeDots(body []byte, tail string, timeout time.Duration) error {
	defer c.release()
	start := true // of a line
	for {
		n := min(len(body), dotPiece)
		c.out = appendStuffed(c.out[:0], body[:n], start)
		if n > 0 {
			start = body[n-1] == '\n'
		}
		body = body[n:]
		if len(body) == 0 {
			c.out = append(c.out, tail...)
		}
		if err := c.write(".", c.out, timeout); err != nil || len(body) == 0 {
			return err
		}
	}
}

// appendStuffed appends b with the first dot of each line doubled. Line ends are CRLF. A CRLF and a dot that stand in
// different pieces are seen through start.
func appendStuffed(dst, b []byte, start bool) []byte {
	if start && len(b) > 0 && b[0] == '.' {
		dst = append(dst, '.')
	}
	for {
		i := bytes.Index(b, []byte("\n."))
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(append(dst, b[:i+2]...), '.')
		b = b[i+2:]
	}
}

// writeRaw sends a large body without copying it: a dot is doubled by beginning the next stretch with it again.
func (c *Conn) writeRaw(body []byte, tail string, timeout time.Duration) error {
	c.parts = c.parts[:0]
	from := 0
	for _, at := range c.dots {
		c.parts = append(c.parts, body[from:at+1])
		from = at
	}
	c.parts = append(c.parts, body[from:], []byte(tail))
	defer func() { clear(c.parts) }()
	for rest := c.parts; len(rest) > 0; {
		piece := rest[:whole(rest)]
		if len(piece) == 0 {
			piece = [][]byte{rest[0][:rawPiece]}
			rest[0] = rest[0][rawPiece:]
		} else {
			rest = rest[len(piece):]
		}
		if err := c.writeParts(piece, timeout); err != nil {
			return err
		}
	}
	return nil
}

// whole is how many of the parts fit into one piece.
func whole(parts [][]byte) int {
	size := 0
	for i, p := range parts {
		if size += len(p); size > rawPiece {
			return i
		}
	}
	return len(parts)
}

// writeParts writes parts as one where the connection can do that.
func (c *Conn) writeParts(parts [][]byte, timeout time.Duration) error {
	began := time.Now()
	if err := c.nc.SetWriteDeadline(began.Add(timeout)); err != nil {
		return c.fail(ioError(".", err))
	}
	bufs := net.Buffers(parts)
	_, err := bufs.WriteTo(c.nc)
	c.waits.add("body", began)
	if err != nil {
		return c.writeFailed(".", err)
	}
	return nil
}
