package dns_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"kumo/pkg/dns"
	"kumo/pkg/kumotest"
	"kumo/pkg/metric"
	"kumo/pkg/option"
)

func silent(t testing.TB) *kumotest.DNS { return kumotest.NewDNS(t, func(*kumotest.DNSQuery) {}) }

func answering(t testing.TB) *kumotest.DNS {
	return kumotest.NewDNS(t, kumotest.DNSRecords(good, "mx.good.test. 60 IN A 192.0.2.1", "mx.good.test. 60 IN AAAA 2001:db8::1"))
}

func failing(t testing.TB, rcode int) *kumotest.DNS {
	return kumotest.NewDNS(t, func(q *kumotest.DNSQuery) { q.Fail(rcode) })
}

func wantSite(t *testing.T, r *dns.Resolver, want string) {
	t.Helper()
	mx, err := r.LookupMX(t.Context(), "acme.test")
	if err != nil || mx.Site != want {
		t.Errorf("got %+v, %v, want %s", mx, err, want)
	}
}

// A server that is dead, refuses or fails does not keep the others from answering, in whatever order they stand.
func TestAnotherServerAnswers(t *testing.T) {
	bad := map[string]func(testing.TB) *kumotest.DNS{
		"silent":   silent,
		"SERVFAIL": func(t testing.TB) *kumotest.DNS { return failing(t, mdns.RcodeServerFailure) },
		"REFUSED":  func(t testing.TB) *kumotest.DNS { return failing(t, mdns.RcodeRefused) },
		"garbage": func(t testing.TB) *kumotest.DNS {
			return kumotest.NewDNS(t, func(q *kumotest.DNSQuery) { q.Send(raw(q, mxRecord(0)...)) })
		},
	}
	for name, make := range bad {
		for _, group := range []int{0, 1, 2, 3} {
			t.Run(fmt.Sprint(name, group), func(t *testing.T) {
				t.Parallel()
				one := func(c *dns.Config) {
					c.Options.Options.NumConcurrentReqs = group
					c.Limits.MXTimeout = 4 * time.Second
				}
				wantSite(t, asking(t, one, make(t), make(t), answering(t)), "mx.good.test")
				wantSite(t, asking(t, one, answering(t), make(t)), "mx.good.test")
			})
		}
	}
}

func TestAnotherAttempt(t *testing.T) {
	srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		if q.N == 2 {
			q.Answer(good)
		}
	})
	wantSite(t, asking(t, nil, srv), "mx.good.test")
	if n := srv.Asked("acme.test.", mdns.TypeMX); n != 3 {
		t.Errorf("asked %d times", n)
	}
}

func TestAttemptsAreCounted(t *testing.T) {
	srv := failing(t, mdns.RcodeServerFailure)
	r := asking(t, func(c *dns.Config) { c.Options.Options.Attempts = 4 }, srv)
	if _, err := r.LookupMX(t.Context(), "acme.test"); !dns.IsTemporary(err) || !strings.Contains(err.Error(), srv.Addr) || !strings.Contains(err.Error(), "SERVFAIL") {
		t.Errorf("got %v", err)
	}
	if n := srv.Asked("acme.test.", mdns.TypeMX); n != 5 {
		t.Errorf("asked %d times", n)
	}
}

func TestDoubtedNXDOMAIN(t *testing.T) {
	for _, group := range []int{1, 2} {
		no, yes := failing(t, mdns.RcodeNameError), answering(t)
		doubt := func(c *dns.Config) {
			c.Options.NameServers[0].TrustNegativeResponses = false
			c.Options.Options.NumConcurrentReqs = group
			c.Options.Options.ServerOrderingStrategy = "UserProvidedOrder"
		}
		wantSite(t, asking(t, doubt, no, yes), "mx.good.test")
		if _, err := asking(t, doubt, no, no).LookupMX(t.Context(), "acme.test"); !dns.IsNotFound(err) {
			t.Errorf("group %d: all say NXDOMAIN: %v", group, err)
		}
		if _, err := asking(t, func(c *dns.Config) { c.Options.Options.NumConcurrentReqs = 1 }, no, yes).LookupMX(t.Context(), "acme.test"); !dns.IsNotFound(err) {
			t.Errorf("a trusted NXDOMAIN: %v", err)
		}
	}
}

func TestServerOrder(t *testing.T) {
	order := func(strategy string, first, second *kumotest.DNS) *dns.Resolver {
		return asking(t, func(c *dns.Config) {
			c.Options.Options.ServerOrderingStrategy = strategy
			c.Options.Options.NumConcurrentReqs = 1
		}, first, second)
	}
	lookups := func(r *dns.Resolver) {
		for i := range 10 {
			_, _ = r.LookupMX(t.Context(), fmt.Sprintf("d%d.test", i))
		}
	}
	a, b := answering(t), answering(t)
	lookups(order("UserProvidedOrder", a, b))
	if a.Total() != 10 || b.Total() != 0 {
		t.Errorf("UserProvidedOrder: %d and %d", a.Total(), b.Total())
	}
	a, b = answering(t), answering(t)
	lookups(order("RoundRobin", a, b))
	if a.Total() != 5 || b.Total() != 5 {
		t.Errorf("RoundRobin: %d and %d", a.Total(), b.Total())
	}
	a, b = failing(t, mdns.RcodeRefused), answering(t)
	lookups(order("QueryStatistics", a, b))
	if a.Total() != 1 {
		t.Errorf("QueryStatistics asks the failing server %d times", a.Total())
	}
}

func TestProtocols(t *testing.T) {
	var tcp, udp atomic.Int32
	count := func(q *kumotest.DNSQuery) {
		if q.TCP {
			tcp.Add(1)
		} else {
			udp.Add(1)
		}
		q.Send(packed(q, func(m *mdns.Msg) { m.Truncated = !q.TCP }))
	}
	protocol := func(p string) func(*dns.Config) {
		return func(c *dns.Config) { c.Options.NameServers[0].Protocol = p }
	}
	srv := kumotest.NewDNS(t, count)
	wantSite(t, asking(t, protocol("tcp"), srv), "mx.good.test")
	if udp.Load() != 0 || tcp.Load() != 1 {
		t.Errorf("tcp: %d by UDP, %d by TCP", udp.Load(), tcp.Load())
	}
	if _, err := asking(t, protocol("udp"), srv).LookupMX(t.Context(), "acme.test"); !dns.IsTemporary(err) || tcp.Load() != 1 {
		t.Errorf("udp: %v", err)
	}
	quiet := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		if q.TCP {
			q.Answer(good)
		} else {
			q.Send(raw(q, mxRecord(0)...))
		}
	})
	if _, err := asking(t, nil, quiet).LookupMX(t.Context(), "acme.test"); !dns.IsTemporary(err) {
		t.Errorf("without try_tcp_on_error: %v", err)
	}
	wantSite(t, asking(t, func(c *dns.Config) { c.Options.Options.TryTCPOnError = true }, quiet), "mx.good.test")
}

func TestBindAddr(t *testing.T) {
	srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		if strings.HasPrefix(q.From.String(), "127.0.0.88:") {
			q.Send(packed(q, func(m *mdns.Msg) { m.Truncated = !q.TCP }))
		}
	})
	bind := option.NewLayer(map[string]any{"name_servers": []any{map[string]any{"socket_addr": srv.Addr, "bind_addr": "127.0.0.88:0"}}}, option.Origin{})
	res, err := option.SchemaOf[dns.ResolverOptions]().Resolve("configure_resolver", bind)
	if err != nil {
		t.Fatal(err)
	}
	wantSite(t, asking(t, func(c *dns.Config) { c.Options.NameServers = res.Value.NameServers }), "mx.good.test")
}

func TestOldServerWithoutEDNS(t *testing.T) {
	srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		if q.Msg.IsEdns0() != nil {
			m := q.Reply()
			m.Rcode, m.Question = mdns.RcodeFormatError, nil
			q.SendMsg(m)
			return
		}
		q.Answer(good)
	})
	wantSite(t, asking(t, nil, srv), "mx.good.test")
}

func TestQuestionFlags(t *testing.T) {
	got := make(chan *mdns.Msg, 1)
	srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		got <- q.Msg
		q.Answer(q.Name + " 60 IN MX 10 mx.good.test.")
	})
	wantSite(t, asking(t, nil, srv), "mx.good.test")
	if m := <-got; !m.RecursionDesired || m.IsEdns0() == nil || m.IsEdns0().UDPSize() != 1232 {
		t.Errorf("asked %v", m)
	}
	wantSite(t, asking(t, func(c *dns.Config) {
		c.Options.Options.RecursionDesired, c.Options.Options.EDNS0 = false, false
	}, srv), "mx.good.test")
	if m := <-got; m.RecursionDesired || m.IsEdns0() != nil {
		t.Errorf("asked %v", m)
	}
}

func TestCaseRandomization(t *testing.T) {
	mixed := func(c *dns.Config) { c.Options.Options.CaseRandomization = true }
	name := strings.Repeat("abcdefgh.", 10) + "test"
	var asked atomic.Value
	honest := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		asked.Store(q.Name)
		q.Answer(q.Name + " 60 IN MX 10 mx.good.test.")
	})
	if _, err := asking(t, mixed, honest).LookupMX(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if s := asked.Load().(string); s == strings.ToLower(s) {
		t.Errorf("asked %s", s)
	}
	folding := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		q.Msg.Question[0].Name = strings.ToLower(q.Name)
		q.Answer(q.Msg.Question[0].Name + " 60 IN MX 10 mx.good.test.")
	})
	if _, err := asking(t, mixed, folding).LookupMX(t.Context(), name); !dns.IsTemporary(err) {
		t.Errorf("an answer in the wrong letter case: %v", err)
	}
}

// A resolver made by hand, with nothing said but the server, asks as one that was configured.
func TestZeroOptionsAreDefaults(t *testing.T) {
	got := make(chan *mdns.Msg, 1)
	srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		got <- q.Msg
		q.Answer(good)
	})
	wantSite(t, asking(t, func(c *dns.Config) { c.Options.Options = dns.LookupOptions{} }, srv), "mx.good.test")
	if m := <-got; !m.RecursionDesired || m.IsEdns0() == nil {
		t.Errorf("asked %v", m)
	}
}

func TestMetrics(t *testing.T) {
	reg := metric.NewRegistry()
	r := asking(t, func(c *dns.Config) { c.Metrics = dns.NewMetrics(reg) }, answering(t))
	for _, domain := range []string{"acme.test", "acme.test", "ACME.test", "nobody.test", "nobody.test"} {
		_, _ = r.LookupMX(t.Context(), domain)
	}
	rec := httptest.NewRecorder()
	reg.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		"dns_mx_resolve_cache_hit 3", "dns_mx_resolve_cache_miss 2", "dns_mx_resolve_in_progress 0",
		"dns_mx_resolve_status_ok 1", "dns_mx_resolve_status_fail 1",
	} {
		if !strings.Contains(rec.Body.String(), line+"\n") {
			t.Errorf("no %q in\n%s", line, rec.Body)
		}
	}
}

// Many who want one name make one question.
func TestOneQuestionAtATime(t *testing.T) {
	release := make(chan struct{})
	srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		<-release
		q.Answer(good)
	})
	r := asking(t, func(c *dns.Config) { c.Limits.MXTimeout = 10 * time.Second }, srv)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { wantSite(t, r, "mx.good.test") })
	}
	close(release)
	wg.Wait()
	if n := srv.Asked("acme.test.", mdns.TypeMX); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// F99: with a dead name server lookups are bounded in number and in time.
func TestConcurrencyLimit(t *testing.T) {
	srv := silent(t)
	r := asking(t, func(c *dns.Config) { c.Limits.MXConcurrency, c.Limits.MXTimeout = 3, 300*time.Millisecond }, srv)
	var wg sync.WaitGroup
	var busy atomic.Int32
	start := time.Now()
	for i := range 20 {
		wg.Go(func() {
			_, err := r.LookupMX(t.Context(), fmt.Sprintf("d%d.test", i))
			if !dns.IsTemporary(err) {
				t.Errorf("got %v", err)
			}
			if strings.Contains(err.Error(), "set_mx_concurrency_limit") {
				busy.Add(1)
			}
		})
	}
	wg.Wait()
	if busy.Load() < 10 || time.Since(start) > 5*time.Second {
		t.Errorf("%d of 20 were told that there are too many, after %s", busy.Load(), time.Since(start))
	}
}

func TestWhatIsKept(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	clock := func(c *dns.Config) { c.Now = func() time.Time { return now } }
	tests := []struct {
		name string
		mod  func(*dns.Config)
		srv  *kumotest.DNS
		kept time.Duration
	}{
		{"an answer for its TTL", nil, answering(t), 300 * time.Second},
		{"NXDOMAIN", nil, failing(t, mdns.RcodeNameError), 5 * time.Minute},
		{"a failure", nil, failing(t, mdns.RcodeServerFailure), 30 * time.Second},
		{"positive_max_ttl", func(c *dns.Config) { c.Options.Options.PositiveMaxTTL = option.Duration(10 * time.Second) }, answering(t), 10 * time.Second},
		{"positive_min_ttl", func(c *dns.Config) { c.Options.Options.PositiveMinTTL = option.Duration(time.Hour) }, answering(t), time.Hour},
		{"set_mx_negative_cache_ttl", func(c *dns.Config) { c.Limits.MXNegativeTTL = time.Minute }, failing(t, mdns.RcodeNameError), time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := asking(t, func(c *dns.Config) {
				clock(c)
				c.Options.Options.Attempts = 0
				if tt.mod != nil {
					tt.mod(c)
				}
			}, tt.srv)
			asked := func(after time.Duration) int {
				now = now.Add(after)
				before := tt.srv.Total()
				_, _ = r.LookupMX(t.Context(), "acme.test")
				return tt.srv.Total() - before
			}
			if n := asked(0); n != 1 {
				t.Errorf("first: asked %d times", n)
			}
			if n := asked(tt.kept - time.Second); n != 0 {
				t.Errorf("asked again %s before its time", time.Second)
			}
			if n := asked(time.Second); n != 1 {
				t.Errorf("not asked again after %s", tt.kept)
			}
		})
	}
}

// "There is none" of an address is kept as the SOA says (RFC 2308), within its bounds.
func TestNegativeAddressTTL(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		m := q.Reply()
		m.Ns = []mdns.RR{kumotest.RR("test. 900 IN SOA ns.test. host.test. 1 3600 600 86400 40")}
		q.SendMsg(m)
	})
	r := asking(t, func(c *dns.Config) { c.Now = func() time.Time { return now } }, srv)
	for _, step := range []struct {
		after time.Duration
		asked int
	}{{0, 1}, {39 * time.Second, 1}, {time.Second, 2}} {
		now = now.Add(step.after)
		if _, err := r.LookupIP(t.Context(), "acme.test", dns.Ipv4Only); !dns.IsNotFound(err) {
			t.Errorf("got %v", err)
		}
		if n := srv.Total(); n != step.asked {
			t.Errorf("asked %d times, want %d", n, step.asked)
		}
	}
}

// One family that fails does not hide the other.
func TestHalfAnAddress(t *testing.T) {
	srv := kumotest.NewDNS(t, func(q *kumotest.DNSQuery) {
		switch {
		case q.Type == mdns.TypeA:
			q.Fail(mdns.RcodeServerFailure)
		case strings.HasPrefix(q.Name, "six."):
			q.Answer(q.Name + " 60 IN AAAA 2001:db8::1")
		default:
			q.Answer()
		}
	})
	r := asking(t, nil, srv)
	for _, s := range []dns.IPStrategy{dns.Ipv4AndIpv6, dns.Ipv4ThenIpv6, dns.Ipv6ThenIpv4, dns.Ipv6Only} {
		if got, err := r.LookupIP(t.Context(), "six.test", s); err != nil || fmt.Sprint(got) != "[2001:db8::1]" {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []dns.IPStrategy{dns.Ipv4AndIpv6, dns.Ipv4ThenIpv6, dns.Ipv6ThenIpv4, dns.Ipv4Only} {
		if _, err := r.LookupIP(t.Context(), "none.test", s); !dns.IsTemporary(err) {
			t.Errorf("%s: none of one family, no answer for the other: %v", s, err)
		}
	}
}

// A name of the hosts file that has an MX keeps it; when DNS knows nothing of it the file's word holds.
func TestHostsFileAndMX(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	writeHosts(t, path, "127.0.1.1 acme.test box.test\n")
	r := asking(t, func(c *dns.Config) { c.Hosts, c.Options.Options.UseHostsFile = path, "Auto" }, answering(t))
	wantSite(t, r, "mx.good.test")
	if mx, err := r.LookupMX(t.Context(), "box.test"); err != nil || mx.Site != "box.test" || mx.IsMX {
		t.Errorf("got %+v, %v", mx, err)
	}
}

func TestResolvConf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	text := "# comment\nsearch corp.example\nnameserver 10.0.0.1\nnameserver ::1\nnameserver 10.0.0.3\nnameserver 10.0.0.4\noptions timeout:3 attempts:4 ndots:5\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	opt, err := dns.LoadResolvConf(path)
	if err != nil {
		t.Fatal(err)
	}
	var servers []string
	for _, s := range opt.NameServers {
		servers = append(servers, s.SocketAddr.String())
	}
	if got := fmt.Sprint(servers, opt.Search, opt.Options.Timeout, opt.Options.Attempts); got != "[10.0.0.1:53 [::1]:53 10.0.0.3:53] [corp.example] 3s 3" {
		t.Errorf("got %s", got)
	}
	opt, err = dns.LoadResolvConf(filepath.Join(t.TempDir(), "none"))
	if err != nil || len(opt.NameServers) != 1 || opt.NameServers[0].SocketAddr.String() != "127.0.0.1:53" {
		t.Errorf("without a file: %+v, %v", opt, err)
	}
}

func TestConfigureResolverForms(t *testing.T) {
	schema := option.SchemaOf[dns.ResolverOptions]()
	for _, tt := range []struct {
		in   any
		want string
	}{
		{"10.0.0.1", "10.0.0.1:53 udp_then_tcp true"},
		{"10.0.0.1:5301", "10.0.0.1:5301 udp_then_tcp true"},
		{"::1", "[::1]:53 udp_then_tcp true"},
		{"[::1]:5301", "[::1]:5301 udp_then_tcp true"},
		{map[string]any{"socket_addr": "10.0.0.1"}, "10.0.0.1:53 udp_then_tcp true"},
		{map[string]any{"socket_addr": "10.0.0.1:54", "protocol": "tcp", "trust_negative_responses": false}, "10.0.0.1:54 tcp false"},
		{"ns.example.com", "name server"},
		{"10.0.0.1:0", "name server"},
		{map[string]any{"protocol": "tcp"}, "socket_addr"},
		{map[string]any{"socket_addr": "10.0.0.1", "protocol": "quic"}, "quic"},
		{map[string]any{"socket_addr": "10.0.0.1", "sockt": "x"}, "sockt"},
		{int64(5), "name server"},
	} {
		res, err := schema.Resolve("configure_resolver", option.NewLayer(map[string]any{"name_servers": []any{tt.in}}, option.Origin{}))
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v: %v, want %s", tt.in, err, tt.want)
			}
			continue
		}
		ns := res.Value.NameServers[0]
		if got := fmt.Sprint(ns.SocketAddr, " ", ns.Protocol, " ", ns.TrustNegativeResponses); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.in, got, tt.want)
		}
	}
	for _, bad := range []map[string]any{
		{},
		{"name_servers": []any{"10.0.0.1"}, "options": map[string]any{"validate": true}},
		{"name_servers": []any{"10.0.0.1"}, "options": map[string]any{"attempts": int64(11)}},
		{"name_servers": []any{"10.0.0.1"}, "options": map[string]any{"negative_min_ttl": "5m", "negative_max_ttl": "1m"}},
	} {
		if _, err := schema.Resolve("configure_resolver", option.NewLayer(bad, option.Origin{})); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	if _, err := dns.New(dns.Config{}); err == nil {
		t.Error("a resolver without servers")
	}
}

// The zone of the project's test set-up, served by NSD.
func TestRealNSD(t *testing.T) {
	addr := kumotest.StartNSD(t, "test.", testZone(t))
	ns, err := dns.ParseNameServer(addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []string{"udp_then_tcp", "tcp", "udp"} {
		r := asking(t, func(c *dns.Config) {
			ns.Protocol = protocol
			c.Options.NameServers = []dns.NameServer{ns}
			c.Limits.MXTimeout = 5 * time.Second
		})
		checkMX(t, r)
		if protocol != "udp" {
			continue
		}
		if got, err := r.LookupTXT(t.Context(), "_mta-sts.acme.test"); err != nil || fmt.Sprint(got) != "[v=STSv1; id=20260101]" {
			t.Errorf("TXT: %v, %v", got, err)
		}
		if _, err := r.LookupMX(t.Context(), "other.example"); !dns.IsTemporary(err) {
			t.Errorf("a zone that NSD does not have: %v", err)
		}
	}
}
