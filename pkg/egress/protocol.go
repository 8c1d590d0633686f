package egress

import (
	"net/netip"
	"slices"
	"strings"

	"kumo/pkg/dns"
	"kumo/pkg/option"
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
	// "[address]", "[address]:port" or a table of name and addr. Names are looked up for A and AAAA only.
	MXList []MXEntry `opt:"mx_list,since=2023.08.22-4d895015"`
}

// equal compares without allocation.
func (p *Protocol) equal(q *Protocol) bool { return slices.Equal(p.SMTP.MXList, q.SMTP.MXList) }

// site is the site of an mx_list: "mx_list:a,b"; "" when there is none. An address that the operator gave for a name
// stands behind it: two lists that share names and not addresses must not share a ready queue.
func (p *Protocol) site() string {
	if len(p.SMTP.MXList) == 0 {
		return ""
	}
	labels := make([]string, len(p.SMTP.MXList))
	for i, e := range p.SMTP.MXList {
		labels[i] = e.Label
		if e.Host.Name != "" && e.Host.Addr.IsValid() {
			labels[i] += "/" + e.Host.Addr.String()
		}
	}
	return "mx_list:" + strings.Join(labels, ",")
}

// mx is an mx_list as an MX: each host is a level of its own, so that the order stays.
func (p *Protocol) mx(domain string) *dns.MX {
	mx := &dns.MX{Domain: domain, Site: p.site()}
	for i, e := range p.SMTP.MXList {
		mx.Hosts = append(mx.Hosts, e.Host)
		mx.ByPref = append(mx.ByPref, dns.Pref{Value: uint16(min(i, 65535)), Hosts: []dns.Host{e.Host}})
	}
	return mx
}

// MXEntry is one host of mx_list. Label is what the operator wrote, the name of a table: the site name has it.
// Host.Addr is valid for a literal and where the operator gave an address; Host.Port is 0 where none was written.
type MXEntry struct {
	Label string
	Host  dns.Host
}

// mxTable is the table form of an MXEntry.
type mxTable struct {
	// Name of the host, for logs and for its certificate.
	Name string `opt:"name,required"`
	// Its address.
	Addr netip.Addr `opt:"addr,required"`
}

// mxSchema is immutable and costly to make.
var mxSchema = option.SchemaOf[mxTable]()

// ParseMXEntry reads the text form.
func ParseMXEntry(s string) (MXEntry, error) {
	h, err := dns.ParseHost(s)
	return MXEntry{Label: strings.ToLower(strings.TrimSuffix(s, ".")), Host: h}, err
}

// DecodeOption reads either form.
func (e *MXEntry) DecodeOption(v any) error {
	const expected = `a host such as "mx.example.com", "mx.example.com:25" or "[10.0.0.1]"`
	if s, ok := v.(string); ok {
		parsed, err := ParseMXEntry(s)
		if err != nil {
			return option.InvalidValue(v, expected)
		}
		*e = parsed
		return nil
	}
	m, ok := option.Map(v)
	if !ok {
		return option.InvalidType(v, expected+", or a table of name and addr")
	}
	res, err := mxSchema.Resolve("mx_list", option.NewLayer(m, option.Origin{}))
	if err != nil {
		return err
	}
	parsed, err := ParseMXEntry(res.Value.Name)
	if err != nil {
		return option.InvalidValue(res.Value.Name, "a host name")
	}
	parsed.Host.Addr = res.Value.Addr.Unmap()
	*e = parsed
	return nil
}

// EncodeOption is the text form, or the table.
func (e MXEntry) EncodeOption() any {
	if e.Host.Name != "" && e.Host.Addr.IsValid() {
		return map[string]any{"name": e.Label, "addr": e.Host.Addr.String()}
	}
	return e.Label
}

// OptionType names the type in the manual.
func (*MXEntry) OptionType() string { return "host" }
