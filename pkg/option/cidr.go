package option

import (
	"net/netip"
	"slices"
	"strings"
)

// CIDRSet is a set of IP addresses, given as a list of addresses and CIDR blocks. The host bits of a block must be
// zero. IPv4 addresses written as IPv6 (::ffff:192.0.2.1) are IPv4. The zero value contains nothing.
type CIDRSet struct {
	prefixes []netip.Prefix // as given
	ranges   []addrRange    // sorted, joined where they touch or overlap
}

type addrRange struct{ from, to netip.Addr }

// ParseCIDR reads one address or CIDR block.
func ParseCIDR(s string) (netip.Prefix, error) {
	const expected = "an IP address or a CIDR block"
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, InvalidValue(s, expected)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, InvalidValue(s, expected)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if m := p.Masked(); m != p {
		e := InvalidValue(s, "a CIDR block whose host bits are zero")
		e.Hint = "did you mean " + m.String() + "?"
		return netip.Prefix{}, e
	}
	return p, nil
}

// CIDRs makes a set; the texts are those of ParseCIDR.
func CIDRs(texts ...string) (CIDRSet, error) {
	prefixes := make([]netip.Prefix, 0, len(texts))
	for _, s := range texts {
		p, err := ParseCIDR(s)
		if err != nil {
			return CIDRSet{}, err
		}
		prefixes = append(prefixes, p)
	}
	return CIDRsOf(prefixes...), nil
}

// CIDRsOf makes a set of prefixes; host bits are ignored.
func CIDRsOf(prefixes ...netip.Prefix) CIDRSet {
	s := CIDRSet{prefixes: prefixes}
	for _, p := range prefixes {
		if p.IsValid() {
			s.ranges = append(s.ranges, addrRange{p.Masked().Addr(), lastOf(p)})
		}
	}
	slices.SortFunc(s.ranges, func(a, b addrRange) int { return a.from.Compare(b.from) })
	joined := s.ranges[:0]
	for _, r := range s.ranges {
		if n := len(joined); n > 0 && touches(joined[n-1], r) {
			if joined[n-1].to.Less(r.to) {
				joined[n-1].to = r.to
			}
			continue
		}
		joined = append(joined, r)
	}
	s.ranges = joined
	return s
}

// touches tells that b, which does not start before a, can be joined to it.
func touches(a, b addrRange) bool {
	return a.to.BitLen() == b.from.BitLen() && (!a.to.Less(b.from) || a.to.Next() == b.from)
}

// lastOf is the last address of a block.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Contains tells whether a is in the set. It allocates nothing and takes logarithmic time.
func (s CIDRSet) Contains(a netip.Addr) bool {
	a = a.Unmap()
	if a.Zone() != "" {
		a = a.WithZone("")
	}
	lo, hi := 0, len(s.ranges)
	for lo < hi {
		m := int(uint(lo+hi) / 2)
		switch {
		case a.Less(s.ranges[m].from):
			hi = m
		case s.ranges[m].to.Less(a):
			lo = m + 1
		default:
			return true
		}
	}
	return false
}

// IsEmpty tells that the set contains nothing.
func (s CIDRSet) IsEmpty() bool { return len(s.ranges) == 0 }

// Prefixes are the blocks as they were given; do not change them.
func (s CIDRSet) Prefixes() []netip.Prefix { return s.prefixes }

// DecodeOption reads a list of addresses and blocks.
func (s *CIDRSet) DecodeOption(v any) error {
	const expected = "a list of IP addresses and CIDR blocks"
	list, ok := List(v)
	if !ok {
		return InvalidType(v, expected)
	}
	texts := make([]string, len(list))
	for i, x := range list {
		if texts[i], ok = x.(string); !ok {
			return InvalidType(x, expected)
		}
	}
	set, err := CIDRs(texts...)
	if err == nil {
		*s = set
	}
	return err
}

// String lists the set: "127.0.0.0/8, ::1".
func (s CIDRSet) String() string { return strings.Join(s.texts(), ", ") }

func (s CIDRSet) texts() []string {
	out := make([]string, len(s.prefixes))
	for i, p := range s.prefixes {
		out[i] = p.String()
		if p.IsSingleIP() {
			out[i] = p.Addr().String()
		}
	}
	return out
}

// EncodeOption is the list of texts.
func (s CIDRSet) EncodeOption() any {
	out := make([]any, len(s.prefixes))
	for i, t := range s.texts() {
		out[i] = t
	}
	return out
}

// OptionType names the type in the manual.
func (s *CIDRSet) OptionType() string { return "list of ip or cidr" }
