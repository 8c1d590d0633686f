package queue

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/metric"
	"kumo/pkg/option"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := metric.NewRegistry()
		w := newWorld()
		m := NewMetrics(reg)
		m.source.Store(w.queues)
		w.launch()
		defer w.stop()
		w.config["*"] = option.NewLayer(map[string]any{"provider_name": "gmail", "egress_pool": "pool1"}, option.Origin{})
		w.run(t, "room 1")
		w.run(t, "insert m1 m2 m3 queue=c1:t1@example.com")
		got := expose(t, reg)
		for _, want := range []string{
			"message_count 3",
			"scheduled_count_total 2",
			"scheduled_queue_count 1",
			`scheduled_count{queue="c1:t1@example.com"} 2`,
			`scheduled_by_domain{domain="example.com"} 2`,
			`scheduled_by_tenant{tenant="t1"} 2`,
			`scheduled_by_tenant_campaign{campaign="c1",tenant="t1"} 2`,
			`queued_count_by_provider{provider="gmail"} 3`,
			`queued_count_by_provider_and_pool{pool="pool1",provider="gmail"} 3`,
			`delayed_due_to_ready_queue_full{queue="c1:t1@example.com"} 2`,
		} {
			if !strings.Contains(got, want+"\n") {
				t.Errorf("no %q in:\n%s", want, got)
			}
		}
		w.run(t, "room -1")
		w.run(t, "advance 2m")
		for _, n := range []string{"m1", "m2", "m3"} {
			w.run(t, "settle "+n+" delivered:*")
		}
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if got := expose(t, reg); strings.Contains(got, "c1") {
			t.Errorf("a reaped queue still shows:\n%s", got)
		}
	})
}

func expose(t *testing.T, reg *metric.Registry) string {
	t.Helper()
	rec := httptest.NewRecorder()
	reg.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return bytes.NewBuffer(rec.Body.Bytes()).String()
}
