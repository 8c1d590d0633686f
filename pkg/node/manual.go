package node

import (
	"time"

	"kumo/pkg/cache"
	"kumo/pkg/dns"
	"kumo/pkg/intake"
	"kumo/pkg/listener"
	"kumo/pkg/metric"
	"kumo/pkg/queue"
	"kumo/pkg/ready"
)

// Metrics lists every metric that a node declares, for the manual and its tests.
func Metrics() []metric.Info {
	reg := metric.NewRegistry()
	cache.NewSet(reg, time.Now)
	dns.NewMetrics(reg)
	listener.NewMetrics(reg)
	intake.NewMetrics(reg)
	queue.NewMetrics(reg)
	ready.NewMetrics(reg)
	measure(reg, nil, nil, nil, nil)
	newTimings(reg)
	measureResident(reg, nil)
	return reg.List()
}
