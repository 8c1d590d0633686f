package smtp

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// Check looks, without waiting, whether the connection is still good for another command: the peer has neither
// closed it nor said anything (a 421 before it closes, or an answer to what was not asked yet). It is meant for a
// connection that was idle and is about to hear MAIL, which errors name as their stage.
func (c *Conn) Check() error {
	switch {
	case c.err != nil:
		return c.err
	case c.r != c.w:
		return c.fail(&ConnError{Stage: "MAIL", Kind: KindEarly, Err: errEarly})
	case c.raw == nil:
		return nil
	}
	if err := c.raw.Control(c.peekFn); err != nil {
		return c.fail(ioError("MAIL", err))
	}
	switch {
	case errors.Is(c.peekErr, syscall.EAGAIN), errors.Is(c.peekErr, syscall.EINTR):
		return nil
	case c.peekErr != nil:
		return c.fail(ioError("MAIL", c.peekErr))
	case c.peekN == 0:
		return c.fail(ioError("MAIL", io.EOF))
	case c.TLS != nil:
		return c.checkTLS()
	}
	return c.fail(&ConnError{Stage: "MAIL", Kind: KindEarly, Err: errEarly})
}

// peekSocket asks the system for the next byte without taking it.
func (c *Conn) peekSocket(fd uintptr) {
	var b [1]byte
	c.peekN, _, c.peekErr = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
}

// checkTLS reads what the socket holds. It may be a session ticket (RFC 8446 4.6.1), which is no answer: then
// nothing comes out before the short deadline, and the TLS connection goes on.
func (c *Conn) checkTLS() error {
	if err := c.nc.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
		return c.fail(ioError("MAIL", err))
	}
	n, err := c.nc.Read(c.buf[:1])
	switch {
	case n > 0:
		return c.fail(&ConnError{Stage: "MAIL", Kind: KindEarly, Err: errEarly})
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	}
	return c.fail(ioError("MAIL", err))
}
