package metric

import (
	"net/http"
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// validPrefix is what may stand before a metric's name so that it stays one.
var validPrefix = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]{0,63}$`)

// Handler serves GET /metrics as Prometheus text. ?prefix=kumod_ puts the prefix before every name (semantics §10.3).
func (r *Registry) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET is allowed here", http.StatusMethodNotAllowed)
			return
		}
		prefix := req.URL.Query().Get("prefix")
		if prefix != "" && !validPrefix.MatchString(prefix) {
			http.Error(w, "prefix must be at most 64 letters, digits, _ or :, and not start with a digit", http.StatusBadRequest)
			return
		}
		gather := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return r.gather(prefix) })
		promhttp.HandlerFor(gather, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP(w, req)
	})
}

// gather collects everything. The families are made anew by every gathering, so they may be renamed.
func (r *Registry) gather(prefix string) ([]*dto.MetricFamily, error) {
	if r == nil {
		return nil, nil
	}
	families, err := r.prom.Gather()
	if prefix != "" {
		for _, f := range families {
			name := prefix + f.GetName()
			f.Name = &name
		}
	}
	return families, err
}

// Bucket is one bucket of a histogram: how many observations were at most Le.
type Bucket struct {
	Le    float64 `json:"le"`
	Count uint64  `json:"count"`
}

// Series is one series of a Family. Labels are in the order of declaration.
type Series struct {
	Labels  []string // values
	Value   float64  // of a counter or gauge; the sum of a histogram
	Count   uint64   // of a histogram
	Buckets []Bucket // of a histogram, cumulative
}

// Family is a metric with its series at one moment.
type Family struct {
	Info
	Series []Series
}

// Snapshot is every metric that has a series, by name, for GET /metrics.json and for verbs.
func (r *Registry) Snapshot() ([]Family, error) {
	families, err := r.gather("")
	if r == nil {
		return nil, nil
	}
	out := make([]Family, 0, len(families))
	for _, f := range families {
		r.mu.Lock()
		d := r.all[f.GetName()]
		r.mu.Unlock()
		fam := Family{Info: d.info, Series: make([]Series, len(f.GetMetric()))}
		for i, m := range f.GetMetric() {
			fam.Series[i] = seriesOf(d.info, m)
		}
		out = append(out, fam)
	}
	return out, err
}

func seriesOf(info Info, m *dto.Metric) Series {
	s := Series{Labels: make([]string, len(info.Labels))}
	for i, name := range info.Labels {
		for _, l := range m.GetLabel() {
			if l.GetName() == name {
				s.Labels[i] = l.GetValue()
			}
		}
	}
	switch info.Type {
	case TypeCounter:
		s.Value = m.GetCounter().GetValue()
	case TypeGauge:
		s.Value = m.GetGauge().GetValue()
	case TypeHistogram:
		h := m.GetHistogram()
		s.Value, s.Count = h.GetSampleSum(), h.GetSampleCount()
		for _, b := range h.GetBucket() {
			s.Buckets = append(s.Buckets, Bucket{b.GetUpperBound(), b.GetCumulativeCount()})
		}
	}
	return s
}
