package dns

import (
	"net/netip"
	"time"
)

// Host is one mail host of an MX set. Name is lower case with the trailing dot ("" for a literal); Port is 0
// unless the operator wrote one; Addr is set for address literals and for mx_list entries that give an address.
type Host struct {
	Name string
	Port uint16
	Addr netip.Addr
}

// MX is the answer to "which hosts take mail for this domain". It is shared: nobody changes one.
type MX struct {
	Domain    string    // the name asked for, fully qualified: "example.com."; a literal as it was written
	ByPref    []Pref    // hosts by ascending preference, alphabetical inside a level
	Site      string    // site name (semantics: the roll-up of the hosts in order)
	IsMX      bool      // false: no MX record, the domain's own address is used; or a literal
	IsLiteral bool      // an address literal such as [10.0.0.1]
	IsNull    bool      // RFC 7505: the domain takes no mail
	TTL       uint32    // seconds for which this answer may be used, within the resolver's bounds
	Expires   time.Time // when that time is over; zero: never
	Hosts     []Host    // all hosts, in the order of ByPref
}

// Pref is one preference level.
type Pref struct {
	Value uint16
	Hosts []Host
}
