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

func TestLoadErrorsNameFileAndLine(t *testing.T) {
	deep := strings.Repeat("(", 300) + "1" + strings.Repeat(")", 300)
	cases := map[string]struct{ src, want string }{
		"syntax":            {"local x = 1\nlocal y = = 2\n", "init.lua:2: syntax error near '='"},
		"eof":               {"if true then\n\n", "init.lua:1: syntax error near <eof>"},
		"runtime":           {"\n\nnope()\n", "init.lua:3: attempt to call a non-function object"},
		"error call":        {"\nerror 'boom'\n", "init.lua:2: boom"},
		"unfinished string": {"\nlocal s = 'abc\n", "init.lua:2: unfinished string"},
		"bad hex escape":    {`x = "\xZZ"`, `init.lua:1: hexadecimal digits expected after \x`},
		"bad escape":        {`x = "\q"`, `init.lua:1: invalid escape sequence '\q' (hint: write \\ for a backslash)`},
		"large escape":      {`x = "\300"`, "init.lua:1: decimal escape too large"},
		"deep parentheses":  {"x = " + deep, "init.lua:1: blocks or brackets nested more than 200 deep"},
		"deep blocks":       {strings.Repeat("do\n", 300) + strings.Repeat("end ", 300), "init.lua:201: blocks or brackets nested more than 200 deep"},
		"unary minuses":     {"x = " + strings.Repeat("- ", 5000) + "1", "init.lua:1: expression with more than 1000 operators"},
		"nots":              {"x = " + strings.Repeat("not ", 5000) + "1", "init.lua:1: expression with more than 1000 operators"},
		"concat":            {"x = 'a'" + strings.Repeat("..'a'", 5000), "init.lua:1: expression with more than 1000 operators"},
		"index chain":       {"x = a" + strings.Repeat(".a", 5000), "init.lua:1: expression with more than 1000 operators"},
		"call chain":        {"f" + strings.Repeat("()", 5000), "init.lua:1: expression with more than 1000 operators"},
		"string call chain": {"f" + strings.Repeat("''", 5000), "init.lua:1: expression with more than 1000 operators"},
		"elseif":            {"if a then " + strings.Repeat("elseif a then ", 5000) + "end", "init.lua:1: more than 1000 elseif in one statement"},
		"too large":         {strings.Repeat("-- comment\n", 100_000), "init.lua:1: the file has 1100000 bytes, more than the limit of 1048576"},
		"floor division":    {"\nx = 7 // 2", "init.lua:2: operator '//' is not available (hint: use math.floor(a / b))"},
		"bit and":           {"x = 7 & 2", "init.lua:1: operator '&' is not available"},
		"close":             {"\nlocal f <close> = nil", "init.lua:2: attribute '<close>' is not available"},
		"attribute":         {"local f <foo> = nil", "init.lua:1: unknown attribute 'foo'"},
		"double handler": {
			"local kumo = require 'kumo'\nkumo.on('init', function() end)\nkumo.on('init', function() end)\n",
			"init.lua:3: init event already has a handler defined at init.lua:2",
		},
		"double named handler": {
			"local kumo = require 'kumo'\nkumo.on('my.hook', function() end)\nkumo.on('my.hook', function() end)\n",
			"init.lua:3: my.hook event already has a handler defined at init.lua:2",
		},
		"missing module": {"\nrequire 'no.such'", "init.lua:2: module 'no.such' not found:\n\tno field package.preload['no.such']"},
		"os.exit":        {"os.exit(1)", "init.lua:1: os.exit is not available in a policy: stop kumo with a signal"},
		"os.execute":     {"os.execute('true')", "init.lua:1: os.execute is not available in a policy"},
		"io write":       {"io.open('/tmp/x', 'w')", `init.lua:1: io.open("/tmp/x", "w"): a policy only reads files`},
		"fail":           {"local kumo = require 'kumo'\nkumo.fail()", "init.lua:2: it broke"},
		"fail in pcall":  {"local kumo = require 'kumo'\nlocal ok, e = pcall(kumo.fail)\nerror(e, 0)", "init.lua:2: it broke"},
		"table error":    {"error {}", "(error object is a table value)"},
		"nil error":      {"error(nil)", "(error object is a nil value)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := tryHost(c.src)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestDialect(t *testing.T) {
	cases := []struct{ expr, want string }{
		{`"\x41\x0a" == "A\n"`, "true"},
		{`"\u{48}\u{20AC}"`, "H€"},
		{"\"a\\z\n   \n  b\"", "ab"},
		{`"\065\10\9"`, "A\n\t"},
		{`'it''s' == nil`, "error"},
		{`#"\u{10FFFF}"`, "4"},
		{`tostring(3)`, "3"},
		{`tostring(10/2)`, "5"},
		{`tostring(0.1)`, "0.1"},
		{`tostring(1e15)`, "1000000000000000"},
		{`tostring(math.huge)`, "inf"},
		{`tostring(-math.huge)`, "-inf"},
		{`math.type(1)`, "integer"},
		{`math.type(1.5)`, "float"},
		{`tostring(math.type('1'))`, "nil"},
		{`math.tointeger(3)`, "3"},
		{`math.tointeger('8')`, "8"},
		{`tostring(math.tointeger(3.5))`, "nil"},
		{`math.maxinteger > 9e18`, "true"},
		{`table.concat({table.unpack({1,2,3})}, ',')`, "1,2,3"},
		{`table.concat({table.unpack({1,2,3,4}, 2, 3)}, ',')`, "2,3"},
		{`table.pack(1,nil,3).n`, "3"},
		{`table.concat(table.move({1,2,3}, 1, 3, 2), ',')`, "1,1,2,3"},
		{`table.concat(table.move({1,2,3}, 2, 3, 1), ',')`, "2,3,3"},
		{`string.rep('ab', 3, '-')`, "ab-ab-ab"},
		{`('x'):rep(0)`, ""},
		{`string.rep('x', 1e9)`, "error"},
		{`string.rep('x', 1e9, 'y')`, "error"},
		{`utf8.char(72, 8364)`, "H€"},
		{`utf8.len('H€')`, "2"},
		{`utf8.codepoint('€')`, "8364"},
		{`("H€x"):gsub(utf8.charpattern, '.')`, "..."},
		{`select(2, xpcall(function(a, b) return a + b end, print, 1, 2))`, "3"},
		{`select(2, xpcall(function() error('x', 0) end, function(e) return e .. '!' end))`, "x!"},
		{`select('#', pcall(error))`, "2"},
		{`load('return 1 + 1')()`, "2"},
		{`load('return x', 'c', 't', {x = 7})()`, "7"},
		{`select(2, load('return +', '=chunk'))`, "chunk:1: syntax error near '+'"},
		{`load(function() return nil end)`, "function"},
		{`rawlen({1,2})`, "2"},
		{`table.pack(pairs(setmetatable({}, {__pairs = function() return next, {a = 1}, nil end}))).n`, "3"},
		{`(function() for k, v in pairs(setmetatable({}, {__pairs = function() return next, {a = 1}, nil end})) do return k .. v end end)()`, "a1"},
		{`(function() local n = 0 for i, v in ipairs(setmetatable({}, {__index = function(_, i) if i < 4 then return i end end})) do n = n + v end return n end)()`, "6"},
		{`(function() local x <const> = 5; local y <const>, z = 6, 7 return x + y + z end)()`, "18"},
		{`(function() for i = 1, 3 do if i == 2 then goto continue end ::continue:: end return 'ok' end)()`, "ok"},
		{`(function() local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end) return co(1) + co(10) end)()`, "22"},
		{`(function() local co = coroutine.create(function() error('in co', 0) end) local ok, e = coroutine.resume(co) return e end)()`, "in co"},
		{`select(2, pcall(coroutine.wrap(function() error('wrapped', 0) end)))`, "wrapped"},
		{`tostring(loadstring)`, "nil"},
		{`_VERSION`, "Lua 5.4"},
		{`type(os.time())`, "number"},
		{`debug.traceback('hi'):match('^hi\nstack traceback:') ~= nil`, "true"},
		{`0x10 + 1e2`, "116"},
		{`2^53 == 2^53 + 0`, "true"},
		{`"a" .. 1 .. 2`, "a12"},
		{`[[long
string]]`, "long\nstring"},
		{`#[==[ ]] ]==]`, "4"},
		{`(function() local a = {[1]=2} local t = {a[1]} return t[1] end)()`, "2"},
	}
	for _, c := range cases {
		t.Run(c.expr, func(t *testing.T) {
			h, err := tryHost("local v = " + c.expr + "\nrequire('kumo').on('init', function() return tostring(type(v) == 'function' and 'function' or v) end)")
			if err != nil {
				if c.want != "error" {
					t.Fatal(err)
				}
				return
			}
			got, _, err := fire(t, h, evInit)
			if err != nil || got != c.want {
				t.Fatalf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// Rewritten strings must not move the lines that follow.
func TestTranslationKeepsLines(t *testing.T) {
	src := "local a = 'x\\z\n\n\n y\\\nz' local b = [[\n\n]] --[[\n\n]] error 'here'\n"
	_, err := tryHost(src)
	if err == nil || !strings.HasPrefix(err.Error(), "init.lua:9: here") {
		t.Fatalf("got %v", err)
	}
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

func TestEndlessHandlersAreStopped(t *testing.T) {
	cases := map[string]string{
		"loop":           `while true do end`,
		"pcall":          `while true do pcall(function() while true do end end) end`,
		"xpcall":         `xpcall(function() while true do end end, function() while true do end end)`,
		"coroutine":      `coroutine.wrap(function() while true do end end)()`,
		"two coroutines": `local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end`,
		"recursion":      `local function f() return f() end f()`,
		"deep recursion": `local function f() local x = f() return x end while true do pcall(f) end`,
		"nested co":      `local function f() coroutine.wrap(f)() end while true do pcall(f) end`,
		"goto":           `::top:: goto top`,
		"metamethod":     `local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) while true do pcall(function() return t[1] end) end`,
		"sort":           `while true do table.sort({3, 2, 1}, function(a, b) return true end) end`,
		"gsub callback":  `string.gsub(string.rep('x', 1e6), '.', function() while true do end end)`,
		"string growth":  `while true do local s = string.rep('x', 1000) end`,
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, "require('kumo').on('init', function()\n"+body+"\nend)", func(o *Options) { o.Timeout = 30 * time.Millisecond })
			start := time.Now()
			_, _, err := fire(t, h, evInit)
			if !errors.Is(err, ErrTimeout) {
				t.Fatalf("got %v, want a timeout", err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Fatalf("took %s", took)
			}
		})
	}
}

func TestContextEndsCall(t *testing.T) {
	h := newHost(t, "require('kumo').on('init', function() while true do end end)")
	for name, want := range map[string]error{"deadline": ErrTimeout, "cancel": context.Canceled} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		if name == "cancel" {
			cancel()
			ctx, cancel = context.WithCancel(context.Background())
			time.AfterFunc(10*time.Millisecond, cancel)
		}
		s, err := h.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = s.Fire(evInit)
		h.Release(s)
		cancel()
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestLoadIsStoppedToo(t *testing.T) {
	_, err := tryHost("while true do end", func(o *Options) { o.Timeout = 20 * time.Millisecond })
	if !errors.Is(err, ErrTimeout) {
		t.Fatalf("got %v", err)
	}
}

func TestStackOverflowIsAnError(t *testing.T) {
	h := newHost(t, "local function f() local x = f() return x end\nrequire('kumo').on('init', function() return (pcall(f)) end)\nrequire('kumo').on('get_listener_domain', f)")
	if got, _, err := fire(t, h, evInit); err != nil || got != false {
		t.Fatalf("got %v, %v", got, err)
	}
	if _, _, err := fire(t, h, evDomain); err == nil || !strings.Contains(err.Error(), "overflow") {
		t.Fatalf("got %v", err)
	}
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
