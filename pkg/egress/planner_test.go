package egress

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kumo/pkg/dns"
	"kumo/pkg/message"
	"kumo/pkg/option"
)

// configs is a policy of functions; those that are nil give defaults.
type configs struct {
	pool   func(name string) (Pool, error)
	source func(name string) (Source, error)
	path   func(domain, source, site string) (Path, error)
}

func (c configs) EgressPool(_ context.Context, name string) (r option.Resolved[Pool], err error) {
	r.Value = Pool{Name: name, TTL: minute}
	if c.pool != nil {
		r.Value, err = c.pool(name)
	}
	return r, err
}

func (c configs) EgressSource(_ context.Context, name string) (r option.Resolved[Source], err error) {
	r.Value = Source{Name: name, TTL: minute}
	if c.source != nil {
		r.Value, err = c.source(name)
	}
	return r, err
}

func (c configs) EgressPath(_ context.Context, domain, source, site string) (r option.Resolved[Path], err error) {
	r.Value = pathSchema.Default()
	if c.path != nil {
		r.Value, err = c.path(domain, source, site)
	}
	return r, err
}

const minute = option.Duration(time.Minute)

// mxOf answers every domain with one host, for ever.
type mxOf string

func (m mxOf) LookupMX(_ context.Context, domain string) (*dns.MX, error) {
	hosts := []dns.Host{{Name: string(m)}}
	return &dns.MX{Domain: domain, IsMX: true, Hosts: hosts, ByPref: []dns.Pref{{Value: 10, Hosts: hosts}}, Site: dns.SiteName(hosts)}, nil
}

func threeSources(name string) (Pool, error) {
	return Pool{Name: name, TTL: minute, Entries: []PoolEntry{{"a", 1}, {"b", 2}, {"c", 3}}}, nil
}

func TestPlanOfKnownQueueCostsNothing(t *testing.T) {
	p := NewPlanner(PlannerConfig{Configs: configs{pool: threeSources}, Resolver: mxOf("mx.example.com.")})
	req := Request{Queue: message.ParseQueueName("acme@example.com"), Pool: "p", Turn: new(Turn), Full: func(string) bool { return false }}
	seen := map[*Plan]bool{}
	plan := func() {
		pl, err := p.Plan(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		seen[pl] = true
	}
	for range 12 {
		plan()
	}
	if len(seen) != 3 {
		t.Errorf("%d plans for 3 sources: plans are not shared", len(seen))
	}
	if n := testing.AllocsPerRun(100, plan); n != 0 {
		t.Errorf("a plan for a known queue allocates %v times", n)
	}
}

func TestWeightsHoldOverARound(t *testing.T) {
	tests := []struct {
		name    string
		entries []PoolEntry
		plans   int
		want    map[string]int
	}{
		{"plain", []PoolEntry{{"a", 1}, {"b", 1}}, 100, map[string]int{"a": 50, "b": 50}},
		{"weighted", []PoolEntry{{"a", 10}, {"b", 30}, {"c", 60}}, 100, map[string]int{"a": 10, "b": 30, "c": 60}},
		{"common divisor", []PoolEntry{{"a", 1_000_000}, {"b", 3_000_000}}, 8, map[string]int{"a": 2, "b": 6}},
		{"none", []PoolEntry{{"a", 5}, {"b", 0}}, 10, map[string]int{"a": 10}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pool := func(name string) (Pool, error) { return Pool{Name: name, TTL: minute, Entries: tt.entries}, nil }
			p := NewPlanner(PlannerConfig{Configs: configs{pool: pool}, Resolver: mxOf("mx.example.com.")})
			req := Request{Queue: message.QueueName{Domain: "example.com"}, Pool: "p", Turn: new(Turn)}
			got := map[string]int{}
			for range tt.plans {
				plan, err := p.Plan(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				got[plan.Source.Name]++
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// A round that is too long to be written out is left to chance; every source must still be met.
func TestHugeWeightsAreLeftToChance(t *testing.T) {
	s := newPoolState("p", []PoolEntry{{"a", 4_294_967_295}, {"b", 4_294_967_291}})
	if s.order != nil {
		t.Fatal("a round of 8 milliards is written out")
	}
	got := [2]int{}
	for i := range 1000 {
		got[s.choose(uint32(i))]++
	}
	if got[0] < 300 || got[1] < 300 {
		t.Errorf("got %v of 1000", got)
	}
}

// Queues of one message each must not all begin with the first source.
func TestRoundsBeginAnywhere(t *testing.T) {
	p := NewPlanner(PlannerConfig{Configs: configs{pool: threeSources}, Resolver: mxOf("mx.example.com.")})
	got := map[string]int{}
	for i := range 600 {
		req := Request{Queue: message.QueueName{Domain: fmt.Sprintf("d%d.example", i)}, Pool: "p", Turn: new(Turn)}
		plan, err := p.Plan(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		got[plan.Source.Name]++
	}
	if got["a"] < 50 || got["b"] < 120 || got["c"] < 200 {
		t.Errorf("got %v, want about 100, 200, 300", got)
	}
}

func TestPlanIsSafeForManyAtOnce(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	p := NewPlanner(PlannerConfig{
		Configs: configs{pool: threeSources}, Resolver: mxOf("mx.example.com."),
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(time.Second)
			return now
		},
	})
	turns := make([]Turn, 4)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 500 {
				req := Request{Queue: message.QueueName{Domain: fmt.Sprint("d", g%4)}, Pool: "p", Turn: &turns[g%4]}
				if _, err := p.Plan(t.Context(), req); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// A herd of new queues to one domain asks policy once for each thing.
func TestPolicyIsAskedOnce(t *testing.T) {
	var pools, sources, paths atomic.Int32
	p := NewPlanner(PlannerConfig{Resolver: mxOf("mx.example.com."), Configs: configs{
		pool: func(name string) (Pool, error) {
			pools.Add(1)
			return Pool{Name: name, TTL: minute, Entries: []PoolEntry{{"a", 1}}}, nil
		},
		source: func(name string) (Source, error) { sources.Add(1); return Source{Name: name, TTL: minute}, nil },
		path:   func(_, _, _ string) (Path, error) { paths.Add(1); return pathSchema.Default(), nil },
	}})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			req := Request{Queue: message.QueueName{Tenant: fmt.Sprint(i), Domain: "example.com"}, Pool: "p", Turn: new(Turn)}
			if _, err := p.Plan(t.Context(), req); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if pools.Load() != 1 || sources.Load() != 1 || paths.Load() != 1 {
		t.Errorf("asked for pools %d, sources %d, paths %d times", pools.Load(), sources.Load(), paths.Load())
	}
}

// One who waits for the answer that another queue asked for hears of its own queue, and leaves when its time is over.
func TestWaitersGetFailuresOfTheirOwn(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	p := NewPlanner(PlannerConfig{Resolver: mxOf("mx.example.com."), Configs: configs{
		path: func(_, _, _ string) (Path, error) {
			close(entered)
			<-release
			return Path{}, errors.New("no path")
		},
	}})
	plan := func(ctx context.Context, tenant string) error {
		_, err := p.Plan(ctx, Request{Queue: message.QueueName{Tenant: tenant, Domain: "example.com"}, Turn: new(Turn)})
		return err
	}
	first := make(chan error)
	go func() { first <- plan(t.Context(), "one") }()
	<-entered
	gone, stop := context.WithCancel(t.Context())
	stop()
	var f *Failure
	if err := plan(gone, "two"); !errors.As(err, &f) || !errors.Is(err, context.Canceled) || !strings.Contains(f.Reply.Text, "two@example.com") {
		t.Errorf("got %v", err)
	}
	close(release)
	if err := <-first; !errors.As(err, &f) || f.Outcome != message.Transient || !strings.Contains(f.Reply.Text, "one@example.com: no path") {
		t.Errorf("got %v", err)
	}
}

// What must not be kept is asked for each time, and works.
func TestTTLOfZero(t *testing.T) {
	asked := 0
	p := NewPlanner(PlannerConfig{Resolver: mxOf("mx.example.com."), Configs: configs{
		pool: func(name string) (Pool, error) {
			asked++
			return Pool{Name: name, Entries: []PoolEntry{{"a", 1}}}, nil
		},
		source: func(name string) (Source, error) { asked++; return Source{Name: name}, nil },
		path:   func(_, _, _ string) (Path, error) { asked++; return Path{}, nil },
	}})
	req := Request{Queue: message.QueueName{Domain: "example.com"}, Pool: "p", Turn: new(Turn)}
	for range 3 {
		if _, err := p.Plan(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 9 {
		t.Errorf("asked %d times, want 9", asked)
	}
}

func TestLongPolicyErrorsAreCut(t *testing.T) {
	cause := errors.New(strings.Repeat("é", 10_000) + "\nstack traceback:")
	f := unresolved(message.QueueName{Domain: "example.com"}, cause)
	if len(f.Reply.Text) > 600 || strings.Contains(f.Reply.Text, "traceback") {
		t.Errorf("a reply of %d bytes", len(f.Reply.Text))
	}
	if !errors.Is(f, cause) {
		t.Error("the cause is lost")
	}
}

func BenchmarkPlanKnownQueue(b *testing.B) {
	p := NewPlanner(PlannerConfig{Configs: configs{pool: threeSources}, Resolver: mxOf("mx.example.com.")})
	req := Request{Queue: message.ParseQueueName("acme@example.com"), Pool: "p", Turn: new(Turn), Full: func(string) bool { return false }}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Plan(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}

// A queue that is new, to a domain that is known: the case of many tenants.
func BenchmarkPlanNewQueue(b *testing.B) {
	p := NewPlanner(PlannerConfig{Configs: configs{pool: threeSources}, Resolver: mxOf("mx.example.com.")})
	b.ReportAllocs()
	for b.Loop() {
		req := Request{Queue: message.QueueName{Tenant: "acme", Domain: "example.com"}, Pool: "p", Turn: new(Turn)}
		if _, err := p.Plan(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}
