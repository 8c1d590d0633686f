package egress

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kumo/pkg/option"
)

var lua = option.Origin{Kind: option.KindLua, At: "init.lua:1"}

func TestPathDefaults(t *testing.T) {
	p := pathSchema.Default()
	durations := map[string][2]time.Duration{
		"connect_timeout": {p.ConnectTimeout.Std(), 60 * time.Second}, "banner_timeout": {p.BannerTimeout.Std(), 60 * time.Second},
		"ehlo_timeout": {p.EhloTimeout.Std(), 300 * time.Second}, "mail_from_timeout": {p.MailFromTimeout.Std(), 300 * time.Second},
		"rcpt_to_timeout": {p.RcptToTimeout.Std(), 300 * time.Second}, "data_timeout": {p.DataTimeout.Std(), 300 * time.Second},
		"data_dot_timeout": {p.DataDotTimeout.Std(), 300 * time.Second}, "rset_timeout": {p.RsetTimeout.Std(), 5 * time.Second},
		"starttls_timeout": {p.StarttlsTimeout.Std(), 5 * time.Second}, "idle_timeout": {p.IdleTimeout.Std(), 5 * time.Second},
		"refresh_interval": {p.RefreshInterval.Std(), 60 * time.Second}, "system_shutdown_timeout": {p.ShutdownTimeout(), 1200 * time.Second},
	}
	for name, d := range durations {
		if d[0] != d[1] {
			t.Errorf("%s = %s, want %s", name, d[0], d[1])
		}
	}
	for _, a := range []string{"127.0.0.1", "127.255.255.255", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"} {
		if !p.ProhibitedHosts.Contains(netip.MustParseAddr(a)) {
			t.Errorf("%s is not prohibited by default", a)
		}
	}
	if p.ProhibitedHosts.Contains(netip.MustParseAddr("10.0.0.1")) || !p.SkipHosts.IsEmpty() {
		t.Error("a private address is prohibited, or something is skipped, by default")
	}
	if p.ConnectionLimit.Limit != 32 || p.MaxReady != 1024 || p.MaxDeliveriesPerConnection != 1024 || p.MaxRecipientsPerBatch != 100 ||
		p.ConsecutiveConnectionFailuresBeforeDelay != 100 || p.SMTPPort != 25 || p.EnableTLS != TLSOpportunistic ||
		!p.EnablePipelining || !p.EnableRset || p.IPLookupStrategy != "Ipv4AndIpv6" || p.RefreshStrategy != RefreshTTL ||
		p.ReconnectStrategy != ConnectNextHost || p.MaxMessageRate != nil || p.MaxConnectionRate != nil {
		t.Errorf("defaults: %+v", p)
	}
}

func TestPathRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		value any
		want  string
	}{
		{"smtp_port", int64(0), "smtp_port"},
		{"smtp_port", int64(65536), "smtp_port"},
		{"max_ready", int64(0), "max_ready"},
		{"enable_tls", "required", "did you mean `Required`"},
		{"connect_timeout", int64(0), "connect_timeout must be more than zero"},
		{"prohibited_hosts", []any{"10.0.0.1/8"}, "host bits"},
		{"max_message_rate", "fast", "max_message_rate"},
		{"enable_dane", true, "enable_dane"},
		{"conection_limit", int64(5), "did you mean"},
	} {
		_, err := pathSchema.Resolve("make_egress_path", option.NewLayer(map[string]any{tt.name: tt.value}, lua))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s = %v: %v, want %q", tt.name, tt.value, err, tt.want)
		}
	}
}

func TestMXListForms(t *testing.T) {
	schema := option.SchemaOf[Protocol]()
	tests := []struct {
		in   any
		want string // label, name, addr, port; or part of the error
		bad  bool
	}{
		{in: "Smart.Host.Local", want: "smart.host.local smart.host.local. invalid IP 0"},
		{in: "smart.host:2025", want: "smart.host:2025 smart.host. invalid IP 2025"},
		{in: "[10.0.0.1]", want: "[10.0.0.1]  10.0.0.1 0"},
		{in: "[10.0.0.1]:26", want: "[10.0.0.1]:26  10.0.0.1 26"},
		{in: "[IPv6:::1]:26", want: "[ipv6:::1]:26  ::1 26"},
		{in: map[string]any{"name": "mx.example.com", "addr": "10.0.0.1"}, want: "mx.example.com mx.example.com. 10.0.0.1 0"},
		{in: map[string]any{"name": "mx.example.com"}, want: "missing field `addr`", bad: true},
		{in: map[string]any{"name": "mx.example.com", "addr": "x"}, want: "an IP address", bad: true},
		{in: map[string]any{"name": "mx.example.com", "addr": "10.0.0.1", "adr": "x"}, want: "adr", bad: true},
		{in: "", want: "a host such as", bad: true},
		{in: "host:0", want: "a host such as", bad: true},
		{in: "host:99999", want: "a host such as", bad: true},
		{in: "[10.0.0.1", want: "a host such as", bad: true},
		{in: "a b", want: "a host such as", bad: true},
		{in: int64(5), want: "a host such as", bad: true},
	}
	for _, tt := range tests {
		list := map[string]any{"mx_list": []any{tt.in}}
		res, err := schema.Resolve("make_queue_config", option.NewLayer(map[string]any{"smtp": list}, lua))
		if tt.bad {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v: %v, want %q", tt.in, err, tt.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", tt.in, err)
			continue
		}
		e := res.Value.SMTP.MXList[0]
		got := fmt.Sprintf("%s %s %s %d", e.Label, e.Host.Name, e.Host.Addr, e.Host.Port)
		if got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

// Lists that share a name and not its address are different sites: mail of one must not go to the other's host.
func TestSiteOfMXListNamesTheAddress(t *testing.T) {
	list := func(entries ...any) string {
		p, err := option.SchemaOf[Protocol]().Decode(map[string]any{"smtp": map[string]any{"mx_list": entries}})
		if err != nil {
			t.Fatal(err)
		}
		return p.site()
	}
	relay := func(addr string) any { return map[string]any{"name": "Relay.test", "addr": addr} }
	if got := list("mx.test:26", relay("10.0.0.1"), "[10.0.0.3]"); got != "mx_list:mx.test:26,relay.test/10.0.0.1,[10.0.0.3]" {
		t.Error(got)
	}
	if list(relay("10.0.0.1")) == list(relay("10.0.0.2")) {
		t.Error("two relays share a ready queue")
	}
}
