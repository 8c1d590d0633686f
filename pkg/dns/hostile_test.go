package dns_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"kumo/pkg/dns"
	"kumo/pkg/kumotest"
)

// asking makes a resolver that asks srv, within short times.
func asking(t testing.TB, mod func(*dns.Config), srv ...*kumotest.DNS) *dns.Resolver {
	t.Helper()
	var cfg dns.Config
	cfg.Options.Options = dns.DefaultLookupOptions()
	cfg.Options.Options.UseHostsFile = "Never"
	cfg.Limits.MXTimeout = 1500 * time.Millisecond
	for _, s := range srv {
		ns, err := dns.ParseNameServer(s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Options.NameServers = append(cfg.Options.NameServers, ns)
	}
	if mod != nil {
		mod(&cfg)
	}
	r, err := dns.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const good = "acme.test. 300 IN MX 10 mx.good.test."

// patient is for answers that take long to make.
func patient(c *dns.Config) { c.Limits.MXTimeout = 20 * time.Second }

// packed is the good answer, changed by mod.
func packed(q *kumotest.DNSQuery, mod func(*mdns.Msg)) []byte {
	m := q.Reply()
	m.Answer = append(m.Answer, kumotest.RR(good))
	if mod != nil {
		mod(m)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// raw is a hand-made message: the header of an answer to q with one question and one answer record, then tail.
func raw(q *kumotest.DNSQuery, tail ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, q.Msg.Id)
	b = append(b, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0)
	b = append(b, 4, 'a', 'c', 'm', 'e', 4, 't', 'e', 's', 't', 0, 0, 15, 0, 1)
	return append(b, tail...)
}

// mxRecord is the fixed part of an MX record of the name asked for, with a length and RDATA.
func mxRecord(rdlen int, rdata ...byte) []byte {
	b := []byte{0xc0, 12, 0, 15, 0, 1, 0, 0, 1, 44}
	return append(binary.BigEndian.AppendUint16(b, uint16(rdlen)), rdata...)
}

func repeat(n int, b ...byte) []byte { return slices.Repeat(b, n) }

// otherPort sends b to the asker from a port that was not asked.
func otherPort(q *kumotest.DNSQuery, b []byte) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(err)
	}
	_, _ = conn.WriteTo(b, q.From)
	_ = conn.Close()
}

func forge(m *mdns.Msg) { m.Answer = []mdns.RR{kumotest.RR("acme.test. 300 IN MX 1 evil.test.")} }

// hostile answers of a server or of somebody who pretends to be it (faults F90 to F95). want is the site, or
// "temporary" or "none".
var hostile = []struct {
	name   string
	answer func(q *kumotest.DNSQuery)
	want   string
}{
	{"good", func(q *kumotest.DNSQuery) { q.Send(packed(q, nil)) }, "mx.good.test"},
	{"wrong id first", func(q *kumotest.DNSQuery) {
		q.Send(packed(q, func(m *mdns.Msg) { forge(m); m.Id++ }))
		q.Send(packed(q, nil))
	}, "mx.good.test"},
	{"every other id first", func(q *kumotest.DNSQuery) {
		for i := range 200 {
			q.Send(packed(q, func(m *mdns.Msg) { forge(m); m.Id += uint16(i + 1) }))
		}
		q.Send(packed(q, nil))
	}, "mx.good.test"},
	{"wrong name first", func(q *kumotest.DNSQuery) {
		q.Send(packed(q, func(m *mdns.Msg) { forge(m); m.Question[0].Name = "other.test." }))
		q.Send(packed(q, nil))
	}, "mx.good.test"},
	{"wrong type first", func(q *kumotest.DNSQuery) {
		q.Send(packed(q, func(m *mdns.Msg) { forge(m); m.Question[0].Qtype = mdns.TypeA }))
		q.Send(packed(q, nil))
	}, "mx.good.test"},
	{"wrong class first", func(q *kumotest.DNSQuery) {
		q.Send(packed(q, func(m *mdns.Msg) { forge(m); m.Question[0].Qclass = mdns.ClassCHAOS }))
		q.Send(packed(q, nil))
	}, "mx.good.test"},
	{"two questions first", func(q *kumotest.DNSQuery) {
		q.Send(packed(q, func(m *mdns.Msg) { forge(m); m.Question = append(m.Question, m.Question[0]) }))
		q.Send(packed(q, nil))
	}, "mx.good.test"},
	{"no question first", func(q *kumotest.DNSQuery) {
		q.Send(packed(q, func(m *mdns.Msg) { forge(m); m.Question = nil }))
		q.Send(packed(q, nil))
	}, "mx.good.test"},
	{"a question instead of an answer first", func(q *kumotest.DNSQuery) {
		q.Send(packed(q, func(m *mdns.Msg) { forge(m); m.Response = false }))
		q.Send(packed(q, nil))
	}, "mx.good.test"},
	{"a notification first", func(q *kumotest.DNSQuery) {
		q.Send(packed(q, func(m *mdns.Msg) { forge(m); m.Opcode = mdns.OpcodeNotify }))
		q.Send(packed(q, nil))
	}, "mx.good.test"},
	{"other source port first", func(q *kumotest.DNSQuery) {
		if !q.TCP {
			otherPort(q, packed(q, forge))
		}
		q.Send(packed(q, nil))
	}, "mx.good.test"},
	{"only another source port", func(q *kumotest.DNSQuery) {
		if !q.TCP {
			otherPort(q, packed(q, forge))
		}
	}, "temporary"},
	{"short datagrams first", func(q *kumotest.DNSQuery) {
		for n := range 12 {
			q.Send(packed(q, nil)[:n])
		}
		q.Send(packed(q, nil))
	}, "mx.good.test"},
	{"records of other names", func(q *kumotest.DNSQuery) {
		q.Send(packed(q, func(m *mdns.Msg) {
			m.Answer = append(m.Answer, kumotest.RR("other.test. 300 IN MX 1 evil.test."), kumotest.RR("acme.test. 300 IN A 192.0.2.1"))
			m.Ns = append(m.Ns, kumotest.RR("acme.test. 300 IN MX 1 evil.test."))
			m.Extra = append(m.Extra, kumotest.RR("acme.test. 300 IN MX 1 evil.test."))
		}))
	}, "mx.good.test"},
	{"records of another class", func(q *kumotest.DNSQuery) {
		q.Send(packed(q, func(m *mdns.Msg) { m.Answer = append(m.Answer, kumotest.RR("acme.test. 300 CH MX 1 evil.test.")) }))
	}, "mx.good.test"},
	{"flood of strays", func(q *kumotest.DNSQuery) {
		b := packed(q, func(m *mdns.Msg) { forge(m); m.Id++ })
		for range 3000 {
			q.Send(b)
		}
	}, "temporary"},
	{"silence", func(*kumotest.DNSQuery) {}, "temporary"},
	{"SERVFAIL", func(q *kumotest.DNSQuery) { q.Fail(mdns.RcodeServerFailure) }, "temporary"},
	{"REFUSED", func(q *kumotest.DNSQuery) { q.Fail(mdns.RcodeRefused) }, "temporary"},
	{"NOTIMP", func(q *kumotest.DNSQuery) { q.Fail(mdns.RcodeNotImplemented) }, "temporary"},
	{"an rcode that nobody defined", func(q *kumotest.DNSQuery) { q.Fail(14) }, "temporary"},
	{"NXDOMAIN", func(q *kumotest.DNSQuery) { q.Fail(mdns.RcodeNameError) }, "none"},
	{"NODATA", func(q *kumotest.DNSQuery) { q.Answer() }, "acme.test"},
	{"null MX", func(q *kumotest.DNSQuery) { q.Answer("acme.test. 300 IN MX 0 .") }, "null"},
	{"null MX among others", func(q *kumotest.DNSQuery) { q.Answer("acme.test. 300 IN MX 0 .", good) }, "mx.good.test"},
	{"MX that is no host name", func(q *kumotest.DNSQuery) { q.Answer(`acme.test. 300 IN MX 0 a\032b\(.test.`, good) }, "mx.good.test"},
	{"only MX that are no host names", func(q *kumotest.DNSQuery) { q.Answer(`acme.test. 300 IN MX 0 a\032b\124.test.`) }, "temporary"},
	{"alias", func(q *kumotest.DNSQuery) {
		q.Answer("acme.test. 300 IN CNAME b.test.", "b.test. 300 IN MX 10 mx.good.test.")
	}, "mx.good.test"},
	{"alias in two answers", func(q *kumotest.DNSQuery) {
		if q.Name == "acme.test." {
			q.Answer("acme.test. 300 IN CNAME b.test.")
		} else {
			q.Answer(q.Name + " 300 IN MX 10 mx.good.test.")
		}
	}, "mx.good.test"},
	{"alias of nobody", func(q *kumotest.DNSQuery) {
		m := q.Reply()
		m.Rcode = mdns.RcodeNameError
		m.Answer = []mdns.RR{kumotest.RR("acme.test. 300 IN CNAME b.test.")}
		q.SendMsg(m)
	}, "none"},
	{"alias of itself", func(q *kumotest.DNSQuery) { q.Answer(q.Name + " 300 IN CNAME " + q.Name) }, "temporary"},
	{"aliases in a ring", func(q *kumotest.DNSQuery) {
		q.Answer("acme.test. 300 IN CNAME b.test.", "b.test. 300 IN CNAME acme.test.")
	}, "temporary"},
	{"8 aliases", func(q *kumotest.DNSQuery) { q.Answer(chain(8)...) }, "mx.good.test"},
	{"30 aliases", func(q *kumotest.DNSQuery) { q.Answer(chain(30)...) }, "temporary"},
	{"aliases without end, one at a time", func(q *kumotest.DNSQuery) { q.Answer(q.Name + " 300 IN CNAME x" + q.Name) }, "temporary"},
	{"compression pointer to itself", func(q *kumotest.DNSQuery) { q.Send(raw(q, 0xc0, 27, 0, 15, 0, 1, 0, 0, 1, 44, 0, 4, 0, 10, 0xc0, 12)) }, "temporary"},
	{"compression pointers in a ring", func(q *kumotest.DNSQuery) { q.Send(raw(q, mxRecord(6, 0, 10, 0xc0, 41, 0xc0, 39)...)) }, "temporary"},
	{"compression pointer beyond the end", func(q *kumotest.DNSQuery) { q.Send(raw(q, mxRecord(4, 0, 10, 0xff, 0xff)...)) }, "temporary"},
	{"compression pointer forward", func(q *kumotest.DNSQuery) { q.Send(raw(q, mxRecord(4, 0, 10, 0xc0, 43)...)) }, "temporary"},
	{"label of 64", func(q *kumotest.DNSQuery) {
		q.Send(raw(q, mxRecord(68, append([]byte{0, 10, 64}, append(repeat(64, 'a'), 0)...)...)...))
	}, "temporary"},
	{"name of 256", func(q *kumotest.DNSQuery) {
		q.Send(raw(q, mxRecord(2+257, append([]byte{0, 10}, append(repeat(128, 1, 'a'), 0)...)...)...))
	}, "temporary"},
	{"reserved label type", func(q *kumotest.DNSQuery) { q.Send(raw(q, mxRecord(5, 0, 10, 0x80, 'a', 0)...)) }, "temporary"},
	{"RDATA of length 0", func(q *kumotest.DNSQuery) { q.Send(raw(q, mxRecord(0)...)) }, "temporary"},
	{"RDATA of length 1", func(q *kumotest.DNSQuery) { q.Send(raw(q, mxRecord(1, 0)...)) }, "temporary"},
	{"RDATA of length 65535 that is not there", func(q *kumotest.DNSQuery) { q.Send(raw(q, mxRecord(65535, 0, 10)...)) }, "temporary"},
	{"65535 records that are not there", func(q *kumotest.DNSQuery) {
		b := packed(q, nil)
		b[6], b[7] = 0xff, 0xff
		q.Send(b)
	}, "temporary"},
	{"header only", func(q *kumotest.DNSQuery) { q.Send(packed(q, nil)[:12]) }, "temporary"},
	{"zeros", func(q *kumotest.DNSQuery) { q.Send(append(packed(q, nil)[:12], repeat(500, 0)...)) }, "temporary"},
	{"truncated, then nothing by TCP", func(q *kumotest.DNSQuery) {
		if !q.TCP {
			q.Send(packed(q, func(m *mdns.Msg) { m.Truncated = true }))
		}
	}, "temporary"},
	{"truncated, then TCP", func(q *kumotest.DNSQuery) {
		q.Send(packed(q, func(m *mdns.Msg) { m.Truncated = !q.TCP }))
	}, "mx.good.test"},
	{"truncated, then another question by TCP", func(q *kumotest.DNSQuery) {
		q.Send(packed(q, func(m *mdns.Msg) {
			m.Truncated = !q.TCP
			if q.TCP {
				m.Id++
			}
		}))
	}, "temporary"},
	{"truncated, then an empty TCP message", func(q *kumotest.DNSQuery) {
		if q.TCP {
			q.Send(nil)
		} else {
			q.Send(packed(q, func(m *mdns.Msg) { m.Truncated = true }))
		}
	}, "temporary"},
}

// chain is n aliases from acme.test and a good MX at their end.
func chain(n int) []string {
	records := []string{"acme.test. 300 IN CNAME c0.test."}
	for i := range n - 1 {
		records = append(records, fmt.Sprintf("c%d.test. 300 IN CNAME c%d.test.", i, i+1))
	}
	return append(records, fmt.Sprintf("c%d.test. 300 IN MX 10 mx.good.test.", n-1))
}

func TestHostileAnswers(t *testing.T) {
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := kumotest.NewDNS(t, tt.answer)
			r := asking(t, func(c *dns.Config) {
				if tt.want != "temporary" {
					patient(c)
				}
			}, srv)
			start := time.Now()
			mx, err := r.LookupMX(t.Context(), "acme.test")
			if took := time.Since(start); tt.want == "temporary" && took > 10*time.Second {
				t.Errorf("took %s", took)
			}
			got := "none"
			switch {
			case err == nil && mx.IsNull:
				got = "null"
			case err == nil:
				got = mx.Site
			case dns.IsTemporary(err):
				got = "temporary"
			}
			if got != tt.want {
				t.Errorf("got %s (%v), want %s", got, err, tt.want)
			}
		})
	}
}

// F93: 64 KiB of MX records by TCP: all are read, 50 are used, the best ones.
func TestManyMX(t *testing.T) {
	srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		m := q.Reply()
		if !q.TCP {
			m.Truncated = true
			q.SendMsg(m)
			return
		}
		for i := range 3200 {
			m.Answer = append(m.Answer, kumotest.RR(fmt.Sprintf("acme.test. 300 IN MX %d h%d.acme.test.", 4000-i, i)))
		}
		b, err := m.Pack()
		for err == nil && len(b) > 65535 {
			m.Answer = m.Answer[100:]
			b, err = m.Pack()
		}
		if err != nil {
			panic(err)
		}
		q.Send(b)
	})
	mx, err := asking(t, patient, srv).LookupMX(t.Context(), "acme.test")
	if err != nil {
		t.Fatal(err)
	}
	if len(mx.Hosts) != 50 || mx.ByPref[0].Value != 801 || mx.Hosts[0].Name != "h3199.acme.test." {
		t.Errorf("%d hosts, first %v", len(mx.Hosts), mx.Hosts[0])
	}
}

// F97: what SPF and DKIM ask for may be large; it is cut, never a crash.
func TestManyTexts(t *testing.T) {
	srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		m := q.Reply()
		if m.Truncated = !q.TCP; q.TCP {
			for range 240 {
				m.Answer = append(m.Answer, kumotest.RR(q.Name+` 300 IN TXT "`+strings.Repeat("x", 250)+`"`))
			}
		}
		q.SendMsg(m)
	})
	got, err := asking(t, patient, srv).LookupTXT(t.Context(), "acme.test")
	if err != nil || len(got) != 64 {
		t.Errorf("%d texts, %v", len(got), err)
	}
}

func TestManyAddresses(t *testing.T) {
	srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		m := q.Reply()
		if m.Truncated = !q.TCP; q.TCP {
			for i := range 1000 {
				m.Answer = append(m.Answer, kumotest.RR(fmt.Sprintf("%s 300 IN A 192.0.%d.%d", q.Name, i/256, i%256)))
			}
		}
		q.SendMsg(m)
	})
	got, err := asking(t, patient, srv).LookupIP(t.Context(), "acme.test", dns.Ipv4Only)
	if err != nil || len(got) != 32 {
		t.Errorf("%d addresses, %v", len(got), err)
	}
}

// F98.
func TestTTLIsClamped(t *testing.T) {
	for _, tt := range []struct {
		ttl  uint32
		want uint32
	}{{0, 1}, {1, 1}, {300, 300}, {86400, 86400}, {1<<31 - 1, 86400}, {1 << 31, 1}, {1<<32 - 1, 1}} {
		srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
			q.Send(packed(q, func(m *mdns.Msg) { m.Answer[0].Header().Ttl = tt.ttl }))
		})
		mx, err := asking(t, nil, srv).LookupMX(t.Context(), "acme.test")
		if err != nil || mx.TTL != tt.want {
			t.Errorf("TTL %d: %+v, %v, want %d", tt.ttl, mx, err, tt.want)
		}
	}
}

// Every query has an id and a port of its own, and neither can be guessed from the last one.
func TestQueriesAreUnpredictable(t *testing.T) {
	var mu sync.Mutex
	ids, ports := map[uint16]bool{}, map[string]bool{}
	srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		mu.Lock()
		ids[q.Msg.Id], ports[q.From.String()] = true, true
		mu.Unlock()
		q.Answer(q.Name + " 1 IN MX 10 mx.good.test.")
	})
	r := asking(t, nil, srv)
	for i := range 64 {
		if _, err := r.LookupMX(t.Context(), fmt.Sprintf("d%d.test", i)); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ids) < 60 || len(ports) < 48 {
		t.Errorf("%d ids and %d ports in 64 queries", len(ids), len(ports))
	}
}

func FuzzAnswer(f *testing.F) {
	q := &kumotest.DNSQuery{Msg: new(mdns.Msg).SetQuestion("acme.test.", mdns.TypeMX)}
	f.Add(packed(q, nil))
	f.Add(raw(q, mxRecord(6, 0, 10, 0xc0, 41, 0xc0, 39)...))
	f.Fuzz(func(_ *testing.T, wire []byte) { dns.ReadAnswer(wire, "acme.test.") })
}
