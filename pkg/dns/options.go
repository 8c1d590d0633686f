package dns

import (
	"net/netip"

	"kumo/pkg/option"
)

// IPStrategy is an ip_lookup_strategy: which address families of a host are used, in which order.
type IPStrategy string

const (
	Ipv4AndIpv6  IPStrategy = "Ipv4AndIpv6"  // both, IPv4 first
	Ipv4Only     IPStrategy = "Ipv4Only"     // A records only
	Ipv6Only     IPStrategy = "Ipv6Only"     // AAAA records only
	Ipv6ThenIpv4 IPStrategy = "Ipv6ThenIpv4" // AAAA; A where there is none
	Ipv4ThenIpv6 IPStrategy = "Ipv4ThenIpv6" // A; AAAA where there is none
)

// ResolverOptions is kumo.dns.configure_resolver.
type ResolverOptions struct {
	// Servers to ask: "IP", "IP:PORT" or a table of socket_addr, protocol, trust_negative_responses and
	// bind_addr.
	NameServers []NameServer `opt:"name_servers,required"`
	// Local domain. Accepted for KumoMTA's sake and never appended: every name is asked for as fully qualified.
	Domain string `opt:"domain"`
	// Search domains. Accepted for KumoMTA's sake and never appended, as domain.
	Search []string `opt:"search"`
	// How to ask.
	Options LookupOptions `opt:"options"`
}

// NameServer is one server to ask.
type NameServer struct {
	// IP address and port, 53 if none is given.
	SocketAddr netip.AddrPort `opt:"socket_addr,required"`
	// Transports: udp (a truncated answer is then an error), tcp, or udp_then_tcp.
	Protocol string `opt:"protocol,default=udp_then_tcp,enum=udp|tcp|udp_then_tcp"`
	// Believe this server when it says that a name does not exist; otherwise the other servers are asked too.
	TrustNegativeResponses bool `opt:"trust_negative_responses,default=true"`
	// Local address (and port, 0 for any) that questions are sent from.
	BindAddr netip.AddrPort `opt:"bind_addr"`
}

// LookupOptions is the options table of kumo.dns.configure_resolver.
type LookupOptions struct {
	// How long one server may take to answer one question.
	Timeout option.Duration `opt:"timeout,default=5s,since=2025.03.19-1d3f1f67"`
	// How often to ask again after all servers failed.
	Attempts int `opt:"attempts,default=2,min=0,max=10,since=2025.03.19-1d3f1f67"`
	// How many answers other than MX and addresses (TXT, PTR) are kept.
	CacheSize int `opt:"cache_size,default=8192,min=1,since=2025.03.19-1d3f1f67"`
	// Mix the letter case of names at random and require answers to repeat it: harder to forge.
	CaseRandomization bool `opt:"case_randomization,default=false,since=2025.05.06-b29689af"`
	// Offer to take UDP answers of more than 512 bytes (RFC 6891).
	EDNS0 bool `opt:"edns0,default=true,since=2025.03.19-1d3f1f67"`
	// Upper bound of the time that "there is no such record" is believed.
	NegativeMaxTTL option.Duration `opt:"negative_max_ttl,since=2025.03.19-1d3f1f67"`
	// Lower bound of the same.
	NegativeMinTTL option.Duration `opt:"negative_min_ttl,since=2025.03.19-1d3f1f67"`
	// How many servers are asked at once; 0 and 1 mean one after the other.
	NumConcurrentReqs int `opt:"num_concurrent_reqs,default=2,min=0,max=16,since=2025.03.19-1d3f1f67"`
	// Upper bound of the time that an answer is used.
	PositiveMaxTTL option.Duration `opt:"positive_max_ttl,since=2025.03.19-1d3f1f67"`
	// Lower bound of the same.
	PositiveMinTTL option.Duration `opt:"positive_min_ttl,since=2025.03.19-1d3f1f67"`
	// Ask servers to recurse; off when the servers are authoritative.
	RecursionDesired bool `opt:"recursion_desired,default=true,since=2025.03.19-1d3f1f67"`
	// Which server is asked first: the one that answered best of late, each in turn, or the first listed.
	ServerOrderingStrategy string `opt:"server_ordering_strategy,default=QueryStatistics,enum=QueryStatistics|RoundRobin|UserProvidedOrder,since=2025.03.19-1d3f1f67"`
	// Ask by TCP when asking by UDP failed, before going on to the next server.
	TryTCPOnError bool `opt:"try_tcp_on_error,default=false,since=2025.03.19-1d3f1f67"`
	// Whether names in the hosts file and localhost need no DNS. Auto is Always here.
	UseHostsFile string `opt:"use_hosts_file,default=Auto,enum=Always|Auto|Never,since=2025.03.19-1d3f1f67"`
}
