package luahost

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// testModule is a small `kumo` for this package's tests.
func testModule() Module {
	return Module{Name: "kumo", Funcs: []Func{
		{Name: "on", Go: func(l *lua.LState) int {
			if err := From(l).On(l.CheckString(1), l.CheckFunction(2), Where(l)); err != nil {
				Fail(l, err)
			}
			return 0
		}},
		{Name: "raise", Go: func(l *lua.LState) int {
			Raise(l, errAnswer)
			return 0
		}},
		{Name: "fail", Go: func(l *lua.LState) int {
			Fail(l, errors.New("it broke"))
			return 0
		}},
		{Name: "echo", Go: func(l *lua.LState) int {
			v, err := ToGo(l.Get(1))
			if err != nil {
				Fail(l, err)
			}
			l.Push(ToLua(l, v))
			return 1
		}},
	}, Values: []Value{{Name: "version", Get: func(*State) any { return "test" }}}}
}

var errAnswer = errors.New("an answer")

var testEvents = []Event{
	{Name: "init"},
	{Name: "get_queue_config", Multiple: true},
	{Name: "get_listener_domain"},
	{Name: "never", Unfired: true},
}

const (
	evInit EventID = iota
	evQueue
	evDomain
)

func newHost(t testing.TB, src string, change ...func(*Options)) *Host {
	t.Helper()
	h, err := tryHost(src, change...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func tryHost(src string, change ...func(*Options)) (*Host, error) {
	opt := Options{Name: "init.lua", Source: []byte(src), Events: testEvents, Modules: []Module{testModule(), {Name: "kumo.sub"}}}
	for _, c := range change {
		c(&opt)
	}
	return New(context.Background(), opt)
}

// fire runs one event and gives its first result as a Go value.
func fire(t testing.TB, h *Host, id EventID, args ...lua.LValue) (any, int, error) {
	t.Helper()
	s, err := h.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release(s)
	v, n, err := s.Fire(id, args...)
	if err != nil {
		return nil, n, err
	}
	out, err := ToGo(v)
	if err != nil {
		t.Fatal(err)
	}
	return out, n, nil
}

func TestChains(t *testing.T) {
	src := `local kumo = require 'kumo'
local log = {}
kumo.on('get_queue_config', function(d) table.insert(log, 'a') if d == 'first' then return 'first' end end)
kumo.on('get_queue_config', function(d) table.insert(log, 'b') if d == 'nil' then return nil end if d == 'false' then return false end end)
kumo.on('get_queue_config', function(d) table.insert(log, 'c') if d == 'last' then return 'last' end end)
kumo.on('init', function() local s = table.concat(log) log = {} return s end)`
	h := newHost(t, src)
	cases := []struct {
		arg    string
		want   any
		n      int
		called string
	}{
		{"first", "first", 1, "a"},
		{"nil", nil, 1, "ab"},
		{"false", false, 1, "ab"},
		{"last", "last", 1, "abc"},
		{"none", nil, 0, "abc"},
	}
	for _, c := range cases {
		got, n, err := fire(t, h, evQueue, lua.LString(c.arg))
		if err != nil || got != c.want || n != c.n {
			t.Fatalf("%s: got %v, %d, %v", c.arg, got, n, err)
		}
		if called, _, _ := fire(t, h, evInit); called != c.called {
			t.Fatalf("%s: called %v, want %s", c.arg, called, c.called)
		}
	}
}

func TestOnOnlyWhileLoading(t *testing.T) {
	h := newHost(t, "local kumo = require 'kumo'\nkumo.on('init', function()\nkumo.on('get_queue_config', print)\nend)")
	_, _, err := fire(t, h, evInit)
	want := `init: init.lua:3: kumo.on("get_queue_config") may only be called while the policy file loads, not inside an event handler`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Fatalf("got %v", err)
	}
}

func TestHasAndWarnings(t *testing.T) {
	var buf bytes.Buffer
	h := newHost(t, `local kumo = require 'kumo'
kumo.on('get_listener_domain', print)
kumo.on('get_listner_domain', print)
kumo.on('never', print)
kumo.on('my_own_constructor', print)`, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&buf, nil)) })
	if !h.Has(evDomain) || h.Has(evQueue) || h.Has(evInit) {
		t.Fatal("Has is wrong")
	}
	for _, want := range []string{"init.lua:3: nothing fires the event get_listner_domain by itself; did you mean get_listener_domain?", "init.lua:4: this version never fires the event never"} {
		if !strings.Contains(buf.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, &buf)
		}
	}
	if strings.Contains(buf.String(), "my_own") {
		t.Errorf("an event of the policy's own was complained about:\n%s", &buf)
	}
}

func TestHandlerErrors(t *testing.T) {
	h := newHost(t, `local kumo = require 'kumo'
local function inner() local x = nil; return x.y end
kumo.on('init', function() inner() end)
kumo.on('get_listener_domain', function() kumo.raise() end)
kumo.on('get_queue_config', function() local ok, e = pcall(kumo.raise) if ok then return 'not raised' end error(e) end)`)
	_, _, err := fire(t, h, evInit)
	var fail *Error
	if !errors.As(err, &fail) || fail.Event != "init" || !strings.HasPrefix(fail.Msg, "init.lua:2: attempt to index") {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(fail.Traceback, "init.lua:3:") {
		t.Errorf("no caller in traceback:\n%s", fail.Traceback)
	}
	for _, id := range []EventID{evDomain, evQueue} {
		_, _, err = fire(t, h, id)
		if !errors.Is(err, errAnswer) {
			t.Errorf("event %d: got %v, want the raised error", id, err)
		}
	}
}

// A state is kept after an answer raised on purpose, and dropped after a fault, 1024 uses or 300 s.
func TestStateLife(t *testing.T) {
	now := time.Unix(1e9, 0)
	h := newHost(t, `local kumo = require 'kumo'
local n = 0
kumo.on('init', function(what) n = n + 1 if what == 'raise' then kumo.raise() elseif what == 'fail' then error('x') end return n end)`,
		func(o *Options) { o.Now = func() time.Time { return now } })
	count := func(arg string) any {
		v, _, _ := fire(t, h, evInit, lua.LString(arg))
		return v
	}
	h.SetMaxUses(4) // New was the first
	count("")
	count("raise")
	if got := count(""); got != int64(3) {
		t.Fatalf("after a raise: call %v of this state, want 3", got)
	}
	if got := count(""); got != int64(1) {
		t.Fatalf("after 4 uses: call %v, want 1", got)
	}
	count("fail")
	if got := count(""); got != int64(1) {
		t.Fatalf("after a fault: call %v, want 1", got)
	}
	now = now.Add(DefaultMaxAge - time.Second)
	if got := count(""); got != int64(2) {
		t.Fatalf("before its age: call %v, want 2", got)
	}
	now = now.Add(time.Second)
	if got := count(""); got != int64(1) {
		t.Fatalf("after its age: call %v, want 1", got)
	}
	h.SetMaxSpare(0)
	count("")
	if got := count(""); got != int64(1) {
		t.Fatalf("without spares: call %v, want 1", got)
	}
}

func TestOldStatesLeaveTheBottom(t *testing.T) {
	now := time.Unix(1e9, 0)
	h := newHost(t, "", func(o *Options) { o.Now = func() time.Time { return now } })
	ctx := context.Background()
	a, _ := h.Acquire(ctx)
	b, _ := h.Acquire(ctx)
	h.Release(a)
	h.Release(b)
	now = now.Add(time.Hour)
	for range 200 {
		s, err := h.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		h.Release(s)
	}
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	if h.pool.live != 1 || len(h.pool.idle) != 1 {
		t.Fatalf("%d alive, %d idle, want 1 and 1", h.pool.live, len(h.pool.idle))
	}
}

func TestPoolIsBounded(t *testing.T) {
	h := newHost(t, "", func(o *Options) { o.MaxStates = 2 })
	ctx := context.Background()
	a, _ := h.Acquire(ctx)
	b, _ := h.Acquire(ctx)
	short, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := h.Acquire(short); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want canceled", err)
	}
	got := make(chan *State)
	go func() {
		s, _ := h.Acquire(ctx)
		got <- s
	}()
	h.Release(a)
	c := <-got
	if c == nil {
		t.Fatal("no state after a release")
	}
	c.broken = true
	h.Release(c)
	if d, err := h.Acquire(ctx); err != nil || d == nil {
		t.Fatal("a dropped state frees no place")
	}
	h.Release(b)
}

func TestRequire(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("init.lua", `local kumo = require 'kumo'
local a = require 'helper'
local b = require 'lib.deep'
local c = require 'pkg'
local d = require 'shipped.one'
assert(require 'helper' == a)
assert(require 'kumo.sub' == kumo.sub)
kumo.on('init', function() return a.text .. b .. c .. d .. tostring(pcall(require, 'loop')) end)`)
	write("helper.lua", `return { text = "\x41" }`)
	write("lib/deep.lua", `return 'B'`)
	write("pkg/init.lua", `return 'C'`)
	write("loop.lua", `require 'loop'`)
	write("bad.lua", "\nlocal = 3")
	lib := fstest.MapFS{
		"shipped/one.lua": {Data: []byte(`return 'D'`)},
		"helper.lua":      {Data: []byte(`error 'the file on disk must win'`)},
	}
	open := func() (*Host, error) {
		return New(context.Background(), Options{Path: filepath.Join(dir, "init.lua"), Events: testEvents, Modules: []Module{testModule(), {Name: "kumo.sub"}}, Library: lib})
	}
	h, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := fire(t, h, evInit); err != nil || got != "ABCDfalse" {
		t.Fatalf("got %v, %v", got, err)
	}
	if err := os.Remove(filepath.Join(dir, "helper.lua")); err != nil {
		t.Fatal(err)
	}
	first, err := h.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := fire(t, h, evInit); err != nil || got != "ABCDfalse" {
		t.Errorf("a State made after the file has gone: got %v, %v", got, err)
	}
	h.Release(first)
	for _, c := range []struct{ src, want string }{
		{"require 'bad'", filepath.Join(dir, "bad.lua") + ":2: syntax error near '='"},
		{"require '../etc/passwd'", "not a dotted name"},
		{"require 'loop'", "module 'loop' requires itself"},
	} {
		write("init.lua", c.src)
		if _, err := open(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.src, err, c.want)
		}
	}
	if _, err := New(context.Background(), Options{Path: filepath.Join(dir, "none.lua")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want not exist", err)
	}
	if _, err := New(context.Background(), Options{Path: "/dev/zero"}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(path, []byte("one\ntwo\n3 4"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	newHost(t, `local path = '`+path+`'
local f = assert(io.open(path))
print(f:read(), f:read('L'), f:read('n', '*n'))
print(f:read('a') == '', f:read('l'))
f:seek('set', 4)
print(f:read(3), io.type(f))
f:close()
print(io.type(f), pcall(f.read, f))
for line in io.lines(path) do print(line) end
print(io.open('/does/not/exist'))`, func(o *Options) { o.Print = &out })
	want := "one\ttwo\n\t3\t4\ntrue\tnil\ntwo\tfile\nclosed file\tfalse\tinit.lua:8: attempt to use a closed file\none\ntwo\n3 4\nnil\tstat /does/not/exist: no such file or directory\n"
	if got := strings.ReplaceAll(out.String(), "nil\topen", "nil\tstat"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPrintOfOneStateDoesNotReachAnother(t *testing.T) {
	h := newHost(t, "require('kumo').on('init', function() leak = (leak or 0) + 1 return leak end)")
	ctx := context.Background()
	a, _ := h.Acquire(ctx)
	b, _ := h.Acquire(ctx)
	defer h.Release(a)
	defer h.Release(b)
	for _, s := range []*State{a, b} {
		if v, _, err := s.Fire(evInit); err != nil || v != lua.LNumber(1) {
			t.Fatalf("got %v, %v: a global leaked between states", v, err)
		}
	}
}

// What a caught error must not do: detach the captured locals of functions that go on, or leave those of functions
// that failed dangling.
func TestCapturedLocalsSurviveErrors(t *testing.T) {
	h := newHost(t, `require('kumo').on('init', function()
  local out = {}
  for _, catch in ipairs {
    function(f) return pcall(f) end,
    function(f) return xpcall(f, function(e) return e end) end,
    function(f) return coroutine.resume(coroutine.create(f)) end,
  } do
    local n, kept = 0, nil
    local function inc() n = n + 1 end
    inc()
    catch(function()
      local x = 'inner'
      kept = function() x = x .. '!' return x end
      inc()
      error 'oops'
    end)
    n = n + 5
    inc()
    local filler = { 1, 2, 3 }
    table.insert(out, n .. kept() .. kept())
  end
  return table.concat(out, ' ')
end)`)
	got, _, err := fire(t, h, evInit)
	if want := "8inner!inner!! 8inner!inner!! 8inner!inner!!"; err != nil || got != want {
		t.Fatalf("got %v, %v, want %s", got, err, want)
	}
}

func TestProtectedCalls(t *testing.T) {
	cases := []struct{ expr, want string }{
		{"select('#', pcall(function() end))", "1"},
		{"select('#', pcall(function() return nil end))", "2"},
		{"select('#', pcall(function() return nil, nil end))", "3"},
		{"select('#', pcall(function(...) return ... end, 1, nil, 3, nil))", "5"},
		{"select('#', pcall(print))", "1"},
		{"select(2, pcall(function(a, b) return b end, 1, 2))", "2"},
		{"select(2, pcall(setmetatable({}, {__call = function(_, x) return x end}), 7))", "7"},
		{"tostring(pcall(nil))", "false"},
		{"tostring(pcall({}))", "false"},
		{"select(2, pcall(error, {1, 2}))[2]", "2"},
		{"select(2, pcall(function() error({3}) end))[1]", "3"},
		{"select(2, pcall(function() return pcall(function() return pcall(error, 'deep', 0) end) end))", "true"},
		{"(function() local n = 0 for i = 1, 1000 do if pcall(function() n = n + i end) then n = n + 1 end end return n end)()", "501500"},
		{"(function() local t = {} for i = 1, 3 do pcall(function() t[i] = function() return i end error() end) end return t[1]() + t[3]() end)()", "4"},
		{"select(2, xpcall(function() local x = nil return x.y end, debug.traceback)):match('init.lua:1: attempt to index') ~= nil", "true"},
		{"(select(2, xpcall(function() local function deep() error 'x' end deep() end, debug.traceback)):gsub('deep', '')) ~= ''", "true"},
		{"select(2, xpcall(function() error 'x' end, function() error 'y' end)):match('y') ~= nil", "true"},
		{"(function() local co = coroutine.wrap(function() local ok, v = pcall(function() return 5 end) coroutine.yield(v) return 6 end) return co() + co() end)()", "11"},
		{"(function() local function f(n) if n == 0 then error('end', 0) end return f(n - 1) end return select(2, pcall(f, 1e4)) end)()", "end"},
		{"(function() local function f(n) if n == 0 then return 'done' end return f(n - 1) end return f(1e4) end)()", "done"},
	}
	for _, c := range cases {
		t.Run(c.expr, func(t *testing.T) {
			h := newHost(t, "local v = "+c.expr+"\nrequire('kumo').on('init', function() return tostring(v) end)")
			if got, _, err := fire(t, h, evInit); err != nil || got != c.want {
				t.Fatalf("got %v, %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestTracebackIsShort(t *testing.T) {
	h := newHost(t, "local function f(n) if n == 0 then error 'end' end return f(n - 1) end\nrequire('kumo').on('init', function() local x = f(1e5) return x end)")
	_, _, err := fire(t, h, evInit)
	var fail *Error
	if !errors.As(err, &fail) || len(fail.Traceback) > 4000 || !strings.Contains(fail.Traceback, "init.lua:") {
		t.Fatalf("got %.200s… of %d bytes", err, len(fail.Traceback))
	}
}

func TestCountSaysHowManyStatesLive(t *testing.T) {
	h := newHost(t, "")
	count := func(alive, spare int) {
		t.Helper()
		if a, s := h.Count(); a != alive || s != spare {
			t.Errorf("alive %d, spare %d, want %d and %d", a, s, alive, spare)
		}
	}
	count(1, 1)
	a, err := h.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b, err := h.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	count(2, 0)
	h.Release(a)
	count(2, 1)
	b.broken = true
	h.Release(b)
	count(1, 1)
}
