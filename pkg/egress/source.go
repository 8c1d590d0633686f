package egress

import (
	"net/netip"

	"kumo/pkg/option"
)

// Source is an egress source, the place that connections come from: kumo.make_egress_source.
type Source struct {
	// Name of the source, as pools and logs have it.
	Name string `opt:"name,required"`
	// Local address that connections are bound to. Unset: the kernel picks one.
	SourceAddress netip.Addr `opt:"source_address"`
	// Port to connect to. Goes before the port of a host and before smtp_port of the path.
	RemotePort uint16 `opt:"remote_port,min=1,max=65535"`
	// Name for EHLO, unless the path has an ehlo_domain.
	EhloDomain string `opt:"ehlo_domain"`
	// How long this definition is used before policy is asked again.
	TTL option.Duration `opt:"ttl,default=60s"`
}

// Pool is a set of sources with weights: kumo.make_egress_pool.
type Pool struct {
	// Name of the pool, as queues and logs have it.
	Name string `opt:"name,required"`
	// The sources of the pool. May be empty: then mail of the pool waits.
	Entries []PoolEntry `opt:"entries,required"`
	// How long this definition is used before policy is asked again.
	TTL option.Duration `opt:"ttl,default=60s"`
}

// PoolEntry is one source of a pool.
type PoolEntry struct {
	// Name of the egress source.
	Name string `opt:"name,required"`
	// Share of the mail that this source gets, relative to the others. 0: none.
	Weight uint32 `opt:"weight,default=1"`
}

// Unspecified is the reserved name of the pool, and of its only source, that have no settings and are not looked
// up: the pool of queues that name none.
const Unspecified = "unspecified"
