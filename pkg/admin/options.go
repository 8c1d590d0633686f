package admin

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"kumo/pkg/option"
)

// ListenerOptions are those of kumo.start_http_listener.
type ListenerOptions struct {
	// Address and port to listen on; port 0 lets the system choose one.
	Listen string `opt:"listen,default=127.0.0.1:8000"`
	// Name of this host, which requests may use in their Host header; the system's own name when empty. Addresses and
	// "localhost" are always accepted.
	Hostname string `opt:"hostname"`
	// Peers that may see more than liveness, as addresses and blocks. Only the address of the TCP connection counts.
	TrustedHosts option.CIDRSet `opt:"trusted_hosts,default=127.0.0.1|::1"`
	// Bytes that the body of a request may have. A larger one is answered with 413.
	RequestBodyLimit option.Size `opt:"request_body_limit,default=2097152,min=0"`
}

// Check refuses an address that nobody can listen on, and a host name that cannot stand in a header.
func (o *ListenerOptions) Check() error {
	_, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return fmt.Errorf("listen: %q: want an address and a port, such as 127.0.0.1:8000", o.Listen)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("listen: %q: the port %q is not a number from 0 to %d", o.Listen, port, n)
	}
	if strings.ContainsFunc(o.Hostname, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }) {
		return fmt.Errorf("hostname: %q is not a host name", o.Hostname)
	}
	return nil
}
