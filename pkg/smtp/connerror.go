package smtp

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Kind says how a conversation broke.
type Kind uint8

const (
	KindClosed  Kind = iota + 1 // the peer closed or reset the connection, or the network failed
	KindTimeout                 // the peer did not answer, or did not take our data, in time
	KindGarbage                 // what came is no SMTP reply, or not one that this command can have
	KindTooLong                 // the reply is longer than the bounds
	KindEarly                   // the peer answered before it was asked
	KindTLS                     // the TLS handshake failed
	KindLocal                   // we closed the connection, or gave it something that it does not send
)

// ConnError is why a connection can be used no more. It never stands for a reply of the peer, however negative.
type ConnError struct {
	Stage string // the command whose answer was awaited: "banner", "EHLO", "STARTTLS", "MAIL", "." ...
	Kind  Kind
	Err   error
}

func (e *ConnError) Error() string {
	switch e.Kind {
	case KindTimeout:
		return e.Stage + ": timed out"
	case KindClosed:
		if errors.Is(e.Err, io.EOF) || errors.Is(e.Err, io.ErrClosedPipe) {
			return e.Stage + ": the peer closed the connection"
		}
	case KindTLS:
		return e.Stage + ": TLS handshake: " + e.Err.Error()
	}
	return e.Stage + ": " + reason(e.Err)
}

func (e *ConnError) Unwrap() error { return e.Err }

// reason is the root of a network error without the addresses, which the caller shows in its own way.
func reason(err error) string {
	var sys syscall.Errno
	if errors.As(err, &sys) {
		return sys.Error()
	}
	return err.Error()
}

// ioError classifies what Read or Write of a connection gave.
func ioError(stage string, err error) *ConnError {
	e := &ConnError{Stage: stage, Kind: KindClosed, Err: err}
	var timeout net.Error
	switch {
	case errors.Is(err, net.ErrClosed):
		e.Kind = KindLocal
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Kind = KindTimeout
	}
	return e
}
