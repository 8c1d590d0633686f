package luahost

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/cache"
)

// memoHost runs a policy whose handler calls the memoized function f; calls counts how often it really ran.
func memoHost(t *testing.T, params, body string, change ...func(*Options)) *Host {
	t.Helper()
	return newHost(t, `local kumo = require 'kumo'
local f = kumo.memoize(function(...) kumo.count() `+body+` end, { name = 'f', `+params+` })
kumo.on('init', function(...) return f(...) end)`, append([]func(*Options){withModules}, change...)...)
}

// counted adds kumo.count, and kumo.memoize where the test needs it.
func counted(calls *int, mu *sync.Mutex) func(*Options) {
	return func(o *Options) {
		m := testModule()
		m.Funcs = append(m.Funcs, append(CoreFuncs(), Func{Name: "count", Go: func(*lua.LState) int {
			mu.Lock()
			*calls++
			mu.Unlock()
			return 0
		}})...)
		o.Modules = append([]Module{m}, Modules()...)
	}
}

func TestMemoize(t *testing.T) {
	var mu sync.Mutex
	calls := 0
	h := memoHost(t, `ttl = '1m', capacity = 2`, `local a = ... if a == 'two' then return 1, nil, 3 end return { n = select('#', ...), a = type(a) }`, counted(&calls, &mu))
	ask := func(want int, args ...lua.LValue) any {
		t.Helper()
		v, _, err := fire(t, h, evInit, args...)
		if err != nil {
			t.Fatal(err)
		}
		if calls != want {
			t.Errorf("%v: %d calls, want %d", args, calls, want)
		}
		return v
	}
	table := func(n int) lua.LValue {
		l := lua.NewState()
		defer l.Close()
		tab := l.NewTable()
		tab.RawSetString("n", lua.LNumber(n))
		tab.RawSetInt(1, lua.LString("x"))
		return tab
	}
	ask(1, lua.LString("1"))
	ask(1, lua.LString("1"))
	ask(2, lua.LNumber(1)) // not the same as the text
	ask(3, table(1))       // the oldest leaves
	ask(3, table(1))
	ask(4, table(2))
	ask(5, lua.LString("1"))
	if got := ask(6, lua.LString("two")); got != int64(1) {
		t.Error(got)
	}
	h.PurgeCaches()
	ask(7, lua.LString("two"))
}

func TestMemoizeWithEpoch(t *testing.T) {
	var mu sync.Mutex
	calls := 0
	h := memoHost(t, `ttl = '1h', capacity = 9, invalidate_with_epoch = true`, `return 1`, counted(&calls, &mu))
	for range 2 {
		for range 2 {
			if _, _, err := fire(t, h, evInit); err != nil {
				t.Fatal(err)
			}
		}
		h.BumpEpoch()
	}
	if calls != 2 {
		t.Errorf("%d calls, want one for each epoch", calls)
	}
}

func TestMemoizeRemembersNoErrors(t *testing.T) {
	var mu sync.Mutex
	calls := 0
	h := memoHost(t, `ttl = '1h', capacity = 9`, `error 'broken'`, counted(&calls, &mu))
	for range 2 {
		if _, _, err := fire(t, h, evInit); err == nil || !strings.Contains(err.Error(), "init.lua:2: broken") {
			t.Fatal(err)
		}
	}
	if calls != 2 {
		t.Errorf("%d calls", calls)
	}
	for _, c := range []struct{ chunk, want string }{
		{`kumo.memoize(function() end, { name = 'x', ttl = '1m' })`, "capacity"},
		{`kumo.memoize(function() end, { name = 'x', ttl = '1m', capacity = 1, nope = 1 })`, "nope"},
		{`kumo.memoize('x', {})`, "function expected"},
		{`kumo.memoize(function() return print end, { name = 'y', ttl = '1m', capacity = 1 })()`, "result 1: a function cannot be kept in a cache"},
		{`kumo.memoize(function() end, { name = 'z', ttl = '1m', capacity = 1 })(print)`, "argument 1: a function cannot be compared"},
		{`local f = kumo.memoize(function() end, { name = 'z', ttl = '1m', capacity = 1 }) local t = {} t.t = t f(t)`, "nested more than"},
	} {
		h := newHost(t, "local kumo = require 'kumo' kumo.on('init', function() "+c.chunk+" end)", counted(&calls, &mu))
		if _, _, err := fire(t, h, evInit); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.chunk, err, c.want)
		}
	}
}

// TestMemoizeOnce has many callers at once: one works the result out, the others wait for it.
func TestMemoizeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		calls := 0
		h := memoHost(t, `ttl = '1m', capacity = 9, populate_timeout = '5s'`, `kumo.sleep(...) return calls`, counted(&calls, &mu))
		defer h.Close()
		all := func(seconds float64) (fails []string) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					s, err := h.Acquire(t.Context())
					if err == nil {
						_, _, err = s.Fire(evInit, lua.LNumber(seconds))
						h.Release(s)
					}
					if err != nil {
						mu.Lock()
						fails = append(fails, err.Error())
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			return fails
		}
		if fails := all(1); len(fails) > 0 || calls != 1 {
			t.Errorf("%d calls, %v", calls, fails)
		}
		if fails := all(10); len(fails) != 7 || calls != 2 || !strings.Contains(fails[0], "another call did not have the result within 5s") {
			t.Errorf("%d calls, %v", calls, fails)
		}
	})
}

// TestMemoizeStale has one caller renew an old result while the others go on with it.
func TestMemoizeStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		calls := 0
		h := memoHost(t, `ttl = '1m', capacity = 9, allow_stale_reads = true`, `kumo.sleep(1) return 'x'`, counted(&calls, &mu), func(o *Options) {
			o.Caches = cache.NewSet(nil, time.Now)
		})
		defer h.Close()
		if _, _, err := fire(t, h, evInit); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		var wg sync.WaitGroup
		slow := 0
		for range 8 {
			wg.Go(func() {
				began := time.Now()
				if _, _, err := fire(t, h, evInit); err != nil {
					t.Error(err)
				}
				if time.Since(began) >= time.Second {
					mu.Lock()
					slow++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if calls != 2 || slow != 1 {
			t.Errorf("%d calls, %d callers waited", calls, slow)
		}
	})
}

func BenchmarkMemoizeHit(b *testing.B) {
	h := newHost(b, `local kumo = require 'kumo'
local f = kumo.memoize(function(d) return { pool = d, n = 1 } end, { name = 'f', ttl = '1h', capacity = 10 })
kumo.on('init', function() return f 'example.com' end)`, func(o *Options) {
		m := testModule()
		m.Funcs = append(m.Funcs, CoreFuncs()...)
		o.Modules = []Module{m}
	})
	s, err := h.Acquire(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer h.Release(s)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Fire(evInit); err != nil {
			b.Fatal(err)
		}
	}
}
