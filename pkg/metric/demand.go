package metric

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Emit gives one series of an on-demand metric its value.
type Emit func(value float64, labels ...string)

// GaugeFunc declares a gauge whose value is asked for when somebody looks. f must be safe for concurrent use.
func (r *Registry) GaugeFunc(name, help string, f func() float64) {
	r.GaugeVecFunc(Def{Name: name, Help: help}, func(emit Emit) { emit(f()) })
}

// GaugeVecFunc declares a gauge whose series are asked for when somebody looks: collect calls emit once for each.
// Of two series with the same labels the last one counts. Declaring it again, in the same words, adds to it: several
// rooms may each give their own series.
func (r *Registry) GaugeVecFunc(d Def, collect func(emit Emit)) {
	r.onDemand(d, TypeGauge, prometheus.GaugeValue, collect)
}

// CounterVecFunc is GaugeVecFunc for values that only grow.
func (r *Registry) CounterVecFunc(d Def, collect func(emit Emit)) {
	r.onDemand(d, TypeCounter, prometheus.CounterValue, collect)
}

func (r *Registry) onDemand(d Def, t Type, kind prometheus.ValueType, collect func(Emit)) {
	c := declare(r, Info{d, t}, func() *asked {
		return &asked{desc: prometheus.NewDesc(d.Name, d.Help, d.Labels, nil), kind: kind, def: d}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collect = append(c.collect, collect)
}

// asked is a collector that computes its series at each scrape.
type asked struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	def  Def

	mu      sync.Mutex
	collect []func(Emit)
}

func (a *asked) Describe(ch chan<- *prometheus.Desc) { ch <- a.desc }

func (a *asked) Collect(ch chan<- prometheus.Metric) {
	a.mu.Lock()
	collect := slices.Clone(a.collect)
	a.mu.Unlock()
	series := map[string]prometheus.Metric{}
	var order []string
	emit := func(value float64, labels ...string) {
		labels = labelValues(a.def, labels)
		key := ""
		for _, l := range labels {
			key += l + "\xff"
		}
		if _, seen := series[key]; !seen {
			order = append(order, key)
		}
		series[key] = prometheus.MustNewConstMetric(a.desc, a.kind, value, labels...)
	}
	for _, f := range collect {
		f(emit)
	}
	for _, key := range order {
		ch <- series[key]
	}
}
