package ready

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/metric"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := metric.NewRegistry()
		w := newWorld(t)
		NewMetrics(reg).source.Store(w.queues)
		w.run("path max_ready=2 connection_limit=1 provider_name=gmail")
		w.run("offer 1")
		w.run("deliver transient")
		w.run("offer 1")
		w.run("deliver permanent")
		w.run("offer 1")
		w.run("deliver-takes 1s")
		w.run("offer 1")
		w.run("offer 3")
		got := expose(reg)
		const service = `{service="smtp_client:ip-1->example.com@smtp_client"} `
		for _, want := range []string{
			"ready_count" + service + "2",
			`ready_count{service="smtp_client"} 2`,
			"connection_count" + service + "1",
			`connection_count{service="smtp_client"} 1`,
			`connection_count_by_provider{provider="gmail"} 1`,
			`connection_count_by_provider_and_pool{pool="pool-1",provider="gmail"} 1`,
			"total_connection_count" + service + "1",
			"ready_full" + service + "1",
			"total_messages_delivered" + service + "1",
			"total_messages_transfail" + service + "1",
			"total_messages_fail" + service + "1",
			`total_messages_fail{service="smtp_client"} 1`,
			`total_messages_delivered_by_provider{provider="gmail"} 1`,
			`total_messages_delivered_by_provider_and_source{pool="pool-1",provider="gmail",source="ip-1"} 1`,
		} {
			if !strings.Contains(got, want+"\n") {
				t.Errorf("no %q in:\n%s", want, got)
			}
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		got = expose(reg)
		if strings.Contains(got, "ip-1->") {
			t.Errorf("a reaped ready queue still shows:\n%s", got)
		}
		if !strings.Contains(got, `total_messages_fail{service="smtp_client"} 4`) {
			t.Errorf("the sums are gone:\n%s", got)
		}
		w.stop()
	})
}

func expose(reg *metric.Registry) string {
	rec := httptest.NewRecorder()
	reg.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}
