package metric_test

import (
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"kumo/pkg/metric"
)

func scrape(t *testing.T, r *metric.Registry, query string) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics"+query, nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestSeriesAppearAtFirstUse(t *testing.T) {
	r := metric.NewRegistry()
	c := r.Counter("total_things", "things so far")
	g := r.GaugeVec(metric.Def{Name: "things", Help: "things now", Labels: []string{"service"}, Pruning: true})
	h := r.Histogram("latency", "how long")
	smtp := g.With("smtp_client")
	if got := scrape(t, r, ""); got != "" {
		t.Fatalf("unused metrics are exposed:\n%s", got)
	}
	c.Inc()
	c.Add(2)
	c.Add(-1)
	smtp.Set(5)
	smtp.Dec()
	h.ObserveDuration(20 * time.Millisecond)
	got := scrape(t, r, "")
	for _, want := range []string{
		"# HELP total_things things so far\n# TYPE total_things counter\ntotal_things 3\n",
		"# TYPE things gauge\nthings{service=\"smtp_client\"} 4\n",
		"latency_bucket{le=\"0.025\"} 1\n", "latency_bucket{le=\"0.01\"} 0\n", "latency_count 1\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
	if c.Value() != 3 || smtp.Value() != 4 || h.Count() != 1 {
		t.Errorf("values %v %v %v", c.Value(), smtp.Value(), h.Count())
	}
}

func TestPrefixRenames(t *testing.T) {
	r := metric.NewRegistry()
	r.Counter("a", "b").Inc()
	if got := scrape(t, r, "?prefix=kumod_"); !strings.Contains(got, "\nkumod_a 1\n") {
		t.Error(got)
	}
	if got := scrape(t, r, ""); !strings.Contains(got, "\na 1\n") {
		t.Error("the prefix stuck:\n" + got)
	}
	for _, bad := range []string{"1a", "a%0Ab", "a%7B", strings.Repeat("a", 65)} {
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics?prefix="+bad, nil))
		if w.Code != 400 {
			t.Errorf("prefix %q: status %d", bad, w.Code)
		}
	}
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/metrics", nil))
	if w.Code != 405 {
		t.Errorf("POST: status %d", w.Code)
	}
}

func TestDeletePrunes(t *testing.T) {
	r := metric.NewRegistry()
	v := r.CounterVec(metric.Def{Name: "delayed", Help: "h", Labels: []string{"queue"}, Pruning: true})
	v.With("a").Inc()
	v.With("b").Inc()
	if !v.Delete("a") || v.Delete("a") {
		t.Error("Delete does not say whether there was something")
	}
	got := scrape(t, r, "")
	if strings.Contains(got, `"a"`) || !strings.Contains(got, `"b"`) {
		t.Error(got)
	}
	v.With("a").Inc()
	if n := v.With("a"); n.Value() != 0 {
		t.Errorf("an unused handle reads %v", n.Value())
	}
	if got := scrape(t, r, ""); !strings.Contains(got, `delayed{queue="a"} 1`) {
		t.Error("a deleted series does not start anew:\n" + got)
	}
}

func TestNilRegistryAndHandles(t *testing.T) {
	var r *metric.Registry
	c := r.CounterVec(metric.Def{Name: "n", Help: "h", Labels: []string{"l"}}).With("x")
	c.Inc()
	if c.Value() != 1 {
		t.Error("metrics of a nil registry do not work")
	}
	r.GaugeFunc("f", "h", func() float64 { return 1 })
	r.Histogram("hist", "h").Observe(1)
	if r.List() != nil {
		t.Error("a nil registry lists metrics")
	}
	if got := scrape(t, r, ""); got != "" {
		t.Error(got)
	}
	if s, err := r.Snapshot(); s != nil || err != nil {
		t.Error(s, err)
	}
	var (
		cv *metric.CounterVec
		gv *metric.GaugeVec
		hv *metric.HistogramVec
	)
	cv.With("a").Inc()
	cv.With("a").Add(1)
	gv.With("a").Set(1)
	gv.With("a").Add(1)
	gv.With("a").Inc()
	gv.With("a").Dec()
	hv.With("a").Observe(1)
	if cv.Delete("a") || gv.Delete("a") || hv.Delete("a") || cv.With().Value()+gv.With().Value() != 0 || hv.With().Count() != 0 {
		t.Error("nil handles hold something")
	}
}

func TestDeclaredTwice(t *testing.T) {
	r := metric.NewRegistry()
	def := metric.Def{Name: "x", Help: "h", Labels: []string{"a"}}
	r.CounterVec(def).With("1").Inc()
	r.CounterVec(def).With("1").Inc()
	if got := scrape(t, r, ""); !strings.Contains(got, `x{a="1"} 2`) {
		t.Error(got)
	}
	for name, declare := range map[string]func(){
		"other type":   func() { r.GaugeVec(def) },
		"other labels": func() { r.CounterVec(metric.Def{Name: "x", Help: "h"}) },
		"other help":   func() { r.CounterVec(metric.Def{Name: "x", Help: "i", Labels: []string{"a"}}) },
		"no help":      func() { r.Counter("y", "") },
		"values":       func() { r.CounterVec(def).With() },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			declare()
		})
	}
}

func TestHostileLabelValues(t *testing.T) {
	r := metric.NewRegistry()
	r.CounterVec(metric.Def{Name: "x", Help: "h", Labels: []string{"queue"}}).With("a\xff\n\"b").Inc()
	if got := scrape(t, r, ""); !strings.Contains(got, `x{queue="a`+"\uFFFD"+`\n\"b"} 1`) {
		t.Error(got)
	}
}

func TestOnDemand(t *testing.T) {
	r := metric.NewRegistry()
	n := 1.0
	r.GaugeFunc("free", "bytes", func() float64 { return n })
	r.CounterVecFunc(metric.Def{Name: "seen", Help: "h", Labels: []string{"q"}}, func(emit metric.Emit) {
		emit(1, "a")
		emit(2, "b")
		emit(3, "a")
	})
	n = 7
	got := scrape(t, r, "")
	for _, want := range []string{"\nfree 7\n", "# TYPE seen counter\nseen{q=\"a\"} 3\nseen{q=\"b\"} 2\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
}

func TestListAndSnapshot(t *testing.T) {
	r := metric.NewRegistry()
	r.HistogramVec(metric.Def{Name: "h", Help: "hh", Labels: []string{"z", "a"}, Buckets: []float64{1, 2}}).With("Z", "A").Observe(1.5)
	r.Gauge("b", "bb").Set(-2)
	r.Counter("a", "aa")
	names := []string{}
	for _, i := range r.List() {
		names = append(names, i.Name+" "+string(i.Type))
	}
	if want := []string{"a counter", "b gauge", "h histogram"}; !reflect.DeepEqual(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	snap, err := r.Snapshot()
	if err != nil || len(snap) != 2 {
		t.Fatal(snap, err)
	}
	want := []metric.Series{{Labels: []string{"Z", "A"}, Value: 1.5, Count: 1, Buckets: []metric.Bucket{{Le: 1}, {Le: 2, Count: 1}}}}
	if snap[0].Series[0].Value != -2 || !reflect.DeepEqual(snap[1].Series, want) {
		t.Errorf("%+v", snap)
	}
}

func TestConcurrentFirstUse(t *testing.T) {
	r := metric.NewRegistry()
	c := r.Counter("c", "h")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				c.Inc()
			}
		})
	}
	wg.Wait()
	if c.Value() != 8000 {
		t.Errorf("counted %v of 8000", c.Value())
	}
}

func BenchmarkCounterInc(b *testing.B) {
	b.ReportAllocs()
	c := metric.NewRegistry().CounterVec(metric.Def{Name: "c", Help: "h", Labels: []string{"q"}}).With("x")
	for b.Loop() {
		c.Inc()
	}
}
