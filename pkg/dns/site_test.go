package dns_test

import (
	"net/netip"
	"testing"

	"kumo/pkg/dns"
)

func names(list ...string) []dns.Host {
	var out []dns.Host
	for _, n := range list {
		out = append(out, dns.Host{Name: n})
	}
	return out
}

func TestSiteName(t *testing.T) {
	literal := netip.MustParseAddr
	tests := []struct {
		name  string
		hosts []dns.Host
		want  string
	}{
		{"gmail", names("gmail-smtp-in.l.google.com.", "alt1.gmail-smtp-in.l.google.com.", "alt2.gmail-smtp-in.l.google.com.", "alt3.gmail-smtp-in.l.google.com.", "alt4.gmail-smtp-in.l.google.com."), "(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com"},
		{"yahoo", names("mta5.am0.yahoodns.net.", "mta6.am0.yahoodns.net.", "mta7.am0.yahoodns.net."), "(mta5|mta6|mta7).am0.yahoodns.net"},
		{"other order, other site", names("mta7.am0.yahoodns.net.", "mta6.am0.yahoodns.net.", "mta5.am0.yahoodns.net."), "(mta7|mta6|mta5).am0.yahoodns.net"},
		{"one host", names("mx.example.com."), "mx.example.com"},
		{"case and root dot", names("MX1.Example.COM", "mx2.example.com."), "(mx1|mx2).example.com"},
		{"different domains", names("mx.a.com.", "mx.b.net."), "mx.(a|b).(com|net)"},
		{"one optional label", names("example.com.", "mx.example.com."), "mx?.example.com"},
		{"optional labels at two depths", names("com.", "example.com.", "a.example.com."), "a?.example?.com"},
		{"the same host twice", names("mx.example.com.", "mx.example.com."), "mx.example.com"},
		{"port of one", []dns.Host{{Name: "mx.example.net.", Port: 123}}, "mx.example.net:123"},
		{"port of all", []dns.Host{{Name: "a.example.net.", Port: 123}, {Name: "b.example.net.", Port: 123}}, "(a|b).example.net:123"},
		{"port of some", []dns.Host{{Name: "a.example.net.", Port: 123}, {Name: "b.example.net."}}, "(a|b).example.(net:123|net)"},
		{"literal", []dns.Host{{Addr: literal("10.0.0.1")}}, "10.0.0.1"},
		{"literal with port", []dns.Host{{Addr: literal("10.0.0.1"), Port: 2025}}, "10.0.0.1:2025"},
		{"IPv6 literal", []dns.Host{{Addr: literal("::1")}}, "::1"},
		{"IPv6 literal with port", []dns.Host{{Addr: literal("::1"), Port: 2025}}, "[::1]:2025"},
		{"nobody", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := dns.SiteName(tt.hosts); got != tt.want {
				t.Errorf("SiteName = %q, want %q", got, tt.want)
			}
		})
	}
}
