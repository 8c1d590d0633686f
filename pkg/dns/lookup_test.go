package dns_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kumo/pkg/dns"
)

// testZone is the zone of the project's test set-up, with corner cases.
func testZone(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/test.zone")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func zones(t testing.TB, texts ...string) *dns.Resolver {
	t.Helper()
	r, err := dns.NewZones(texts...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// show is an MX on one line: flags, site, and hosts by level.
func show(mx *dns.MX) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", mx.Domain, mx.Site)
	for _, flag := range []struct {
		name string
		on   bool
	}{{" mx", mx.IsMX}, {" literal", mx.IsLiteral}, {" null", mx.IsNull}} {
		if flag.on {
			b.WriteString(flag.name)
		}
	}
	for _, p := range mx.ByPref {
		fmt.Fprintf(&b, " %d:", p.Value)
		for i, h := range p.Hosts {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(h.Text())
		}
	}
	return b.String()
}

// mxTests hold for every resolver that serves testdata/test.zone.
var mxTests = []struct{ domain, want string }{
	{"acme.test", "acme.test. (mx1|mx2).shared.test mx 10:mx1.shared.test 20:mx2.shared.test"},
	{"ACME.Test.", "acme.test. (mx1|mx2).shared.test mx 10:mx1.shared.test 20:mx2.shared.test"},
	{"beta.test", "beta.test. (mx1|mx2).shared.test mx 10:mx1.shared.test 20:mx2.shared.test"},
	{"equal.test", "equal.test. (mx1|mx2).shared.test mx 5:mx1.shared.test,mx2.shared.test"},
	{"nullmx.test", "nullmx.test.  mx null"},
	{"nomx.test", "nomx.test. nomx.test 0:nomx.test"},
	{"cnamemx.test", "cnamemx.test. alias.shared.test mx 10:alias.shared.test"},
	{"ipmx.test", "ipmx.test. 127.0.0.21.test mx 10:127.0.0.21.test"},
	{"deadmx.test", "deadmx.test. nothing.here.test mx 10:nothing.here.test"},
	{"a.wild.test", "a.wild.test. mx1.shared.test mx 10:mx1.shared.test"},
	{"a.b.wild.test", "a.b.wild.test. mx1.shared.test mx 10:mx1.shared.test"},
	{"acme.test:2025", "acme.test. (mx1|mx2).shared.test:2025 mx 10:mx1.shared.test:2025 20:mx2.shared.test:2025"},
	{"[10.0.0.1]", "[10.0.0.1] 10.0.0.1 literal 0:10.0.0.1"},
	{"[10.0.0.1]:2025", "[10.0.0.1]:2025 10.0.0.1:2025 literal 0:10.0.0.1:2025"},
	{"[IPv6:::1]", "[IPv6:::1] ::1 literal 0:::1"},
	{"[ipv6:::1]:26", "[ipv6:::1]:26 [::1]:26 literal 0:[::1]:26"},
	{"[::1]", "[::1] ::1 literal 0:::1"},
	{"[::ffff:10.0.0.1]", "[::ffff:10.0.0.1] 10.0.0.1 literal 0:10.0.0.1"},
	{"nobody.test", "no such name"},
	{"shared.test", "shared.test. shared.test 0:shared.test"},
	{"", "not a domain name"},
	{".", "not a domain name"},
	{"a..b", "not a domain name"},
	{"a b.test", "not a domain name"},
	{strings.Repeat("a", 64) + ".test", "not a domain name"},
	{strings.Repeat("abcdefg.", 32) + "test", "not a domain name"},
	{"acme.test:0", "not a domain name"},
	{"acme.test:65536", "not a domain name"},
	{"acme.test:x", "not a domain name"},
	{"[10.0.0.1", "not a domain name"},
	{"[10.0.0.1]x", "not a domain name"},
	{"[fe80::1%eth0]", "not a domain name"},
	{"[acme.test]", "not a domain name"},
}

func checkMX(t *testing.T, r *dns.Resolver) {
	t.Helper()
	for _, tt := range mxTests {
		mx, err := r.LookupMX(t.Context(), tt.domain)
		if err != nil {
			var e *dns.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || !dns.IsNotFound(err) {
				t.Errorf("%q: %v, want %s", tt.domain, err, tt.want)
			}
			continue
		}
		if got := show(mx); got != tt.want {
			t.Errorf("%q:\n got %s\nwant %s", tt.domain, got, tt.want)
		}
		again, err := r.LookupMX(t.Context(), tt.domain)
		if err != nil || again != mx && !mx.IsLiteral {
			t.Errorf("%q: the second answer is not the first", tt.domain)
		}
	}
}

func TestLookupMXInZones(t *testing.T) { checkMX(t, zones(t, testZone(t))) }

func TestLookupIPInZones(t *testing.T) { checkIP(t, zones(t, testZone(t))) }

func checkIP(t *testing.T, r *dns.Resolver) {
	t.Helper()
	for _, tt := range []struct {
		name     string
		strategy dns.IPStrategy
		want     string
	}{
		{"mx2.shared.test", dns.Ipv4AndIpv6, "[127.0.0.22 ::1]"},
		{"MX2.Shared.Test.", "", "[127.0.0.22 ::1]"},
		{"mx2.shared.test", dns.Ipv4Only, "[127.0.0.22]"},
		{"mx2.shared.test", dns.Ipv6Only, "[::1]"},
		{"mx2.shared.test", dns.Ipv6ThenIpv4, "[::1]"},
		{"mx2.shared.test", dns.Ipv4ThenIpv6, "[127.0.0.22]"},
		{"mx1.shared.test", dns.Ipv6ThenIpv4, "[127.0.0.21]"},
		{"mx1.shared.test", dns.Ipv4AndIpv6, "[127.0.0.21]"},
		{"mx1.shared.test", dns.Ipv6Only, "no record of this type"},
		{"alias.shared.test", dns.Ipv4AndIpv6, "[127.0.0.21]"},
		{"nothing.here.test", dns.Ipv4AndIpv6, "no such name"},
		{"127.0.0.21", dns.Ipv4AndIpv6, ""},
		{"bad..name", dns.Ipv4AndIpv6, "not a domain name"},
	} {
		addrs, err := r.LookupIP(t.Context(), tt.name, tt.strategy)
		got := fmt.Sprint(addrs)
		if err != nil {
			got = err.Error()
		}
		if (err == nil) != strings.HasPrefix(tt.want, "[") || !strings.Contains(got, tt.want) {
			t.Errorf("%s by %s: %s, want %s", tt.name, tt.strategy, got, tt.want)
		}
	}
}

func TestTextsAndPointers(t *testing.T) {
	r := zones(t, testZone(t), `$ORIGIN 0.0.127.in-addr.arpa.
21 PTR MX1.shared.test.
`, `$ORIGIN ip6.arpa.
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 PTR six.test.
`, `$ORIGIN text.test.
@ TXT "v=DKIM1; " "p=abc" ; two strings are one text
quoted TXT "a \"b\" \\ \007 ü"
`)
	for _, tt := range []struct{ name, want string }{
		{"spf.test", "[v=spf1 ip4:127.0.0.0/8 -all]"},
		{"_dmarc.spf.test", "[v=DMARC1; p=reject]"},
		{"text.test", "[v=DKIM1; p=abc]"},
		{"quoted.text.test", "[a \"b\" \\ \x07 ü]"},
	} {
		if got, err := r.LookupTXT(t.Context(), tt.name); err != nil || fmt.Sprint(got) != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	if _, err := r.LookupTXT(t.Context(), "acme.test"); !dns.IsNotFound(err) {
		t.Errorf("a name without TXT: %v", err)
	}
	for _, tt := range []struct{ addr, want string }{
		{"127.0.0.21", "[mx1.shared.test.]"},
		{"::ffff:127.0.0.21", "[mx1.shared.test.]"},
		{"::1", "[six.test.]"},
	} {
		if got, err := r.LookupPTR(t.Context(), netip.MustParseAddr(tt.addr)); err != nil || fmt.Sprint(got) != tt.want {
			t.Errorf("%s: %v, %v", tt.addr, got, err)
		}
	}
	if _, err := r.LookupPTR(t.Context(), netip.Addr{}); !dns.IsNotFound(err) {
		t.Errorf("no address: %v", err)
	}
}

func TestInternationalNames(t *testing.T) {
	r := zones(t, "$ORIGIN xn--bcher-kva.example.\n@ MX 10 mx.xn--bcher-kva.example.\n")
	for _, name := range []string{"bücher.example", "BÜCHER.example", "xn--bcher-kva.example", "bücher.example."} {
		mx, err := r.LookupMX(t.Context(), name)
		if err != nil || mx.Site != "mx.xn--bcher-kva.example" || mx.Domain != "xn--bcher-kva.example." {
			t.Errorf("%s: %+v, %v", name, mx, err)
		}
	}
	if _, err := r.LookupMX(t.Context(), "b\u200bücher.example\xff"); !dns.IsNotFound(err) {
		t.Errorf("bytes that are no name: %v", err)
	}
}

func TestNewZonesNamesTheLine(t *testing.T) {
	_, err := dns.NewZones("$ORIGIN a.test.\n@ A 127.0.0.1\n", "$ORIGIN b.test.\n@ A 127.0.0.1\n@ A what\n")
	if err == nil || !strings.Contains(err.Error(), "zone 2") || !strings.Contains(err.Error(), "line: 3") {
		t.Errorf("got %v", err)
	}
}

func TestServfailZones(t *testing.T) {
	r, err := dns.NewTest(dns.TestResolverOptions{Zones: []string{testZone(t)}, Servfail: []string{"Acme.test"}}, dns.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.LookupMX(t.Context(), "acme.test"); !dns.IsTemporary(err) {
		t.Errorf("got %v", err)
	}
}

func TestLocalhostInZones(t *testing.T) {
	for zone, want := range map[string]string{"": "[127.0.0.1 ::1]", "$ORIGIN .\nlocalhost A 127.0.0.5\n": "[127.0.0.5]"} {
		if got, err := zones(t, zone).LookupIP(t.Context(), "localhost", ""); err != nil || fmt.Sprint(got) != want {
			t.Errorf("got %v, %v, want %s", got, err, want)
		}
	}
}

// hostsResolver has the zone, the hosts file text, and a clock.
func hostsResolver(t *testing.T, text string) (r *dns.Resolver, path string, clock *time.Time) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "hosts")
	writeHosts(t, path, text)
	now := time.Now()
	cfg := dns.Config{Hosts: path, Now: func() time.Time { return now }}
	cfg.Options = dns.ResolverOptions{NameServers: []dns.NameServer{deadServer(t)}, Options: dns.DefaultLookupOptions()}
	cfg.Limits.MXTimeout = 200 * time.Millisecond
	r, err := dns.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r, path, &now
}

func writeHosts(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// deadServer is a port at which nobody answers.
func deadServer(t testing.TB) dns.NameServer {
	t.Helper()
	ns, err := dns.ParseNameServer("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func TestHostsFileNeedsNoDNS(t *testing.T) {
	r, path, now := hostsResolver(t, "# comment\n127.0.0.9 Sink sink.lan # more\n::9 sink.lan\nnonsense sink\n10.0.0.1\n")
	for _, tt := range []struct {
		name     string
		strategy dns.IPStrategy
		want     string
	}{
		{"sink", "", "[127.0.0.9]"},
		{"SINK.lan.", "", "[127.0.0.9 ::9]"},
		{"sink.lan", dns.Ipv6ThenIpv4, "[::9]"},
		{"sink.lan", dns.Ipv4Only, "[127.0.0.9]"},
		{"localhost", "", "[127.0.0.1 ::1]"},
		{"mail.localhost", dns.Ipv4Only, "[127.0.0.1]"},
	} {
		if got, err := r.LookupIP(t.Context(), tt.name, tt.strategy); err != nil || fmt.Sprint(got) != tt.want {
			t.Errorf("%s: %v, %v, want %s", tt.name, got, err, tt.want)
		}
	}
	if _, err := r.LookupIP(t.Context(), "sink", dns.Ipv6Only); !dns.IsNotFound(err) {
		t.Errorf("no IPv6 in the file: %v", err)
	}
	for domain, want := range map[string]string{
		"localhost": "localhost. localhost 0:localhost", "sink": "sink. sink 0:sink", "sink.lan:2025": "sink.lan. sink.lan:2025 0:sink.lan:2025",
	} {
		if mx, err := r.LookupMX(t.Context(), domain); err != nil || show(mx) != want {
			t.Errorf("MX of %s: %v, %v", domain, mx, err)
		}
	}
	writeHosts(t, path, "127.0.0.10 sink\n")
	*now = now.Add(2 * time.Second)
	if got, err := r.LookupIP(t.Context(), "sink", ""); err != nil || fmt.Sprint(got) != "[127.0.0.10]" {
		t.Errorf("after a change: %v, %v", got, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	*now = now.Add(2 * time.Second)
	if got, err := r.LookupIP(t.Context(), "localhost", ""); err != nil || len(got) != 2 {
		t.Errorf("without a file: %v, %v", got, err)
	}
	if got, err := r.LookupIP(t.Context(), "sink", ""); !dns.IsTemporary(err) {
		t.Errorf("gone from the file: %v, %v", got, err)
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	r := zones(t, testZone(t))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := r.LookupMX(ctx, "acme.test"); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkLookupMXHit(b *testing.B) {
	r := zones(b, testZone(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.LookupMX(b.Context(), "acme.test"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookupMXHitParallel(b *testing.B) {
	r := zones(b, testZone(b))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.LookupMX(b.Context(), "acme.test"); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkSiteName(b *testing.B) {
	hosts := names("gmail-smtp-in.l.google.com.", "alt1.gmail-smtp-in.l.google.com.", "alt2.gmail-smtp-in.l.google.com.", "alt3.gmail-smtp-in.l.google.com.", "alt4.gmail-smtp-in.l.google.com.")
	b.ReportAllocs()
	for b.Loop() {
		dns.SiteName(hosts)
	}
}

func FuzzLookupName(f *testing.F) {
	for _, tt := range mxTests {
		f.Add(tt.domain)
	}
	r, err := dns.NewZones("$ORIGIN test.\nacme MX 10 mx\n")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mx, err := r.LookupMX(t.Context(), s)
		if err != nil {
			return
		}
		if strings.ContainsAny(mx.Site, " \n\t\"\\") {
			t.Errorf("%q makes the site %q", s, mx.Site)
		}
	})
}
