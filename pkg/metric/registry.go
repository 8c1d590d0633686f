package metric

import (
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Type is the Prometheus type of a metric.
type Type string

const (
	TypeCounter   Type = "counter"
	TypeGauge     Type = "gauge"
	TypeHistogram Type = "histogram"
)

// Def declares a metric. Names and labels are KumoMTA's: they are API, for dashboards read them.
type Def struct {
	Name    string
	Help    string
	Labels  []string
	Buckets []float64 // upper bounds of a histogram, in seconds; nil = DefBuckets
	Pruning bool      // series of idle queues and services are deleted
}

// Info is a Def with its type, for the manual.
type Info struct {
	Def
	Type Type
}

// DefBuckets are KumoMTA's: 5 ms to 10 s.
func DefBuckets() []float64 { return slices.Clone(prometheus.DefBuckets) }

// Registry holds the declared metrics of one process. The nil *Registry declares metrics that nobody sees.
type Registry struct {
	prom *prometheus.Registry
	mu   sync.Mutex
	all  map[string]declared
}

type declared struct {
	info Info
	vec  any
}

// NewRegistry makes an empty registry.
func NewRegistry() *Registry {
	return &Registry{prom: prometheus.NewRegistry(), all: map[string]declared{}}
}

// List is every declared metric by name.
func (r *Registry) List() []Info {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Info, 0, len(r.all))
	for _, d := range r.all {
		out = append(out, d.info)
	}
	slices.SortFunc(out, func(a, b Info) int { return cmpString(a.Name, b.Name) })
	return out
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// declare registers what build makes, or returns what the same declaration made before.
func declare[V prometheus.Collector](r *Registry, info Info, build func() V) V {
	if info.Name == "" || info.Help == "" {
		panic(fmt.Sprintf("metric: %q needs a name and a help text", info.Name))
	}
	if r == nil {
		return build()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if d, ok := r.all[info.Name]; ok {
		v, same := d.vec.(V)
		if !same || !equal(d.info, info) {
			panic(fmt.Sprintf("metric: %s is declared twice, differently", info.Name))
		}
		return v
	}
	v := build()
	r.prom.MustRegister(v)
	r.all[info.Name] = declared{info, v}
	return v
}

func equal(a, b Info) bool {
	return a.Type == b.Type && a.Help == b.Help && a.Pruning == b.Pruning &&
		slices.Equal(a.Labels, b.Labels) && slices.Equal(a.Buckets, b.Buckets)
}

// Counter declares a counter without labels.
func (r *Registry) Counter(name, help string) *Counter {
	return r.CounterVec(Def{Name: name, Help: help}).With()
}

// CounterVec declares a counter with labels.
func (r *Registry) CounterVec(d Def) *CounterVec {
	v := declare(r, Info{d, TypeCounter}, func() *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
	})
	return &CounterVec{v, d}
}

// Gauge declares a gauge without labels.
func (r *Registry) Gauge(name, help string) *Gauge {
	return r.GaugeVec(Def{Name: name, Help: help}).With()
}

// GaugeVec declares a gauge with labels.
func (r *Registry) GaugeVec(d Def) *GaugeVec {
	v := declare(r, Info{d, TypeGauge}, func() *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.Labels)
	})
	return &GaugeVec{v, d}
}

// Histogram declares a histogram of seconds without labels, over DefBuckets.
func (r *Registry) Histogram(name, help string) *Histogram {
	return r.HistogramVec(Def{Name: name, Help: help}).With()
}

// HistogramVec declares a histogram with labels.
func (r *Registry) HistogramVec(d Def) *HistogramVec {
	if d.Buckets == nil {
		d.Buckets = DefBuckets()
	}
	v := declare(r, Info{d, TypeHistogram}, func() *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: d.Buckets}, d.Labels)
	})
	return &HistogramVec{v, d}
}
