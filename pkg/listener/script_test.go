package listener

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"testing"
	"time"
)

// scripted is a connection without a network: Read gives one prepared piece each time and then the end, Write
// keeps what it gets.
type scripted struct {
	pieces [][]byte
	out    bytes.Buffer
	repeat int // how often the last pieces from loop on are given again
	loop   int
	at     int
	silent bool // throw replies away
}

func (c *scripted) Read(p []byte) (int, error) {
	for c.at < len(c.pieces) {
		piece := c.pieces[c.at]
		n := copy(p, piece)
		if n < len(piece) {
			c.pieces[c.at] = piece[n:]
			return n, nil
		}
		c.at++
		if c.at == len(c.pieces) && c.repeat > 0 {
			c.repeat--
			c.at = c.loop
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

func (c *scripted) Write(p []byte) (int, error) {
	if !c.silent {
		c.out.Write(p)
	}
	return len(p), nil
}

func (c *scripted) Close() error        { return nil }
func (c *scripted) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }

func (c *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9} }
func (c *scripted) SetDeadline(time.Time) error      { return nil }
func (c *scripted) SetReadDeadline(time.Time) error  { return nil }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }

type scriptedServer struct {
	t testing.TB
	s *Server
}

// pipeSession is a server for conversations without a network.
func pipeSession(t testing.TB, w *world) scriptedServer {
	return scriptedServer{t, newServer(t, w, options(t, nil))}
}

// talk sends the pieces, one per read, and returns everything that the server wrote.
func (s scriptedServer) talk(pieces ...string) string {
	conn := &scripted{}
	for _, p := range pieces {
		conn.pieces = append(conn.pieces, []byte(p))
	}
	s.s.newSession(context.Background(), conn).run()
	return conn.out.String()
}

func pemPair(t testing.TB) (chain, key string) {
	t.Helper()
	pair, err := selfSigned("file.test")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return block("CERTIFICATE", pair.Certificate[0]), block("PRIVATE KEY", der)
}
