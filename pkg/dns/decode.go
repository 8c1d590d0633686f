package dns

import (
	"cmp"
	"fmt"

	"kumo/pkg/option"
)

// serverTable is NameServer without its DecodeOption: what the detailed form declares.
type serverTable NameServer

// Schemas are immutable and costly to make.
var (
	serverSchema  = option.SchemaOf[serverTable]()
	lookupSchema  = option.SchemaOf[LookupOptions]()
	defaultLookup = lookupSchema.Default()
	defaultServer = NameServer(serverSchema.Default())
)

// DecodeOption reads "IP", "IP:PORT" or the detailed form.
func (ns *NameServer) DecodeOption(v any) error {
	if s, ok := v.(string); ok {
		parsed, err := ParseNameServer(s)
		if err != nil {
			return option.InvalidValue(v, `a name server such as "10.0.0.1:53"`)
		}
		*ns = parsed
		return nil
	}
	m, ok := option.Map(v)
	if !ok {
		return option.InvalidType(v, "a name server: text or a table with socket_addr")
	}
	m = withPort(m)
	res, err := serverSchema.Resolve("name_servers", option.NewLayer(m, option.Origin{}))
	if err != nil {
		return err
	}
	*ns = NameServer(res.Value)
	return nil
}

// withPort is m with port 53 added to a socket_addr that has none.
func withPort(m map[string]any) map[string]any {
	s, _ := m["socket_addr"].(string)
	ns, err := ParseNameServer(s)
	if err != nil {
		return m
	}
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	out["socket_addr"] = ns.SocketAddr.String()
	return out
}

// EncodeOption is the short form where that says everything, else the table.
func (ns NameServer) EncodeOption() any {
	short := defaultServer
	short.SocketAddr = ns.SocketAddr
	if ns == short {
		return ns.SocketAddr.String()
	}
	m := map[string]any{
		"socket_addr":              ns.SocketAddr.String(),
		"protocol":                 ns.Protocol,
		"trust_negative_responses": ns.TrustNegativeResponses,
	}
	if ns.BindAddr.IsValid() {
		m["bind_addr"] = ns.BindAddr.String()
	}
	return m
}

// OptionType names the type in the manual.
func (*NameServer) OptionType() string { return "name server" }

// Check refuses bounds that exclude each other.
func (o *LookupOptions) Check() error {
	if o.NegativeMaxTTL > 0 && o.NegativeMinTTL > o.NegativeMaxTTL {
		return fmt.Errorf("negative_min_ttl is above negative_max_ttl")
	}
	if o.PositiveMaxTTL > 0 && o.PositiveMinTTL > o.PositiveMaxTTL {
		return fmt.Errorf("positive_min_ttl is above positive_max_ttl")
	}
	return nil
}

// Check refuses to have nobody to ask, and checks the nested options.
func (o *ResolverOptions) Check() error {
	if len(o.NameServers) == 0 {
		return errNoServers
	}
	return o.Options.Check()
}

// Check refuses zones that cannot be read.
func (o *TestResolverOptions) Check() error {
	_, err := newZones(*o)
	return err
}

// orDefault takes options that nobody touched for the defaults, and fills in what cannot be zero.
func (o LookupOptions) orDefault() LookupOptions {
	hosts := o.UseHostsFile
	o.UseHostsFile = ""
	if o == (LookupOptions{}) {
		o = defaultLookup
	}
	o.Timeout = cmp.Or(o.Timeout, defaultLookup.Timeout)
	o.CacheSize = cmp.Or(o.CacheSize, defaultLookup.CacheSize)
	o.UseHostsFile = hosts
	return o
}

// DefaultLookupOptions is the options table when nothing is set.
func DefaultLookupOptions() LookupOptions { return defaultLookup }
