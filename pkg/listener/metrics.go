package listener

import "kumo/pkg/metric"

// service is the label of this room's series.
const service = "esmtp_listener"

// Metrics are what the listeners of a node count together.
type Metrics struct {
	open       *metric.Gauge
	total      *metric.Counter
	denied     *metric.Counter
	rejections *metric.Counter
	panics     *metric.Counter
}

// NewMetrics declares the metrics of listeners. The first three are shared with other services.
func NewMetrics(r *metric.Registry) *Metrics {
	label := []string{"service"}
	return &Metrics{
		open: r.GaugeVec(metric.Def{
			Name: "connection_count", Help: "number of active connections", Labels: label, Pruning: true,
		}).With(service),
		total: r.CounterVec(metric.Def{
			Name: "total_connection_count", Help: "total number of active connections ever made", Labels: label, Pruning: true,
		}).With(service),
		denied: r.CounterVec(metric.Def{
			Name: "total_connections_denied", Help: "total number of connections rejected due to load shedding or limits",
			Labels: label, Pruning: true,
		}).With(service),
		rejections: r.CounterVec(metric.Def{
			Name: "smtp_server_rejections", Help: "refusals that SMTP peers got, 421 4.3.2 left out", Labels: label,
		}).With(service),
		panics: r.Counter("smtp_server_panics", "SMTP sessions that ended by a panic, which is a fault of the program"),
	}
}

func (m *Metrics) opened() {
	if m != nil {
		m.open.Inc()
		m.total.Inc()
	}
}

func (m *Metrics) closed() {
	if m != nil {
		m.open.Dec()
	}
}

func (m *Metrics) deny() {
	if m != nil {
		m.denied.Inc()
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
