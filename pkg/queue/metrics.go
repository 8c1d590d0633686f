package queue

import (
	"sync/atomic"

	"kumo/pkg/metric"
)

// Metrics are what scheduled queues show. All of them are read off the queues when somebody looks, so that they cost
// nothing while mail flows, and they go when their queue is reaped.
type Metrics struct {
	source atomic.Pointer[Queues]
}

// NewMetrics declares the metrics of scheduled queues. reg may be nil.
func NewMetrics(reg *metric.Registry) *Metrics {
	m := &Metrics{}
	reg.GaugeFunc("message_count", "Number of messages in all scheduled and ready queues, those being delivered included.",
		func() float64 { return m.sum(func(q *Scheduled) int64 { return q.live.Load() }) })
	reg.GaugeFunc("scheduled_count_total", "Number of messages in all scheduled queues.",
		func() float64 { return m.sum((*Scheduled).waiting) })
	reg.GaugeFunc("scheduled_queue_count", "Number of scheduled queues.",
		func() float64 { return m.sum(func(*Scheduled) int64 { return 1 }) })
	m.gauge(reg, "scheduled_count", "Number of messages in the scheduled queue.", "queue",
		func(q *Scheduled) (string, int64) { return q.name, q.waiting() })
	m.gauge(reg, "scheduled_by_domain", "Number of messages in the scheduled queues of a domain.", "domain",
		func(q *Scheduled) (string, int64) { return q.parts.Domain, q.waiting() })
	m.gauge(reg, "scheduled_by_tenant", "Number of messages in the scheduled queues of a tenant.", "tenant",
		func(q *Scheduled) (string, int64) { return q.parts.Tenant, q.waiting() })
	m.gauge(reg, "queued_count_by_provider", "Number of messages of a mailbox provider in scheduled and ready queues.",
		"provider", func(q *Scheduled) (string, int64) { return q.provider().name, q.live.Load() })
	m.pairs(reg, "scheduled_by_tenant_campaign", "Number of messages in the scheduled queues of a campaign of a tenant.",
		[]string{"tenant", "campaign"}, func(q *Scheduled) (pair, int64) {
			if q.parts.Campaign == "" {
				return pair{}, 0
			}
			return pair{q.parts.Tenant, q.parts.Campaign}, q.waiting()
		})
	m.pairs(reg, "queued_count_by_provider_and_pool", "Number of messages of a mailbox provider and an egress pool in "+
		"scheduled and ready queues.", []string{"provider", "pool"}, func(q *Scheduled) (pair, int64) {
		if p := q.provider(); p.name != "" {
			return pair{p.name, p.pool}, q.live.Load()
		}
		return pair{}, 0
	})
	m.counter(reg, "delayed_due_to_message_rate_throttle", "Number of times that a message was delayed by max_message_rate.",
		func(q *Scheduled) int64 { return q.rateDelays.Load() })
	m.counter(reg, "delayed_due_to_ready_queue_full", "Number of times that a message was delayed by a full ready queue.",
		func(q *Scheduled) int64 { return q.fullDelays.Load() })
	return m
}

// pair is two label values.
type pair [2]string

// provider is what the by_provider metrics say about a queue; an empty name says nothing.
type provider struct{ name, pool string }

func (q *Scheduled) provider() provider {
	if c := q.conf.Load(); c != nil {
		return provider{c.ProviderName, c.EgressPool}
	}
	return provider{}
}

func (m *Metrics) each(f func(*Scheduled)) {
	if s := m.source.Load(); s != nil {
		s.each(f)
	}
}

func (m *Metrics) sum(f func(*Scheduled) int64) float64 {
	var n int64
	m.each(func(q *Scheduled) { n += f(q) })
	return float64(n)
}

// gauge declares a gauge that adds up values by one label. An empty label says nothing.
func (m *Metrics) gauge(reg *metric.Registry, name, help, label string, f func(*Scheduled) (string, int64)) {
	reg.GaugeVecFunc(metric.Def{Name: name, Help: help, Labels: []string{label}, Pruning: true}, func(emit metric.Emit) {
		sums := map[string]int64{}
		m.each(func(q *Scheduled) {
			if l, n := f(q); l != "" {
				sums[l] += n
			}
		})
		for l, n := range sums {
			emit(float64(n), l)
		}
	})
}

// pairs is gauge with two labels. The empty pair says nothing.
func (m *Metrics) pairs(reg *metric.Registry, name, help string, labels []string, f func(*Scheduled) (pair, int64)) {
	reg.GaugeVecFunc(metric.Def{Name: name, Help: help, Labels: labels, Pruning: true}, func(emit metric.Emit) {
		sums := map[pair]int64{}
		m.each(func(q *Scheduled) {
			if l, n := f(q); l != (pair{}) {
				sums[l] += n
			}
		})
		for l, n := range sums {
			emit(float64(n), l[0], l[1])
		}
	})
}

// counter declares a counter by queue, of queues where it is not zero.
func (m *Metrics) counter(reg *metric.Registry, name, help string, f func(*Scheduled) int64) {
	reg.CounterVecFunc(metric.Def{Name: name, Help: help, Labels: []string{"queue"}, Pruning: true}, func(emit metric.Emit) {
		m.each(func(q *Scheduled) {
			if n := f(q); n > 0 {
				emit(float64(n), q.name)
			}
		})
	})
}
