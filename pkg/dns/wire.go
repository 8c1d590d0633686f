package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

const (
	ednsSize    = 1232 // bytes of UDP answers that we offer to take: fits any path (DNS flag day 2020)
	maxStrays   = 1000 // datagrams that are not the answer, after which a server is given up
	maxDatagram = 4096 // bytes of a UDP answer that are read; more than was offered cannot be right
)

// Ways in which one exchange fails.
var (
	errMismatch  = errors.New("the answer belongs to another question")
	errTruncated = errors.New("the answer was cut off and TCP is not allowed (protocol udp)")
	errEmpty     = errors.New("the answer holds a record without data")
	errShort     = errors.New("the answer holds fewer records than it says")
	errStrays    = errors.New("a flood of packets that are not the answer")
	errCase      = errors.New("the answer does not repeat the letter case of the question")
	errNoAnswer  = errors.New("no answer in time")
)

// exchange asks one server one question: by UDP, then by TCP when the answer was truncated (RFC 7766), or when UDP
// failed and try_tcp_on_error is set.
func (c *client) exchange(ctx context.Context, s *server, name string, qtype uint16) (*dns.Msg, error) {
	q := c.question(name, qtype)
	msg, err := c.transfer(ctx, s, q)
	if err == nil && msg.Rcode == dns.RcodeFormatError && q.IsEdns0() != nil {
		q.Extra = nil // a server from before RFC 6891
		msg, err = c.transfer(ctx, s, q)
	}
	if err != nil {
		return nil, timely(ctx, err)
	}
	if msg.Rcode != dns.RcodeSuccess && msg.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("it answered %s", rcodeText(msg.Rcode))
	}
	return msg, nil
}

func rcodeText(rcode int) string {
	if s, ok := dns.RcodeToString[rcode]; ok {
		return s
	}
	return fmt.Sprintf("RCODE %d", rcode)
}

// timely says what a deadline means.
func timely(ctx context.Context, err error) error {
	var ne net.Error
	if ctx.Err() != nil || errors.As(err, &ne) && ne.Timeout() {
		return errNoAnswer
	}
	return err
}

func (c *client) transfer(ctx context.Context, s *server, q *dns.Msg) (*dns.Msg, error) {
	if s.Protocol == "tcp" {
		return c.overTCP(ctx, s, q)
	}
	msg, err := c.overUDP(ctx, s, q)
	switch {
	case err == nil && !msg.Truncated:
		return msg, nil
	case s.Protocol == "udp" && err == nil:
		return nil, errTruncated
	case s.Protocol == "udp", err != nil && !c.opt.TryTCPOnError:
		return nil, err
	}
	return c.overTCP(ctx, s, q)
}

// question makes a query with a random id.
func (c *client) question(name string, qtype uint16) *dns.Msg {
	if c.opt.CaseRandomization {
		name = mixCase(name)
	}
	q := &dns.Msg{Question: []dns.Question{{Name: name, Qtype: qtype, Qclass: dns.ClassINET}}}
	q.RecursionDesired = c.opt.RecursionDesired
	q.Id = randomID()
	if c.opt.EDNS0 {
		q.SetEdns0(ednsSize, false)
	}
	return q
}

func randomID() uint16 {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return binary.BigEndian.Uint16(b[:])
}

// mixCase sets each letter's case by a coin (draft-vixie-dnsext-dns0x20).
func mixCase(name string) string {
	b := []byte(name)
	coins := make([]byte, len(b))
	_, _ = rand.Read(coins)
	for i, ch := range b {
		if ch >= 'a' && ch <= 'z' && coins[i]&1 == 1 {
			b[i] = ch - 'a' + 'A'
		}
	}
	return string(b)
}

// overUDP sends q from a fresh socket, hence a random port, that is connected to the server: the kernel drops what
// comes from elsewhere. What is not the answer to q is ignored; something in its place would be a forgery.
func (c *client) overUDP(ctx context.Context, s *server, q *dns.Msg) (*dns.Msg, error) {
	conn, wire, err := open(ctx, "udp", s, q)
	if err != nil {
		return nil, err
	}
	defer closing(ctx, conn)()
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	buf := make([]byte, maxDatagram)
	for range maxStrays {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if n < 12 || binary.BigEndian.Uint16(buf) != q.Id {
			continue
		}
		msg, err := c.parse(buf[:n], q)
		if errors.Is(err, errMismatch) {
			continue
		}
		return msg, err
	}
	return nil, errStrays
}

// overTCP sends q with its length in front (RFC 1035 4.2.2); an answer has at most 65,535 bytes.
func (c *client) overTCP(ctx context.Context, s *server, q *dns.Msg) (*dns.Msg, error) {
	conn, wire, err := open(ctx, "tcp", s, q)
	if err != nil {
		return nil, err
	}
	defer closing(ctx, conn)()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, fmt.Errorf("read the length of the answer: %w", err)
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, fmt.Errorf("read the answer of %d bytes: %w", len(buf), err)
	}
	return c.parse(buf, q)
}

// open connects, and packs q.
func open(ctx context.Context, network string, s *server, q *dns.Msg) (net.Conn, []byte, error) {
	wire, err := q.Pack()
	if err != nil {
		return nil, nil, err
	}
	d := net.Dialer{LocalAddr: localAddr(network, s.BindAddr)}
	conn, err := d.DialContext(ctx, network, s.SocketAddr.String())
	return conn, wire, err
}

func localAddr(network string, a netip.AddrPort) net.Addr {
	switch {
	case !a.IsValid():
		return nil
	case network == "udp":
		return net.UDPAddrFromAddrPort(a)
	}
	return net.TCPAddrFromAddrPort(a)
}

// closing bounds conn by ctx, and returns what closes it.
func closing(ctx context.Context, conn net.Conn) func() {
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return func() {
		stop()
		_ = conn.Close()
	}
}

// parse reads an answer and holds it against the question: id, direction, opcode, name, type and class.
func (c *client) parse(wire []byte, q *dns.Msg) (*dns.Msg, error) {
	msg := new(dns.Msg)
	if err := msg.Unpack(wire); err != nil {
		return nil, fmt.Errorf("the answer is malformed: %w", err)
	}
	if len(msg.Answer) != int(binary.BigEndian.Uint16(wire[6:])) {
		return nil, errShort // the library takes what is there
	}
	for _, rr := range msg.Answer {
		if rr.Header().Rdlength == 0 {
			return nil, errEmpty // the library leaves such records blank
		}
	}
	if msg.Id != q.Id || !msg.Response || msg.Opcode != dns.OpcodeQuery || len(msg.Question) > 1 {
		return nil, errMismatch
	}
	if len(msg.Question) == 0 {
		if msg.Rcode == dns.RcodeSuccess || msg.Rcode == dns.RcodeNameError {
			return nil, errMismatch
		}
		return msg, nil // a server that could not read the question may leave it out
	}
	asked, got := q.Question[0], msg.Question[0]
	if got.Qtype != asked.Qtype || got.Qclass != asked.Qclass || !strings.EqualFold(got.Name, asked.Name) {
		return nil, errMismatch
	}
	if c.opt.CaseRandomization && got.Name != asked.Name {
		return nil, errCase
	}
	return msg, nil
}
