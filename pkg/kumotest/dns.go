package kumotest

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// DNS is a name server on loopback that says what a test tells it to say, by UDP and TCP on one port, however wrong.
type DNS struct {
	Addr string // "127.0.0.1:port"

	t      testing.TB
	udp    *net.UDPConn
	tcp    net.Listener
	handle func(*DNSQuery)
	wg     sync.WaitGroup

	mu    sync.Mutex
	count map[string]int
	conns map[net.Conn]bool
}

// DNSQuery is one question. A handler answers it with any number of messages, none included.
type DNSQuery struct {
	Msg  *dns.Msg
	Name string // as it was asked, with the root dot
	Type uint16
	TCP  bool
	N    int            // how often this name and type were asked before
	From net.Addr       // where the question came from
	Send func(b []byte) // sends raw bytes; over TCP with their length in front
}

// NewDNS starts a name server for the time of the test. Handlers run at the same time for different questions.
func NewDNS(t testing.TB, handle func(*DNSQuery)) *DNS {
	t.Helper()
	d := &DNS{t: t, handle: handle, count: map[string]int{}, conns: map[net.Conn]bool{}}
	d.listen()
	d.Addr = d.udp.LocalAddr().String()
	d.wg.Add(2)
	go d.serveUDP()
	go d.serveTCP()
	t.Cleanup(func() {
		_ = d.udp.Close()
		_ = d.tcp.Close()
		d.mu.Lock()
		for c := range d.conns {
			_ = c.Close()
		}
		d.mu.Unlock()
		d.wg.Wait()
	})
	return d
}

// listen finds a port that is free for both transports.
func (d *DNS) listen() {
	d.t.Helper()
	for range 50 {
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			d.t.Fatal(err)
		}
		tcp, err := net.Listen("tcp4", udp.LocalAddr().String())
		if err == nil {
			d.udp, d.tcp = udp, tcp
			return
		}
		_ = udp.Close()
	}
	d.t.Fatal("no port is free for both TCP and UDP")
}

// Asked is how often name (with the root dot) and type were asked.
func (d *DNS) Asked(name string, qtype uint16) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count[countKey(name, qtype)]
}

// Total is the number of questions so far.
func (d *DNS) Total() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, c := range d.count {
		n += c
	}
	return n
}

func countKey(name string, qtype uint16) string {
	return strings.ToLower(name) + " " + dns.TypeToString[qtype]
}

func (d *DNS) serveUDP() {
	defer d.wg.Done()
	buf := make([]byte, 65535)
	for {
		n, from, err := d.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		d.dispatch(append([]byte(nil), buf[:n]...), false, from, func(b []byte) { _, _ = d.udp.WriteTo(b, from) })
	}
}

func (d *DNS) serveTCP() {
	defer d.wg.Done()
	for {
		conn, err := d.tcp.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		d.conns[conn] = true
		d.mu.Unlock()
		d.wg.Add(1)
		go d.session(conn)
	}
}

func (d *DNS) session(conn net.Conn) {
	defer d.wg.Done()
	defer func() { _ = conn.Close() }()
	send := func(b []byte) {
		_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	}
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		buf := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, buf); err != nil {
			return
		}
		d.dispatch(buf, true, conn.RemoteAddr(), send)
	}
}

func (d *DNS) dispatch(wire []byte, tcp bool, from net.Addr, send func([]byte)) {
	msg := new(dns.Msg)
	if err := msg.Unpack(wire); err != nil || len(msg.Question) != 1 {
		d.t.Errorf("a question that cannot be read: %v", err)
		return
	}
	q := &DNSQuery{Msg: msg, Name: msg.Question[0].Name, Type: msg.Question[0].Qtype, TCP: tcp, From: from, Send: send}
	d.mu.Lock()
	key := countKey(q.Name, q.Type)
	q.N = d.count[key]
	d.count[key]++
	d.mu.Unlock()
	d.wg.Add(1)
	go func() {
		defer d.wg.Done()
		d.handle(q)
	}()
}

// Reply is an empty answer to the question, to be filled and sent.
func (q *DNSQuery) Reply() *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q.Msg)
	m.Compress = true
	return m
}

// Answer sends records in master-file form ("example.com. 60 IN MX 10 mx.example.com."). It panics on a bad one: that
// is a mistake of the test.
func (q *DNSQuery) Answer(records ...string) {
	m := q.Reply()
	for _, r := range records {
		m.Answer = append(m.Answer, RR(r))
	}
	q.SendMsg(m)
}

// Fail sends an empty answer with an rcode.
func (q *DNSQuery) Fail(rcode int) {
	m := q.Reply()
	m.Rcode = rcode
	q.SendMsg(m)
}

// SendMsg packs and sends m.
func (q *DNSQuery) SendMsg(m *dns.Msg) {
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	q.Send(b)
}

// RR reads one record in master-file form.
func RR(text string) dns.RR {
	rr, err := dns.NewRR(text)
	if err != nil {
		panic(err)
	}
	return rr
}

// DNSRecords is a handler that serves records in master-file form: those of the name and type asked for, or of the
// name's CNAME; names without any do not exist.
func DNSRecords(records ...string) func(*DNSQuery) {
	byName := map[string][]dns.RR{}
	for _, r := range records {
		rr := RR(r)
		name := dns.CanonicalName(rr.Header().Name)
		byName[name] = append(byName[name], rr)
	}
	return func(q *DNSQuery) {
		m := q.Reply()
		name := dns.CanonicalName(q.Name)
		have, ok := byName[name]
		if !ok {
			m.Rcode = dns.RcodeNameError
		}
		for _, rr := range have {
			if t := rr.Header().Rrtype; t == q.Type || t == dns.TypeCNAME {
				m.Answer = append(m.Answer, rr)
			}
		}
		q.SendMsg(m)
	}
}
