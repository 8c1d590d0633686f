package cache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/cache"
	"kumo/pkg/metric"
)

// clock moves only when told to.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.ns.Load()) }
func (c *clock) step(d time.Duration) { c.ns.Add(int64(d)) }

func newSet() (*cache.Set, *clock) {
	c := &clock{}
	return cache.NewSet(nil, c.now), c
}

func has(c *cache.Cache[string, int], keys string) string {
	got := ""
	for _, k := range strings.Split(keys, "") {
		if _, ok := c.Get(k); ok {
			got += k
		}
	}
	return got
}

func TestTimeToLive(t *testing.T) {
	s, clk := newSet()
	c := cache.New[string, int](s, "x", cache.Options{Capacity: 8, TTL: time.Minute})
	c.Put("a", 1, 0)
	c.Put("b", 2, time.Second)
	c.Put("c", 3, -1)
	if got := has(c, "abc"); got != "ab" {
		t.Errorf("at first: %q", got)
	}
	clk.step(time.Second)
	if got := has(c, "ab"); got != "a" {
		t.Errorf("after a second: %q", got)
	}
	c.Put("a", 4, 0)
	clk.step(time.Minute - 1)
	if v, ok := c.Get("a"); !ok || v != 4 {
		t.Errorf("put again: %v %v", v, ok)
	}
	clk.step(1)
	if got := has(c, "a"); got != "" || c.Len() != 0 {
		t.Errorf("after a minute: %q, %d entries", got, c.Len())
	}
	forever := cache.New[string, int](s, "y", cache.Options{})
	forever.Put("a", 1, 0)
	clk.step(1e6 * time.Hour)
	if got := has(forever, "a"); got != "a" {
		t.Error("an entry without a time to live is gone")
	}
}

func TestCapacity(t *testing.T) {
	tests := []struct {
		name   string
		oldest bool
		want   string
	}{{"least recently used", false, "acd"}, {"oldest out", true, "bcd"}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := cache.New[string, int](nil, "x", cache.Options{Capacity: 3, OldestOut: tt.oldest})
			for i, k := range []string{"a", "b", "c"} {
				c.Put(k, i, 0)
			}
			c.Get("a")
			c.Put("d", 3, 0)
			if got := has(c, "abcd"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			c.Resize(1)
			if c.Len() != 1 {
				t.Errorf("%d entries after Resize(1)", c.Len())
			}
			c.Resize(0)
			c.Put("e", 1, 0)
			if c.Len() != 0 {
				t.Error("a cache without room keeps something")
			}
		})
	}
}

func TestShardedIsBounded(t *testing.T) {
	c := cache.New[int, int](nil, "x", cache.Options{Capacity: 5000})
	for i := range 50_000 {
		c.Put(i, i, 0)
	}
	if n := c.Len(); n < 4900 || n > 5016 {
		t.Errorf("%d entries, want about 5000", n)
	}
	for i := range 50_000 {
		if v, ok := c.Get(i); ok && v != i {
			t.Fatalf("%d has the value of %d", i, v)
		}
	}
	c.Purge()
	if c.Len() != 0 {
		t.Error("entries after Purge")
	}
}

func load(n *int, v int, ttl time.Duration, err error) cache.Load[int] {
	return func(context.Context) (int, time.Duration, error) {
		*n++
		return v, ttl, err
	}
}

func TestGetOrLoad(t *testing.T) {
	s, clk := newSet()
	c := cache.New[string, int](s, "x", cache.Options{TTL: time.Minute})
	ctx := context.Background()
	n := 0
	for range 3 {
		if v, err := c.GetOrLoad(ctx, "a", load(&n, 7, 0, nil)); v != 7 || err != nil {
			t.Fatal(v, err)
		}
	}
	if n != 1 {
		t.Errorf("%d loads", n)
	}
	clk.step(time.Minute)
	_, _ = c.GetOrLoad(ctx, "a", load(&n, 8, -1, nil))
	if n != 2 || has(c, "a") != "" {
		t.Errorf("%d loads; a value that is not to be kept is kept", n)
	}
}

func TestErrorsAreKeptOnlyWhenAsked(t *testing.T) {
	s, clk := newSet()
	c := cache.New[string, int](s, "x", cache.Options{TTL: time.Minute})
	ctx, fail := context.Background(), errors.New("NXDOMAIN")
	n := 0
	for range 2 {
		if _, err := c.GetOrLoad(ctx, "a", load(&n, 0, 0, fail)); !errors.Is(err, fail) {
			t.Fatal(err)
		}
	}
	if n != 2 {
		t.Errorf("%d loads: an error was kept unasked", n)
	}
	for range 2 {
		if _, err := c.GetOrLoad(ctx, "b", load(&n, 0, time.Second, fail)); !errors.Is(err, fail) {
			t.Fatal(err)
		}
	}
	if n != 3 {
		t.Errorf("%d loads: an error was not kept", n)
	}
	if got := has(c, "b"); got != "" {
		t.Error("Get finds an error")
	}
	clk.step(time.Second)
	if v, err := c.GetOrLoad(ctx, "b", load(&n, 5, 0, nil)); v != 5 || err != nil {
		t.Error(v, err)
	}
}

func TestOneLoadAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache.New[string, int](cache.NewSet(nil, nil), "x", cache.Options{})
		var loads atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				v, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, time.Duration, error) {
					loads.Add(1)
					time.Sleep(time.Second)
					return 9, 0, nil
				})
				if v != 9 || err != nil {
					t.Error(v, err)
				}
			})
		}
		synctest.Wait()
		if n := c.Stats().Waiting; n != 49 {
			t.Errorf("%d wait, want 49", n)
		}
		wg.Wait()
		if loads.Load() != 1 || c.Stats().Waiting != 0 {
			t.Errorf("%d loads, %d still wait", loads.Load(), c.Stats().Waiting)
		}
	})
}

func slow(ctx context.Context, d time.Duration, v int) (int, time.Duration, error) {
	select {
	case <-time.After(d):
		return v, 0, nil
	case <-ctx.Done():
		return 0, time.Hour, ctx.Err()
	}
}

func TestContextsOfLoaderAndWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache.New[string, int](cache.NewSet(nil, nil), "x", cache.Options{})
		var wg sync.WaitGroup
		ask := func(timeout time.Duration, v int, want int, wantErr error) {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				got, err := c.GetOrLoad(ctx, "k", func(ctx context.Context) (int, time.Duration, error) { return slow(ctx, 10*time.Second, v) })
				if got != want || !errors.Is(err, wantErr) {
					t.Errorf("%s: got %v, %v; want %v, %v", timeout, got, err, want, wantErr)
				}
			})
			synctest.Wait()
		}
		ask(5*time.Second, 1, 0, context.DeadlineExceeded) // loads, and gives up
		ask(2*time.Second, 2, 0, context.DeadlineExceeded) // waits, and gives up alone
		ask(time.Minute, 3, 3, nil)                        // loads when the first gave up
		wg.Wait()
		if v, ok := c.Get("k"); !ok || v != 3 {
			t.Error(v, ok)
		}
	})
}

func TestNoLateGhost(t *testing.T) {
	for name, act := range map[string]func(c *cache.Cache[string, int]){
		"purge":  func(c *cache.Cache[string, int]) { c.Purge() },
		"delete": func(c *cache.Cache[string, int]) { c.Delete("k") },
		"put":    func(c *cache.Cache[string, int]) { c.Put("k", 2, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			c := cache.New[string, int](nil, "x", cache.Options{})
			v, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, time.Duration, error) {
				act(c)
				return 1, 0, nil
			})
			if v != 1 || err != nil {
				t.Error(v, err)
			}
			if v, _ := c.Get("k"); v == 1 {
				t.Error("the load outlived it")
			}
		})
	}
}

func TestPanicPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache.New[string, int](cache.NewSet(nil, nil), "x", cache.Options{})
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = c.GetOrLoad(t.Context(), "k", func(context.Context) (int, time.Duration, error) {
				time.Sleep(time.Second)
				panic("boom")
			})
		})
		synctest.Wait()
		if _, err := c.GetOrLoad(t.Context(), "k", nil); !errors.Is(err, cache.ErrPanicked) {
			t.Error(err)
		}
		wg.Wait()
		if v, err := c.GetOrLoad(t.Context(), "k", load(new(int), 1, 0, nil)); v != 1 || err != nil {
			t.Error("the key is stuck:", v, err)
		}
	})
}

func TestSet(t *testing.T) {
	reg := metric.NewRegistry()
	s := cache.NewSet(reg, nil)
	if err := s.SetCapacity("dns_resolver_mx", 2); err != nil {
		t.Fatal(err)
	}
	mx := cache.New[string, int](s, "dns_resolver_mx", cache.Options{})
	own := cache.New[string, int](s, "own", cache.Options{Capacity: 1})
	if st := mx.Stats(); st.Capacity != 2 {
		t.Errorf("capacity %d, set to 2 beforehand", st.Capacity)
	}
	own.Put("a", 1, 0)
	own.Put("b", 1, 0)
	has(own, "abc")
	_, _ = own.GetOrLoad(t.Context(), "z", load(new(int), 0, 0, errors.New("x")))
	want := []cache.Stats{
		{Name: "dns_resolver_mx", Capacity: 2},
		{Name: "own", Capacity: 1, Len: 1, Hits: 1, Misses: 3, Inserts: 2, Evicted: 1, Populated: 1, Errors: 1},
	}
	if got := s.Stats(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	w := httptest.NewRecorder()
	reg.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`lruttl_cache_size{cache_name="own"} 1`, `lruttl_hit_count{cache_name="own"} 1`, `lruttl_lookup_count{cache_name="own"} 4`,
		`lruttl_miss_count{cache_name="own"} 3`, `lruttl_evict_count{cache_name="own"} 1`, `lruttl_error_count{cache_name="own"} 1`,
	} {
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("missing %s in\n%s", line, w.Body)
		}
	}
	if strings.Contains(w.Body.String(), `expire_count{`) {
		t.Error("a counter that did not count is shown")
	}
	if err := s.SetCapacity("own", 5); err != nil || own.Stats().Capacity != 5 {
		t.Error(err, own.Stats())
	}
	if err := s.SetCapacity("nope", 5); err == nil || !strings.Contains(err.Error(), `"nope"; there are acl_check, `) {
		t.Error(err)
	}
	if err := s.SetCapacity("own", -1); err == nil {
		t.Error("a negative capacity is taken")
	}
	s.Purge()
	if own.Len() != 0 {
		t.Error("entries after Purge")
	}
}

func TestDefaultCapacities(t *testing.T) {
	if n := len(cache.Names()); n != 17 {
		t.Errorf("%d names", n)
	}
	s := cache.NewSet(nil, nil)
	for _, name := range cache.Names() {
		n, ok := cache.DefaultCapacity(name)
		if c := cache.New[string, int](s, name, cache.Options{}); !ok || c.Stats().Capacity != n {
			t.Errorf("%s: %d %v", name, c.Stats().Capacity, ok)
		}
	}
	if c := cache.New[string, int](s, "other", cache.Options{}); c.Stats().Capacity != 1024 {
		t.Error("a cache of unknown name has no default")
	}
}

func TestConcurrentUse(t *testing.T) {
	for _, capacity := range []int{64, 4096} {
		c := cache.New[int, int](nil, "x", cache.Options{Capacity: capacity, TTL: time.Microsecond})
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 3000 {
					k := (i*7 + g) % 200
					v, err := c.GetOrLoad(t.Context(), k, func(context.Context) (int, time.Duration, error) { return k * 3, 0, nil })
					if v != k*3 || err != nil {
						t.Error(k, v, err)
					}
					switch i % 100 {
					case 50:
						c.Delete(k)
					case 60:
						c.Purge()
					case 70:
						c.Resize(capacity - i%32)
					}
				}
			})
		}
		wg.Wait()
	}
}

func BenchmarkHit(b *testing.B) {
	for _, capacity := range []int{1024, 65536} {
		b.Run(fmt.Sprint(capacity), func(b *testing.B) {
			b.ReportAllocs()
			c := cache.New[string, int](cache.NewSet(nil, nil), "x", cache.Options{Capacity: capacity, TTL: time.Hour})
			keys := make([]string, 1000)
			for i := range keys {
				keys[i] = fmt.Sprintf("gmail-smtp-in.l.google.com-%d", i)
				c.Put(keys[i], i, 0)
			}
			i := 0
			for b.Loop() {
				c.Get(keys[i])
				if i++; i == len(keys) {
					i = 0
				}
			}
		})
	}
}

func BenchmarkHitParallel(b *testing.B) {
	b.ReportAllocs()
	c := cache.New[string, int](cache.NewSet(nil, nil), "x", cache.Options{Capacity: 65536, TTL: time.Hour})
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("gmail-smtp-in.l.google.com-%d", i)
		c.Put(keys[i], i, 0)
	}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i = (i + 1) % len(keys) {
			c.Get(keys[i])
		}
	})
}
