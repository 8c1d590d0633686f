package dns

import (
	"context"
	"encoding/binary"

	"github.com/miekg/dns"
)

// fixed answers everything with the same bytes, as if they came from the server that was asked.
type fixed struct {
	client
	wire []byte
}

func (f *fixed) ask(_ context.Context, name string, qtype uint16) (*dns.Msg, error) {
	q := f.question(name, qtype)
	wire := append([]byte(nil), f.wire...)
	if len(wire) >= 2 {
		binary.BigEndian.PutUint16(wire, q.Id)
	}
	return f.parse(wire, q)
}

// ReadAnswer reads wire as the answer to questions about name: MX, A, AAAA, TXT and PTR.
func ReadAnswer(wire []byte, name string) {
	b := &fixed{wire: wire}
	for _, qtype := range []uint16{dns.TypeMX, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypePTR} {
		a, _ := resolve(context.Background(), b, name, qtype)
		a.exchanges()
		a.addrs()
		a.texts()
	}
}
