package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// Bounds of what a peer may answer (RFC 5321 4.5.3.1.5 has 512 octets a line; real servers exceed it).
const (
	MaxReplyLine  = 1000 // octets of a line with its end
	MaxReplyLines = 100  // lines of a reply

	readBuffer = 4096
	keepBuffer = 32 << 10 // a larger write buffer is given back after use

	lastWords = time.Second // for a reply that may have come before the connection was closed
)

var (
	errLongLine  = fmt.Errorf("a reply line is longer than %d octets", MaxReplyLine)
	errManyLines = fmt.Errorf("a reply has more than %d lines", MaxReplyLines)
	errMixed     = errors.New("the lines of a reply have different codes")
	errEarly     = errors.New("the peer answered before it was asked")
	errLastWords = errors.New("the peer closed the connection and left a reply")
)

// Conn is the client side of one SMTP connection. Commands are queued (Rset, Mail, Rcpt, Data) and sent together by
// Flush; Read takes their replies in order. The first *ConnError is final: every later call gives it again.
//
// A Conn belongs to one goroutine, except that Abort may be called from any.
type Conn struct {
	Caps Caps     // what EHLO offered
	TLS  *TLSInfo // nil in clear text

	nc   net.Conn // what is spoken through: the socket, or TLS over it
	sock net.Conn
	err  *ConnError

	buf    []byte // buf[r:w] is read but not yet used
	r, w   int
	text   []byte   // of the reply that is being read
	out    []byte   // commands that wait for Flush
	dots   []int    // of WriteBody: where lines of the text begin with a dot
	parts  [][]byte // of WriteBody: stretches of the text
	queued int      // commands in out
	owed   int      // commands sent whose replies have not been read
	cut    bool     // the peer closed before it had the whole message text
	waits  waits

	raw     syscall.RawConn // for Check; nil when sock is no socket of the system
	peekFn  func(fd uintptr)
	peekN   int
	peekErr error
}

// NewConn makes a Conn of an open connection. Nothing is read yet: the banner comes with Read("banner", …).
func NewConn(nc net.Conn) *Conn {
	c := &Conn{nc: nc, sock: nc, buf: make([]byte, readBuffer), owed: 1}
	if s, ok := nc.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
		c.peekFn = c.peekSocket
	}
	return c
}

// LocalAddr and RemoteAddr are those of the socket.
func (c *Conn) LocalAddr() net.Addr { return c.sock.LocalAddr() }

// RemoteAddr is the address of the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.sock.RemoteAddr() }

// Err is the *ConnError that ended the connection, nil while it can be used.
func (c *Conn) Err() error {
	if c.err == nil {
		return nil
	}
	return c.err
}

// Abort closes the socket at once. Calls that wait return an error.
func (c *Conn) Abort() { _ = c.sock.Close() }

// Quit says goodbye, waits for the answer no longer than timeout, and closes.
func (c *Conn) Quit(timeout time.Duration) {
	if c.err == nil && c.owed == 0 {
		c.out, c.queued = append(c.out[:0], "QUIT\r\n"...), 1
		if c.Flush("QUIT", timeout) == nil {
			_, _ = c.Read("QUIT", timeout)
		}
	}
	c.Abort()
}

// fail ends the connection.
func (c *Conn) fail(e *ConnError) error {
	if c.err == nil {
		c.err = e
		c.Abort()
	}
	return c.err
}

// Flush sends the queued commands in one write. A peer that has answered already is dropped (KindEarly). stage is
// the first of the commands, for errors.
func (c *Conn) Flush(stage string, timeout time.Duration) error {
	if c.err != nil {
		return c.err
	}
	if c.owed == 0 && c.r != c.w {
		return c.fail(&ConnError{Stage: stage, Kind: KindEarly, Err: errEarly})
	}
	err := c.write(stage, c.out, timeout)
	c.owed += c.queued
	c.release()
	return err
}

// release empties the write buffer.
func (c *Conn) release() {
	c.queued = 0
	if cap(c.out) > keepBuffer {
		c.out = nil
	}
	c.out = c.out[:0]
}

func (c *Conn) write(stage string, b []byte, timeout time.Duration) error {
	began := time.Now()
	if err := c.nc.SetWriteDeadline(began.Add(timeout)); err != nil {
		return c.fail(ioError(stage, err))
	}
	_, err := c.nc.Write(b)
	c.waits.add(written(stage), began)
	if err != nil {
		return c.writeFailed(stage, err)
	}
	return nil
}

// written is the stage that a write counts for: the text is something else than the answer to its end.
func written(stage string) string {
	if stage == "." {
		return "body"
	}
	return stage
}

// writeFailed ends the connection after a failed write, unless the peer has left a reply: a server that cannot bear
// more of a message says so and closes. Then the error is nil, and Read gives the reply.
func (c *Conn) writeFailed(stage string, err error) error {
	e := ioError(stage, err)
	if stage == "." && e.Kind == KindClosed {
		if e := c.nc.SetReadDeadline(time.Now().Add(lastWords)); e == nil {
			if n, _ := c.nc.Read(c.buf[c.w:]); n > 0 {
				c.w += n
				c.cut = true
				return errLastWords
			}
		}
	}
	return c.fail(e)
}

// Read takes the next reply. The whole of it must come within timeout. stage, the command that it answers, becomes
// the reply's Command. Control characters in its text become blanks.
func (c *Conn) Read(stage string, timeout time.Duration) (Reply, error) {
	return c.read(stage, timeout, true)
}

// ReadBrief is Read for replies of which only refusals are of interest: a positive one comes without its text,
// which saves an allocation.
func (c *Conn) ReadBrief(stage string, timeout time.Duration) (Reply, error) {
	return c.read(stage, timeout, false)
}

func (c *Conn) read(stage string, timeout time.Duration, full bool) (Reply, error) {
	if c.err != nil {
		return Reply{}, c.err
	}
	r := Reply{Command: stage}
	c.text = c.text[:0]
	armed := false
	for n := 1; ; n++ {
		line, err := c.line(stage, timeout, &armed)
		if err != nil {
			return Reply{}, err
		}
		code, more, text, bad := ParseReplyLine(line)
		switch {
		case bad != nil:
			return Reply{}, c.garbage(stage, bad, line)
		case n > 1 && code != r.Code:
			return Reply{}, c.garbage(stage, errMixed, line)
		case more && n == MaxReplyLines:
			return Reply{}, c.fail(&ConnError{Stage: stage, Kind: KindTooLong, Err: errManyLines})
		}
		r.Code = code
		enhanced, text := cutEnhanced(text)
		if r.Enhanced.IsZero() {
			r.Enhanced = enhanced
		}
		if full || code >= 400 {
			if n > 1 {
				c.text = append(c.text, '\n')
			}
			c.text = append(c.text, text...)
		}
		if !more {
			break
		}
	}
	if c.cut && r.Code < 400 {
		return Reply{}, c.fail(&ConnError{Stage: stage, Kind: KindEarly, Err: errEarly})
	}
	c.owed--
	r.Text = clean(c.text)
	return r, nil
}

// garbage ends the connection because of a line that is no reply, shown escaped.
func (c *Conn) garbage(stage string, why error, line []byte) error {
	if len(line) > 80 {
		line = line[:80]
	}
	return c.fail(&ConnError{Stage: stage, Kind: KindGarbage, Err: fmt.Errorf("bad reply %q: %w", line, why)})
}

// clean makes text of what a peer sent.
func clean(text []byte) string {
	plain := true
	for i, b := range text {
		if b < ' ' && b != '\n' || b == 0x7f {
			text[i] = ' '
		}
		plain = plain && b < 0x80
	}
	if plain {
		return string(text)
	}
	return strings.ToValidUTF8(string(text), "\ufffd")
}

// line gives the next line without its end. It is valid until the next call. The deadline is set once for all lines
// of a reply, and only if there is something to wait for.
func (c *Conn) line(stage string, timeout time.Duration, armed *bool) ([]byte, error) {
	seen := c.r
	for {
		i := bytes.IndexByte(c.buf[seen:c.w], '\n')
		if seen+i+1-c.r > MaxReplyLine || i < 0 && c.w-c.r >= MaxReplyLine {
			return nil, c.fail(&ConnError{Stage: stage, Kind: KindTooLong, Err: errLongLine})
		}
		if i >= 0 {
			line := c.buf[c.r : seen+i]
			c.r = seen + i + 1
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		if c.r > 0 {
			c.w = copy(c.buf, c.buf[c.r:c.w])
			c.r = 0
		}
		seen = c.w
		if err := c.fill(stage, timeout, armed); err != nil {
			return nil, err
		}
	}
}

// fill reads once.
func (c *Conn) fill(stage string, timeout time.Duration, armed *bool) error {
	began := time.Now()
	if !*armed {
		if err := c.nc.SetReadDeadline(began.Add(timeout)); err != nil {
			return c.fail(ioError(stage, err))
		}
		*armed = true
	}
	n, err := c.nc.Read(c.buf[c.w:])
	c.waits.add(stage, began)
	c.w += n
	if n == 0 && err != nil {
		return c.fail(ioError(stage, err))
	}
	if n == 0 {
		return c.fail(ioError(stage, io.ErrNoProgress))
	}
	return nil
}
