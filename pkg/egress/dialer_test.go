package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/dns"
)

func planTo(source Source, path Path, hosts ...dns.Host) *Plan {
	return &Plan{Source: &source, Path: &path, MX: &dns.MX{Hosts: hosts, ByPref: []dns.Pref{{Hosts: hosts}}}}
}

// listen takes one connection and tells where it came from.
func listen(t *testing.T) (netip.AddrPort, <-chan net.Addr) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	from := make(chan net.Addr, 1)
	go func() {
		defer close(from)
		if c, err := l.Accept(); err == nil {
			from <- c.RemoteAddr()
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort(), from
}

func TestDialBindsTheSourceAddress(t *testing.T) {
	addr, from := listen(t)
	d := NewDialer(DialerConfig{})
	plan := planTo(Source{Name: "s", SourceAddress: netip.MustParseAddr("127.0.0.77")}, pathSchema.Default())
	conn, err := d.Dial(t.Context(), plan, Target{Name: "sink.", Addr: addr})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if got := (<-from).(*net.TCPAddr).IP.String(); got != "127.0.0.77" {
		t.Errorf("the peer sees %s", got)
	}
}

// F86: an address that this machine does not have is told apart from everything else.
func TestDialFromMissingAddress(t *testing.T) {
	addr, _ := listen(t)
	d := NewDialer(DialerConfig{})
	plan := planTo(Source{Name: "ip-9", SourceAddress: netip.MustParseAddr("192.0.2.99")}, pathSchema.Default())
	_, err := d.Dial(t.Context(), plan, Target{Name: "sink.", Addr: addr})
	var de *DialError
	if !errors.As(err, &de) || !de.Unplumbed() || de.Timeout() {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"192.0.2.99", "ip-9", "sink./127.0.0.1"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
}

func TestDialRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	_ = l.Close()
	_, err = NewDialer(DialerConfig{}).Dial(t.Context(), planTo(Source{}, pathSchema.Default()), Target{Name: "mx.", Addr: addr})
	var de *DialError
	if !errors.As(err, &de) || de.Unplumbed() || de.Timeout() || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
}

func TestDialTakesConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDialer(DialerConfig{Dial: func(ctx context.Context, _ netip.Addr, _ netip.AddrPort) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		start := time.Now()
		_, err := d.Dial(t.Context(), planTo(Source{}, pathSchema.Default()), Target{Name: "mx.", Addr: netip.MustParseAddrPort("192.0.2.1:25")})
		var de *DialError
		if !errors.As(err, &de) || !de.Timeout() {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

func TestEhloDomain(t *testing.T) {
	path := Path{EhloDomain: "path.example"}
	source := Source{EhloDomain: "source.example"}
	for _, tt := range []struct {
		source Source
		path   Path
		want   string
	}{
		{source, path, "path.example"},
		{source, Path{}, "source.example"},
		{Source{}, path, "path.example"},
		{Source{}, Path{}, "host.example"},
	} {
		if got := planTo(tt.source, tt.path).EhloDomain("host.example"); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// manyIPs gives every host the most addresses that a resolver gives.
type manyIPs struct{}

func (manyIPs) LookupIP(_ context.Context, name string, _ IPStrategy) ([]netip.Addr, error) {
	var out []netip.Addr
	for i := range 32 {
		out = append(out, netip.AddrFrom4([4]byte{192, 0, name[1], byte(i)}))
	}
	return out, nil
}

func TestTargetsAreBounded(t *testing.T) {
	var hosts []dns.Host
	for i := range 50 {
		hosts = append(hosts, dns.Host{Name: "h" + string(rune('A'+i)) + ".example."})
	}
	targets, err := NewDialer(DialerConfig{Resolver: manyIPs{}}).Targets(t.Context(), planTo(Source{}, pathSchema.Default(), hosts...))
	if err != nil || len(targets) != maxTargets {
		t.Errorf("%d targets, %v", len(targets), err)
	}
}

// Hosts of one level come in a new order each time, levels never mix.
func TestTargetsShuffleInsideALevel(t *testing.T) {
	z, err := dns.NewZones("$ORIGIN test.\na A 192.0.2.1\nb A 192.0.2.2\nc A 192.0.2.3\n")
	if err != nil {
		t.Fatal(err)
	}
	mx := &dns.MX{ByPref: []dns.Pref{{Value: 1, Hosts: []dns.Host{{Name: "a.test."}, {Name: "b.test."}}}, {Value: 2, Hosts: []dns.Host{{Name: "c.test."}}}}}
	plan := planTo(Source{}, pathSchema.Default())
	plan.MX = mx
	d := NewDialer(DialerConfig{Resolver: z})
	first := map[string]int{}
	for range 200 {
		targets, err := d.Targets(t.Context(), plan)
		if err != nil || len(targets) != 3 || targets[2].Name != "c.test." {
			t.Fatalf("%v, %v", targets, err)
		}
		first[targets[0].Name]++
	}
	if first["a.test."] < 40 || first["b.test."] < 40 {
		t.Errorf("first of 200: %v", first)
	}
}
