package ready

import (
	"sync"
	"sync/atomic"

	"kumo/pkg/egress"
	"kumo/pkg/message"
	"kumo/pkg/metric"
)

// counts are what is counted of a ready queue, or of all of a protocol, a provider or a source.
type counts struct {
	delivered, transfail, fail, connections, full atomic.Int64
}

// tally is where a line counts. own belongs to the line; the others add up several and outlive it.
type tally struct {
	own, proto       *counts
	provider, source *counts // nil without a provider_name
}

// sums are the counts that outlive lines.
type sums struct {
	mu        sync.Mutex
	protos    map[string]*counts
	providers map[string]*counts
	sources   map[[3]string]*counts // provider, source, pool
}

// tally finds where a line of plan counts. own is nil for a new line.
func (s *sums) tally(plan *egress.Plan, own *counts) tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.protos == nil {
		s.protos, s.providers, s.sources = map[string]*counts{}, map[string]*counts{}, map[[3]string]*counts{}
	}
	if own == nil {
		own = &counts{}
	}
	t := tally{own: own, proto: entry(s.protos, protocol(plan.Key))}
	if p := plan.Path.ProviderName; p != "" {
		source := ""
		if plan.Source != nil {
			source = plan.Source.Name
		}
		t.provider, t.source = entry(s.providers, p), entry(s.sources, [3]string{p, source, plan.Pool})
	}
	return t
}

func entry[K comparable](m map[K]*counts, k K) *counts {
	c := m[k]
	if c == nil {
		c = &counts{}
		m[k] = c
	}
	return c
}

func (t *tally) each(f func(*counts)) {
	f(t.own)
	f(t.proto)
	if t.provider != nil {
		f(t.provider)
		f(t.source)
	}
}

func (t *tally) full()      { t.each(func(c *counts) { c.full.Add(1) }) }
func (t *tally) connected() { t.each(func(c *counts) { c.connections.Add(1) }) }

// attempts counts each outcome of a message once, however many recipients shared it.
func (t *tally) attempts(as []message.Attempt) {
	for i := range as {
		switch as[i].Outcome {
		case message.Delivered:
			t.each(func(c *counts) { c.delivered.Add(1) })
		case message.Transient, message.Retried:
			t.each(func(c *counts) { c.transfail.Add(1) })
		case message.Permanent:
			t.each(func(c *counts) { c.fail.Add(1) })
		}
	}
}

// Metrics are what ready queues show. All of them are read off the queues when somebody looks. The service label is
// "smtp_client:READYQ" for one ready queue and "smtp_client" for all of the protocol; the former go when their ready
// queue is reaped.
type Metrics struct {
	source atomic.Pointer[Queues]
}

// NewMetrics declares the metrics of ready queues. reg may be nil.
func NewMetrics(reg *metric.Registry) *Metrics {
	m := &Metrics{}
	m.services(reg, "total_messages_delivered", "Number of messages ever delivered.", func(c *counts) *atomic.Int64 { return &c.delivered })
	m.services(reg, "total_messages_transfail", "Number of delivery attempts that failed for now.", func(c *counts) *atomic.Int64 { return &c.transfail })
	m.services(reg, "total_messages_fail", "Number of delivery attempts that failed for good.", func(c *counts) *atomic.Int64 { return &c.fail })
	m.services(reg, "total_connection_count", "Number of connections ever made.", func(c *counts) *atomic.Int64 { return &c.connections })
	m.services(reg, "ready_full", "Number of times that a message found its ready queue full.", func(c *counts) *atomic.Int64 { return &c.full })
	m.providers(reg, "total_messages_delivered_by_provider", "Number of messages ever delivered to a provider.", func(c *counts) *atomic.Int64 { return &c.delivered })
	m.providers(reg, "total_messages_transfail_by_provider", "Number of delivery attempts to a provider that failed for now.", func(c *counts) *atomic.Int64 { return &c.transfail })
	m.providers(reg, "total_messages_fail_by_provider", "Number of delivery attempts to a provider that failed for good.", func(c *counts) *atomic.Int64 { return &c.fail })
	m.sources(reg, "total_messages_delivered_by_provider_and_source", "Number of messages ever delivered to a provider from a source.", func(c *counts) *atomic.Int64 { return &c.delivered })
	m.sources(reg, "total_messages_transfail_by_provider_and_source", "Number of delivery attempts to a provider from a source that failed for now.", func(c *counts) *atomic.Int64 { return &c.transfail })
	m.sources(reg, "total_messages_fail_by_provider_and_source", "Number of delivery attempts to a provider from a source that failed for good.", func(c *counts) *atomic.Int64 { return &c.fail })
	m.gauge(reg, "ready_count", "Number of messages in the ready queue.", func(l *line) int { return l.fifo.n })
	m.gauge(reg, "connection_count", "Number of open connections.", func(l *line) int { return l.connected })
	m.connections(reg)
	return m
}

// services declares a counter by service.
func (m *Metrics) services(reg *metric.Registry, name, help string, f func(*counts) *atomic.Int64) {
	d := metric.Def{Name: name, Help: help, Labels: []string{"service"}, Pruning: true}
	reg.CounterVecFunc(d, func(emit metric.Emit) {
		s := m.source.Load()
		if s == nil {
			return
		}
		s.each(func(l *line) {
			l.mu.Lock()
			own := l.limits.tally.own
			l.mu.Unlock()
			some(emit, f(own), service(l.key))
		})
		s.sums.mu.Lock()
		defer s.sums.mu.Unlock()
		for p, c := range s.sums.protos {
			some(emit, f(c), p)
		}
	})
}

// providers declares a counter by provider.
func (m *Metrics) providers(reg *metric.Registry, name, help string, f func(*counts) *atomic.Int64) {
	d := metric.Def{Name: name, Help: help, Labels: []string{"provider"}, Pruning: true}
	reg.CounterVecFunc(d, func(emit metric.Emit) {
		if s := m.source.Load(); s != nil {
			s.sums.mu.Lock()
			defer s.sums.mu.Unlock()
			for p, c := range s.sums.providers {
				some(emit, f(c), p)
			}
		}
	})
}

// sources declares a counter by provider, source and pool.
func (m *Metrics) sources(reg *metric.Registry, name, help string, f func(*counts) *atomic.Int64) {
	d := metric.Def{Name: name, Help: help, Labels: []string{"provider", "source", "pool"}, Pruning: true}
	reg.CounterVecFunc(d, func(emit metric.Emit) {
		if s := m.source.Load(); s != nil {
			s.sums.mu.Lock()
			defer s.sums.mu.Unlock()
			for p, c := range s.sums.sources {
				some(emit, f(c), p[:]...)
			}
		}
	})
}

// some emits what is not zero: a series appears when there was something to count.
func some(emit metric.Emit, n *atomic.Int64, labels ...string) {
	if v := n.Load(); v != 0 {
		emit(float64(v), labels...)
	}
}

// gauge declares a gauge by service. f is called with the line's lock held.
func (m *Metrics) gauge(reg *metric.Registry, name, help string, f func(*line) int) {
	d := metric.Def{Name: name, Help: help, Labels: []string{"service"}, Pruning: true}
	reg.GaugeVecFunc(d, func(emit metric.Emit) {
		s := m.source.Load()
		if s == nil {
			return
		}
		sum := map[string]int{}
		s.each(func(l *line) {
			l.mu.Lock()
			n := f(l)
			l.mu.Unlock()
			sum[protocol(l.key)] += n
			emit(float64(n), service(l.key))
		})
		for p, n := range sum {
			emit(float64(n), p)
		}
	})
}

// connections declares the gauges of connections by provider.
func (m *Metrics) connections(reg *metric.Registry) {
	collect := func(pool bool) func(metric.Emit) {
		return func(emit metric.Emit) {
			s := m.source.Load()
			if s == nil {
				return
			}
			sum := map[[2]string]int{}
			s.each(func(l *line) {
				l.mu.Lock()
				defer l.mu.Unlock()
				k := [2]string{l.limits.path.ProviderName}
				if pool {
					k[1] = l.plan.Pool
				}
				if k[0] != "" {
					sum[k] += l.connected
				}
			})
			for k, n := range sum {
				if pool {
					emit(float64(n), k[0], k[1])
				} else {
					emit(float64(n), k[0])
				}
			}
		}
	}
	reg.GaugeVecFunc(metric.Def{
		Name: "connection_count_by_provider", Help: "Number of open connections to a provider.",
		Labels: []string{"provider"}, Pruning: true,
	}, collect(false))
	reg.GaugeVecFunc(metric.Def{
		Name: "connection_count_by_provider_and_pool", Help: "Number of open connections to a provider from a pool.",
		Labels: []string{"provider", "pool"}, Pruning: true,
	}, collect(true))
}

// service is the label of one ready queue.
func service(key string) string { return protocol(key) + ":" + key }
