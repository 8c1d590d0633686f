package intake

import "kumo/pkg/metric"

// Metrics are what intake counts.
type Metrics struct {
	received map[string]*metric.Counter // by reception protocol
	dropped  *metric.Counter
}

// NewMetrics declares the metrics of intake.
func NewMetrics(r *metric.Registry) *Metrics {
	received := r.CounterVec(metric.Def{
		Name:   "total_messages_received",
		Help:   "messages taken in, by the service that took them",
		Labels: []string{"service"},
	})
	return &Metrics{
		received: map[string]*metric.Counter{
			"ESMTP":  received.With("esmtp_listener"),
			"HTTP":   received.With("http_listener"),
			"Inject": received.With("inject"),
		},
		dropped: r.Counter("total_messages_dropped", "messages that were taken in and dropped, because policy gave them the queue null"),
	}
}

// count counts a submission; all of its messages were received, dropped ones too.
func (m *Metrics) count(protocol string, kept, dropped int) {
	if m == nil {
		return
	}
	m.received[protocol].Add(float64(kept + dropped))
	if dropped > 0 {
		m.dropped.Add(float64(dropped))
	}
}
