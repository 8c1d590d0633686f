package metric

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// child is a series that comes into being at its first use.
type child[M prometheus.Metric] struct {
	made atomic.Pointer[M]
	open func() M
}

func (c *child[M]) get() M {
	if m := c.made.Load(); m != nil {
		return *m
	}
	m := c.open()
	c.made.Store(&m)
	return m
}

// read is the series as Prometheus has it; nil before its first use.
func (c *child[M]) read() *dto.Metric {
	m := c.made.Load()
	if m == nil {
		return nil
	}
	var out dto.Metric
	if err := (*m).Write(&out); err != nil {
		return nil
	}
	return &out
}

// labelValues checks their number, which is a matter of the program, and repairs their text, which is not.
func labelValues(d Def, values []string) []string {
	if len(values) != len(d.Labels) {
		panic(fmt.Sprintf("metric: %s has labels %v, got %d values", d.Name, d.Labels, len(values)))
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.ToValidUTF8(v, "\uFFFD")
	}
	return out
}

// CounterVec is a counter with labels.
type CounterVec struct {
	vec *prometheus.CounterVec
	def Def
}

// With is the handle of one series. Keep it: finding it again costs more than using it.
func (v *CounterVec) With(values ...string) *Counter {
	if v == nil {
		return nil
	}
	values = labelValues(v.def, values)
	return &Counter{child[prometheus.Counter]{open: func() prometheus.Counter { return v.vec.WithLabelValues(values...) }}}
}

// Delete takes the series out of the exposition. Handles to it keep working and are seen by nobody.
func (v *CounterVec) Delete(values ...string) bool {
	return v != nil && v.vec.DeleteLabelValues(labelValues(v.def, values)...)
}

// Counter is one series that only grows. The nil *Counter does nothing.
type Counter struct{ child[prometheus.Counter] }

// Inc adds one.
func (c *Counter) Inc() {
	if c != nil {
		c.get().Inc()
	}
}

// Add adds n; a negative n is ignored.
func (c *Counter) Add(n float64) {
	if c != nil && n >= 0 {
		c.get().Add(n)
	}
}

// Value is what was counted so far.
func (c *Counter) Value() float64 {
	if c == nil {
		return 0
	}
	return c.read().GetCounter().GetValue()
}

// GaugeVec is a gauge with labels.
type GaugeVec struct {
	vec *prometheus.GaugeVec
	def Def
}

// With is the handle of one series. Keep it: finding it again costs more than using it.
func (v *GaugeVec) With(values ...string) *Gauge {
	if v == nil {
		return nil
	}
	values = labelValues(v.def, values)
	return &Gauge{child[prometheus.Gauge]{open: func() prometheus.Gauge { return v.vec.WithLabelValues(values...) }}}
}

// Delete takes the series out of the exposition. Handles to it keep working and are seen by nobody.
func (v *GaugeVec) Delete(values ...string) bool {
	return v != nil && v.vec.DeleteLabelValues(labelValues(v.def, values)...)
}

// Gauge is one series that goes up and down. The nil *Gauge does nothing.
type Gauge struct{ child[prometheus.Gauge] }

// Set sets the value.
func (g *Gauge) Set(n float64) {
	if g != nil {
		g.get().Set(n)
	}
}

// Add adds n, which may be negative.
func (g *Gauge) Add(n float64) {
	if g != nil {
		g.get().Add(n)
	}
}

// Inc adds one.
func (g *Gauge) Inc() {
	if g != nil {
		g.get().Inc()
	}
}

// Dec takes one away.
func (g *Gauge) Dec() {
	if g != nil {
		g.get().Dec()
	}
}

// Value is the present value.
func (g *Gauge) Value() float64 {
	if g == nil {
		return 0
	}
	return g.read().GetGauge().GetValue()
}

// HistogramVec is a histogram with labels.
type HistogramVec struct {
	vec *prometheus.HistogramVec
	def Def
}

// With is the handle of one series. Keep it: finding it again costs more than using it.
func (v *HistogramVec) With(values ...string) *Histogram {
	if v == nil {
		return nil
	}
	values = labelValues(v.def, values)
	open := func() prometheus.Histogram { return v.vec.WithLabelValues(values...).(prometheus.Histogram) }
	return &Histogram{child[prometheus.Histogram]{open: open}}
}

// Delete takes the series out of the exposition. Handles to it keep working and are seen by nobody.
func (v *HistogramVec) Delete(values ...string) bool {
	return v != nil && v.vec.DeleteLabelValues(labelValues(v.def, values)...)
}

// Histogram is one series of observations. The nil *Histogram does nothing.
type Histogram struct{ child[prometheus.Histogram] }

// Observe adds an observation, usually seconds.
func (h *Histogram) Observe(n float64) {
	if h != nil {
		h.get().Observe(n)
	}
}

// ObserveDuration adds an observation in seconds.
func (h *Histogram) ObserveDuration(d time.Duration) { h.Observe(d.Seconds()) }

// Count is the number of observations so far.
func (h *Histogram) Count() uint64 {
	if h == nil {
		return 0
	}
	return h.read().GetHistogram().GetSampleCount()
}
