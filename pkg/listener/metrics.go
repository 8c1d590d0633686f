package listener

import (
	"sync/atomic"

	"kumo/pkg/metric"
)

// service is the label of this room's series.
const service = "esmtp_listener"

// Metrics are what the listeners of a node count together.
type Metrics struct {
	open       atomic.Int64
	total      atomic.Int64
	denied     atomic.Int64
	rejections *metric.Counter
	panics     *metric.Counter
}

// NewMetrics declares the metrics of listeners. The first three are shared with other services.
func NewMetrics(r *metric.Registry) *Metrics {
	m := &Metrics{
		rejections: r.CounterVec(metric.Def{
			Name: "smtp_server_rejections", Help: "refusals that SMTP peers got, 421 4.3.2 left out", Labels: []string{"service"},
		}).With(service),
		panics: r.Counter("smtp_server_panics", "SMTP sessions that ended by a panic, which is a fault of the program"),
	}
	def := func(name, help string) metric.Def {
		return metric.Def{Name: name, Help: help, Labels: []string{"service"}, Pruning: true}
	}
	emit := func(v *atomic.Int64) func(metric.Emit) {
		return func(emit metric.Emit) {
			if m.total.Load() > 0 {
				emit(float64(v.Load()), service)
			}
		}
	}
	r.GaugeVecFunc(def("connection_count", "Number of open connections."), emit(&m.open))
	r.CounterVecFunc(def("total_connection_count", "Number of connections ever made."), emit(&m.total))
	r.CounterVecFunc(def("total_connections_denied", "Number of connections refused for lack of room."), emit(&m.denied))
	return m
}

// arrived counts a connection, whatever becomes of it.
func (m *Metrics) arrived() {
	if m != nil {
		m.total.Add(1)
	}
}

func (m *Metrics) opened() {
	if m != nil {
		m.open.Add(1)
	}
}

func (m *Metrics) closed() {
	if m != nil {
		m.open.Add(-1)
	}
}

func (m *Metrics) deny() {
	if m != nil {
		m.denied.Add(1)
	}
}

func (m *Metrics) rejected() {
	if m != nil {
		m.rejections.Inc()
	}
}

func (m *Metrics) panicked() {
	if m != nil {
		m.panics.Inc()
	}
}
