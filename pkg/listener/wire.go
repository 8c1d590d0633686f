package listener

import (
	"bytes"
	"errors"
	"net"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Bounds of the wire. They are not options: no honest client comes near them.
const (
	smallBuffer = 4096    // what each connection keeps; a command line fits
	maxLine     = 2048    // command line with its CRLF (RFC 5321 4.5.3.1.4 asks for 512)
	maxSkip     = 1 << 20 // bytes of an over-long line that are waited out before the connection is cut
	outSize     = 1024    // replies that are gathered before they are written
	lingerBytes = 1 << 20 // read and thrown away before closing on a peer that is still sending
	lingerTime  = time.Second
)

// problem is what is wrong with a command line.
type problem uint8

const (
	lineGood    problem = iota
	lineTooLong         // 500 5.2.3
	lineStray           // a CR, LF, NUL or other control character inside: 500 5.5.2
	lineNotUTF8         // 501 5.5.2
)

// errCut says that the server ended a wait, because it is shutting down.
var errCut = errors.New("cut by shutdown")

// How far a shutdown has come; see Server.
const (
	cutNothing int32 = iota
	cutIdle          // waits for commands end
	cutAll           // waits for data end too
)

// wire is the connection with its buffers and deadlines. Input is read in bulk, replies are gathered and written
// when the next step has to wait for the peer, so that a pipelined group costs one read and one write.
type wire struct {
	raw     net.Conn // the connection as it was accepted: what other goroutines may use
	conn    net.Conn // raw, or TLS on it
	timeout time.Duration
	pool    *bufferPool
	cut     atomic.Int32 // set by the server's shutdown
	waiting atomic.Int32 // the cut at which the wait of this moment ends, 0 when there is no wait

	in       []byte // in[r:w] has been read and not used
	r, w     int
	small    []byte // what in is when nothing big is on the way
	skipping bool   // the rest of the present line is waste
	out      []byte
	failed   error // the first write error: the peer does not read, or is gone
}

func newWire(c net.Conn, timeout time.Duration, pool *bufferPool) *wire {
	small := make([]byte, smallBuffer)
	return &wire{raw: c, conn: c, timeout: timeout, pool: pool, in: small, small: small, out: make([]byte, 0, outSize)}
}

// buffered reports whether input waits to be used.
func (c *wire) buffered() bool { return c.r < c.w }

// fill reads once, after writing what has been gathered. It needs free room behind c.w.
func (c *wire) fill(deadline time.Time, level int32) error {
	if err := c.flush(); err != nil {
		return err
	}
	for {
		_ = c.conn.SetReadDeadline(deadline)
		// The order matters: whoever comes second, this wait or the shutdown, sees the other and ends the wait.
		c.waiting.Store(level)
		if c.cut.Load() >= level {
			c.waiting.Store(0)
			return errCut
		}
		n, err := c.conn.Read(c.in[c.w:])
		c.waiting.Store(0)
		c.w += n
		switch {
		case n > 0:
			return nil
		case err == nil:
			return errEmptyRead
		case !isTimeout(err) || c.cut.Load() == cutNothing:
			return err
		case c.cut.Load() < level && time.Now().Before(deadline):
			// Meant for an earlier wait of a lower level.
		case c.cut.Load() >= level:
			return errCut
		default:
			return err
		}
	}
}

var errEmptyRead = errors.New("read returned nothing")

// interrupt ends waits of the given level and below. It is called by the server, from another goroutine.
func (c *wire) interrupt(level int32) {
	c.cut.Store(level)
	if w := c.waiting.Load(); w != 0 && w <= level {
		_ = c.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// flush writes the gathered replies. A peer that does not take them within the timeout is given up.
func (c *wire) flush() error {
	if len(c.out) == 0 || c.failed != nil {
		return c.failed
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(c.timeout))
	_, c.failed = c.conn.Write(c.out)
	c.out = c.out[:0]
	return c.failed
}

// release gives a big buffer back once everything in it has been used, and makes room in the small one.
func (c *wire) release() {
	if c.r < c.w {
		left := c.in[c.r:c.w]
		if len(c.in) != len(c.small) && len(left) > len(c.small) {
			return
		}
		big := c.in
		copy(c.small, left)
		c.in, c.r, c.w = c.small, 0, len(left)
		c.giveBack(big)
		return
	}
	big := c.in
	c.in, c.r, c.w = c.small, 0, 0
	c.giveBack(big)
}

func (c *wire) giveBack(b []byte) {
	if len(b) != len(c.small) {
		c.pool.put(b)
	}
}

// grow doubles the room for a message in c.in. It reports whether there was memory for that.
func (c *wire) grow() bool {
	old := c.in
	b := c.pool.get(len(old) * 2)
	if b == nil {
		return false
	}
	c.in = b
	copy(c.in, old[:c.w])
	c.giveBack(old)
	return true
}

// drop forgets all input.
func (c *wire) drop() {
	c.r, c.w = 0, 0
	c.release()
}

// line is the next command line without its CRLF, valid until the next call. A line that cannot be good is
// reported as soon as that is known, with its begin if it is too long, and the next call skips what is left of it:
// only CRLF ends a command, so that two servers can never see different commands in the same bytes.
func (c *wire) line() ([]byte, problem, error) {
	deadline := time.Now().Add(c.timeout)
	if c.skipping {
		if err := c.skip(deadline); err != nil {
			return nil, lineGood, err
		}
	}
	seen := 0 // bytes of in[r:w] that hold no LF
	for {
		have := c.in[c.r:c.w]
		if len(have) > 0 && have[0] == tlsHandshake {
			return nil, lineStray, errNotSMTP
		}
		if i := bytes.IndexByte(have[seen:], '\n'); i >= 0 {
			i += seen
			if i == 0 || have[i-1] != '\r' {
				c.skipping = true
				return nil, lineStray, nil
			}
			c.r += i + 1
			if i+1 > maxLine {
				return have[:maxLine], lineTooLong, nil
			}
			return have[:i-1], judge(have[:i-1]), nil
		}
		if seen = len(have); seen >= maxLine {
			c.skipping = true
			return have[:maxLine], lineTooLong, nil
		}
		c.release()
		if err := c.fill(deadline, cutIdle); err != nil {
			return nil, lineGood, err
		}
	}
}

// skip drops input up to and including the next CRLF.
func (c *wire) skip(deadline time.Time) error {
	dropped, prev := 0, byte(0)
	for {
		for c.r < c.w {
			i := bytes.IndexByte(c.in[c.r:c.w], '\n')
			if i < 0 {
				prev = c.in[c.w-1]
				dropped += c.w - c.r
				c.r = c.w
				break
			}
			if i > 0 {
				prev = c.in[c.r+i-1]
			}
			c.r += i + 1
			dropped += i + 1
			if prev == '\r' {
				c.skipping = false
				return nil
			}
			prev = '\n'
		}
		if dropped > maxSkip {
			return errEndless
		}
		c.release()
		if err := c.fill(deadline, cutIdle); err != nil {
			return err
		}
	}
}

var (
	errEndless = errors.New("command line without end")
	errNotSMTP = errors.New("not SMTP")
)

// tlsHandshake begins a TLS ClientHello (RFC 8446 5.1). A peer that sends one where a command is due will never
// send a CRLF on purpose.
const tlsHandshake = 0x16

// judge looks for what no command line may hold: control characters (TAB among them) and broken UTF-8.
func judge(line []byte) problem {
	high := false
	for _, c := range line {
		if c < ' ' || c == 0x7f {
			return lineStray
		}
		high = high || c >= utf8.RuneSelf
	}
	if high && !utf8.Valid(line) {
		return lineNotUTF8
	}
	return lineGood
}

// linger lets the peer read our last words: closing a socket with unread input resets the connection, and a reset
// can overtake a reply. It reads and drops for at most a second.
func (c *wire) linger() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(lingerTime))
	for n := 0; n < lingerBytes; {
		k, err := c.conn.Read(c.small)
		n += k
		if err != nil {
			return
		}
	}
}
