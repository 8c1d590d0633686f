package dns

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// target is a routing domain taken apart.
type target struct {
	name string     // canonical: lower case A-labels without root dot; "" for a literal
	addr netip.Addr // of a literal
	port uint16     // 0 when none was written
}

var (
	errEmptyName = errors.New("the name is empty")
	errLabel     = errors.New("a label is empty or longer than 63 bytes (RFC 1035 2.3.4)")
	errTooLong   = errors.New("the name is longer than 253 bytes (RFC 1035 2.3.4)")
	errChar      = errors.New("only letters, digits, hyphen and underscore make a host name (RFC 1123 2.1)")
	errPort      = errors.New("the port is not a number from 1 to 65535")
	errLiteral   = errors.New("the brackets hold no IP address (RFC 5321 4.1.3)")
)

// parseTarget reads "example.com", "example.com:25", "[10.0.0.1]", "[IPv6:::1]", "[::1]" and the same with a port.
func parseTarget(s string) (target, error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	var t target
	host, port, ok := strings.Cut(s, ":")
	if ok {
		n, err := parsePort(port)
		if err != nil {
			return t, err
		}
		t.port = n
	}
	name, err := Canonical(host)
	t.name = name
	return t, err
}

func parseLiteral(s string) (target, error) {
	var t target
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return t, errLiteral
	}
	inside, rest := s[1:end], s[end+1:]
	if len(inside) > 5 && strings.EqualFold(inside[:5], "IPv6:") {
		inside = inside[5:]
	}
	addr, err := netip.ParseAddr(inside)
	if err != nil || addr.Zone() != "" {
		return t, errLiteral
	}
	t.addr = addr.Unmap()
	if rest == "" {
		return t, nil
	}
	port, ok := strings.CutPrefix(rest, ":")
	if !ok {
		return t, errLiteral
	}
	t.port, err = parsePort(port)
	return t, err
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, errPort
	}
	return uint16(n), nil
}

// ParseHost reads one host of an mx_list: "host", "host:port", "[address]" or "[address]:port". The name comes back
// as A-labels in lower case with its root dot. An IPv4 address is taken without brackets, too: no host has such a
// name, and an operator who writes one means the address.
func ParseHost(s string) (Host, error) {
	if bare, err := netip.ParseAddrPort(s); err == nil && bare.Addr().Is4() && bare.Port() > 0 {
		return Host{Addr: bare.Addr(), Port: bare.Port()}, nil
	}
	if bare, err := netip.ParseAddr(s); err == nil && bare.Is4() {
		return Host{Addr: bare}, nil
	}
	t, err := parseTarget(s)
	if err != nil {
		return Host{}, &Error{Name: s, Kind: Invalid, Cause: err}
	}
	h := Host{Port: t.port, Addr: t.addr}
	if t.name != "" {
		h.Name = t.name + "."
	}
	return h, nil
}

// Canonical is the one spelling of a domain that is used for asking and comparing: A-labels (RFC 5890) in lower
// case, without the root dot.
func Canonical(name string) (string, error) {
	name = strings.TrimSuffix(name, ".")
	if !isASCII(name) {
		a, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return "", err
		}
		name = a
	}
	if err := checkName(name); err != nil {
		return "", err
	}
	return strings.ToLower(name), nil
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// checkName tells whether an ASCII name without root dot can be a host or a domain.
func checkName(name string) error {
	if name == "" {
		return errEmptyName
	}
	if len(name) > 253 {
		return errTooLong
	}
	label := 0
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c == '.':
			if label == 0 {
				return errLabel
			}
			label = 0
			continue
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return errChar
		}
		if label++; label > 63 {
			return errLabel
		}
	}
	if label == 0 {
		return errLabel
	}
	return nil
}
