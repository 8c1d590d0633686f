package egress

import (
	"net/netip"
)

// Protocol is how messages of a queue are delivered: make_queue_config's protocol. The zero value is SMTP to the
// MX of the queue's domain.
type Protocol struct {
	// Delivery by SMTP.
	SMTP SMTPProtocol `opt:"smtp"`
}

// SMTPProtocol is protocol.smtp.
type SMTPProtocol struct {
	// Hosts to deliver to, in this order, instead of the MX of the domain. Each is "host", "host:port",
	// "[address]", "[address]:port" or a table of name and addr.
	MXList []MXEntry `opt:"mx_list,since=2023.08.22-4d895015"`
}

// MXEntry is one host of mx_list. Addr is valid for a literal and where the operator gave one; else the name's
// A and AAAA records are looked up. Port is 0 where none was written.
type MXEntry struct {
	Name string
	Addr netip.Addr
	Port uint16
}
