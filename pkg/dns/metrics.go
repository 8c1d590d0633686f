package dns

import "kumo/pkg/metric"

// Metrics count MX lookups, under KumoMTA's names.
type Metrics struct {
	hit, miss, ok, fail *metric.Counter
	inProgress          *metric.Gauge
}

// NewMetrics declares them in reg; with nil they are counted and shown nowhere.
func NewMetrics(reg *metric.Registry) *Metrics {
	return &Metrics{
		hit:        reg.Counter("dns_mx_resolve_cache_hit", "MX lookups that the cache answered"),
		miss:       reg.Counter("dns_mx_resolve_cache_miss", "MX lookups that the cache did not answer"),
		ok:         reg.Counter("dns_mx_resolve_status_ok", "MX lookups that found where mail goes"),
		fail:       reg.Counter("dns_mx_resolve_status_fail", "MX lookups that failed"),
		inProgress: reg.Gauge("dns_mx_resolve_in_progress", "MX lookups under way"),
	}
}
