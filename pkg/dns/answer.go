package dns

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Bounds on what one lookup may make us do and keep.
const (
	maxCNAMEs  = 8  // links of an alias chain
	maxHosts   = 50 // MX hosts that are used, best preference first
	maxAddrs   = 32 // addresses of one name that are used
	maxStrings = 64 // TXT or PTR records of one name that are used
)

// backend answers single questions: the network, or zones in memory. The name is fully qualified and in lower
// case. The message answers exactly that question; rcodes other than NOERROR and NXDOMAIN come as errors.
type backend interface {
	ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error)
}

// answer is what the records of one name and type came to, at the end of its aliases.
type answer struct {
	rrs []dns.RR
	ttl uint32 // smallest of the chain and of the records, or what the SOA says of "there is none"
}

var errChain = fmt.Errorf("more than %d aliases (CNAME) in a row", maxCNAMEs)

// resolve asks for name and follows its aliases. The error is *Error; with NotFound and NoData the answer holds
// the time for which that may be believed.
func resolve(ctx context.Context, b backend, name string, qtype uint16) (answer, error) {
	fail := func(kind Kind, cause error) *Error {
		return &Error{Name: strings.TrimSuffix(name, "."), Type: dns.TypeToString[qtype], Kind: kind, Cause: cause}
	}
	a := answer{ttl: 1<<31 - 1}
	links, at := 0, name
	for {
		msg, err := b.ask(ctx, at, qtype)
		if err != nil {
			return a, fail(Temporary, err)
		}
		end, n := a.follow(msg, at, qtype, maxCNAMEs-links)
		links += n
		switch {
		case len(a.rrs) > 0:
			return a, nil
		case links >= maxCNAMEs:
			return a, fail(Temporary, errChain)
		case msg.Rcode == dns.RcodeNameError:
			a.negative(msg)
			return a, fail(NotFound, nil)
		case n == 0 || hasSOA(msg):
			a.negative(msg)
			return a, fail(NoData, nil)
		}
		at = end
	}
}

// follow walks from name along at most limit aliases in msg and takes the records at the end. It returns where it
// ended and the links that it took.
func (a *answer) follow(msg *dns.Msg, name string, qtype uint16, limit int) (end string, links int) {
	for {
		if a.take(msg, name, qtype); len(a.rrs) > 0 || links == limit {
			return name, links
		}
		next, ttl, ok := alias(msg, name)
		if !ok {
			return name, links
		}
		name, links = next, links+1
		a.limit(ttl)
	}
}

// take collects the records of name. Whatever else an answer holds is of no interest.
func (a *answer) take(msg *dns.Msg, name string, qtype uint16) {
	for _, rr := range msg.Answer {
		h := rr.Header()
		if h.Rrtype == qtype && h.Class == dns.ClassINET && strings.EqualFold(h.Name, name) {
			a.rrs = append(a.rrs, rr)
			a.limit(h.Ttl)
		}
	}
}

func alias(msg *dns.Msg, name string) (next string, ttl uint32, ok bool) {
	for _, rr := range msg.Answer {
		if c, is := rr.(*dns.CNAME); is && strings.EqualFold(c.Hdr.Name, name) {
			return strings.ToLower(c.Target), c.Hdr.Ttl, true
		}
	}
	return "", 0, false
}

// limit lowers the TTL. Values with the top bit set count as 0 (RFC 2181 8).
func (a *answer) limit(ttl uint32) {
	if ttl > 1<<31-1 {
		ttl = 0
	}
	a.ttl = min(a.ttl, ttl)
}

// negative takes the time that a negative answer may be believed (RFC 2308 5).
func (a *answer) negative(msg *dns.Msg) {
	for _, rr := range msg.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			a.limit(soa.Hdr.Ttl)
			a.limit(soa.Minttl)
			return
		}
	}
	a.ttl = 0
}

func hasSOA(msg *dns.Msg) bool {
	return slices.ContainsFunc(msg.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA })
}

func (a *answer) duration() time.Duration { return time.Duration(a.ttl) * time.Second }

// addrs are the addresses of A or AAAA records, each once, at most maxAddrs.
func (a *answer) addrs() []netip.Addr {
	out := make([]netip.Addr, 0, min(len(a.rrs), maxAddrs))
	for _, rr := range a.rrs {
		var ip []byte
		switch r := rr.(type) {
		case *dns.A:
			ip = r.A.To4()
		case *dns.AAAA:
			ip = r.AAAA.To16()
		}
		addr, ok := netip.AddrFromSlice(ip)
		if ok && !slices.Contains(out, addr) && len(out) < maxAddrs {
			out = append(out, addr)
		}
	}
	return out
}

// texts are TXT records, the strings of each joined (RFC 7208 3.3), or the names of PTR records.
func (a *answer) texts() []string {
	var out []string
	for _, rr := range a.rrs {
		if len(out) == maxStrings {
			break
		}
		switch r := rr.(type) {
		case *dns.TXT:
			out = append(out, unescape(strings.Join(r.Txt, "")))
		case *dns.PTR:
			out = append(out, strings.ToLower(r.Ptr))
		}
	}
	return out
}

// unescape undoes the presentation form that the library keeps TXT strings in (RFC 1035 5.1).
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			c = s[i]
			if i+2 < len(s) && isDigit(s[i]) && isDigit(s[i+1]) && isDigit(s[i+2]) {
				c = (s[i]-'0')*100 + (s[i+1]-'0')*10 + (s[i+2] - '0')
				i += 2
			}
		}
		b = append(b, c)
	}
	return string(b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// exchanges builds MX hosts from MX records: by preference, then by name, each once, at most maxHosts. null reports
// that only "." is there (RFC 7505 3). Targets that cannot be host names are left out.
func (a *answer) exchanges() (prefs []Pref, null bool) {
	type host struct {
		pref uint16
		name string
	}
	var list []host
	for _, rr := range a.rrs {
		mx, ok := rr.(*dns.MX)
		if !ok {
			continue
		}
		if mx.Mx == "." {
			null = true
		} else if name, err := Canonical(mx.Mx); err == nil {
			list = append(list, host{mx.Preference, name + "."})
		}
	}
	slices.SortFunc(list, func(a, b host) int {
		if a.pref != b.pref {
			return int(a.pref) - int(b.pref)
		}
		return strings.Compare(a.name, b.name)
	})
	list = slices.Compact(list)
	for _, h := range list[:min(len(list), maxHosts)] {
		if n := len(prefs); n == 0 || prefs[n-1].Value != h.pref {
			prefs = append(prefs, Pref{Value: h.pref})
		}
		last := &prefs[len(prefs)-1]
		last.Hosts = append(last.Hosts, Host{Name: h.name})
	}
	return prefs, null && len(list) == 0
}
