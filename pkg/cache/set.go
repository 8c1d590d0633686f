package cache

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"kumo/pkg/metric"
)

// defaultCapacities are KumoMTA's caches and their sizes.
var defaultCapacities = [...]struct {
	name string
	size int
}{
	{"acl_check", 128},
	{"acl_definition", 128},
	{"dkim_key_cache", 1024},
	{"dkim_signer_cache", 1024},
	{"dns_resolver_ip", 1024},
	{"dns_resolver_ipv4", 1024},
	{"dns_resolver_ipv6", 1024},
	{"dns_resolver_mx", 65536},
	{"egress_source_pools", 128},
	{"egress_source_sources", 128},
	{"http_server_auth", 128},
	{"mod_filesystem_glob_cache", 32},
	{"mta_sts_policy", 65536},
	{"rustls_client_config", 32},
	{"smtp_dispatcher_broken_tls", 65536},
	{"smtp_dispatcher_client_certificate", 1024},
	{"smtp_server_tls_config", 128},
}

// DefaultCapacity is the size of one of KumoMTA's caches; false when it has none of that name.
func DefaultCapacity(name string) (int, bool) {
	for _, c := range defaultCapacities {
		if c.name == name {
			return c.size, true
		}
	}
	return 0, false
}

// Names are KumoMTA's cache names, which SetCapacity always knows.
func Names() []string {
	names := make([]string, len(defaultCapacities))
	for i, c := range defaultCapacities {
		names[i] = c.name
	}
	return names
}

// Stats is what one cache holds and did.
type Stats struct {
	Name      string `json:"name"`
	Capacity  int    `json:"capacity"`
	Len       int    `json:"len"`
	Waiting   int    `json:"waiting"`   // callers that wait for somebody else's load
	Hits      uint64 `json:"hits"`      // lookups that found something
	Misses    uint64 `json:"misses"`    // lookups that did not
	Inserts   uint64 `json:"inserts"`   // values put
	Evicted   uint64 `json:"evicted"`   // dropped for want of room
	Expired   uint64 `json:"expired"`   // dropped because their time ran out
	Populated uint64 `json:"populated"` // loads
	Errors    uint64 `json:"errors"`    // loads that failed
}

func (st *Stats) add(c *counts) {
	st.Hits += c.hit
	st.Misses += c.miss
	st.Inserts += c.insert
	st.Evicted += c.evict
	st.Expired += c.expire
	st.Populated += c.populated
	st.Errors += c.errors
}

// member is a Cache without its types.
type member interface {
	Stats() Stats
	Purge()
	Resize(capacity int)
}

// Set is all the caches of a process.
type Set struct {
	now   func() time.Time
	mu    sync.Mutex
	all   map[string][]member
	sizes map[string]int // set by name, also before the cache was made
}

// NewSet makes an empty set whose caches are measured in reg, which may be nil. now is the clock; nil is time.Now.
func NewSet(reg *metric.Registry, now func() time.Time) *Set {
	if now == nil {
		now = time.Now
	}
	s := &Set{now: now, all: map[string][]member{}, sizes: map[string]int{}}
	s.measure(reg)
	return s
}

func (s *Set) add(c member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := c.Stats().Name
	s.all[name] = append(s.all[name], c)
	if n, ok := s.sizes[name]; ok {
		c.Resize(n)
	}
}

// SetCapacity changes the size of a cache, now or when it is made. The name has to be one of KumoMTA's or that of a
// cache that exists.
func (s *Set) SetCapacity(name string, capacity int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := DefaultCapacity(name); !ok && s.all[name] == nil {
		return fmt.Errorf("set cache capacity: no cache is named %q; there are %s", name, strings.Join(s.names(), ", "))
	}
	if capacity < 0 {
		return fmt.Errorf("set cache capacity: %s: %d is below zero", name, capacity)
	}
	s.sizes[name] = capacity
	for _, c := range s.all[name] {
		c.Resize(capacity)
	}
	return nil
}

// names are all names that SetCapacity accepts.
func (s *Set) names() []string {
	names := Names()
	for n := range s.all {
		names = append(names, n)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Purge empties every cache: what is done when memory runs out.
func (s *Set) Purge() {
	for _, c := range s.members() {
		c.Purge()
	}
}

func (s *Set) members() []member {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []member
	for _, cs := range s.all {
		out = append(out, cs...)
	}
	return out
}

// Stats is every cache by name; caches of one name are added up.
func (s *Set) Stats() []Stats {
	var out []Stats
	for _, c := range s.members() {
		st := c.Stats()
		i := slices.IndexFunc(out, func(o Stats) bool { return o.Name == st.Name })
		if i < 0 {
			out = append(out, st)
			continue
		}
		o := &out[i]
		o.Capacity += st.Capacity
		o.Len += st.Len
		o.Waiting += st.Waiting
		o.add(&counts{st.Hits, st.Misses, st.Inserts, st.Evicted, st.Expired, st.Populated, st.Errors})
	}
	slices.SortFunc(out, func(a, b Stats) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// measure declares KumoMTA's lruttl metrics. They are read from the caches when somebody looks.
func (s *Set) measure(reg *metric.Registry) {
	gauge := func(name, help string, of func(Stats) int) {
		reg.GaugeVecFunc(metric.Def{Name: name, Help: help, Labels: []string{"cache_name"}}, func(emit metric.Emit) {
			for _, st := range s.Stats() {
				emit(float64(of(st)), st.Name)
			}
		})
	}
	counter := func(name, help string, of func(Stats) uint64) {
		reg.CounterVecFunc(metric.Def{Name: name, Help: help, Labels: []string{"cache_name"}}, func(emit metric.Emit) {
			for _, st := range s.Stats() {
				if n := of(st); n > 0 {
					emit(float64(n), st.Name)
				}
			}
		})
	}
	gauge("lruttl_cache_size", "entries in a cache", func(st Stats) int { return st.Len })
	gauge("lruttl_waiting_populate", "callers that wait for a cache entry which another one loads", func(st Stats) int { return st.Waiting })
	counter("lruttl_lookup_count", "cache lookups", func(st Stats) uint64 { return st.Hits + st.Misses })
	counter("lruttl_hit_count", "cache lookups that found an entry", func(st Stats) uint64 { return st.Hits })
	counter("lruttl_miss_count", "cache lookups that found none", func(st Stats) uint64 { return st.Misses })
	counter("lruttl_insert_count", "entries put into a cache", func(st Stats) uint64 { return st.Inserts })
	counter("lruttl_evict_count", "entries dropped for want of room", func(st Stats) uint64 { return st.Evicted })
	counter("lruttl_expire_count", "entries dropped because their time ran out", func(st Stats) uint64 { return st.Expired })
	counter("lruttl_populated_count", "loads of cache entries", func(st Stats) uint64 { return st.Populated })
	counter("lruttl_error_count", "loads of cache entries that failed", func(st Stats) uint64 { return st.Errors })
}
