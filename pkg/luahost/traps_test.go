package luahost

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestEndlessHandlersAreStopped(t *testing.T) {
	cases := map[string]string{
		"loop":            `while true do end`,
		"pcall":           `while true do pcall(function() while true do end end) end`,
		"xpcall":          `xpcall(function() while true do end end, function() while true do end end)`,
		"coroutine":       `coroutine.wrap(function() while true do end end)()`,
		"two coroutines":  `local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end`,
		"recursion":       `local function f() return f() end f()`,
		"deep recursion":  `local function f() local x = f() return x end while true do pcall(f) end`,
		"nested co":       `local function f() coroutine.wrap(f)() end while true do pcall(f) end`,
		"goto":            `::top:: goto top`,
		"metamethod":      `local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) while true do pcall(function() return t[1] end) end`,
		"sort":            `while true do table.sort({3, 2, 1}, function(a, b) return true end) end`,
		"gsub callback":   `string.gsub(string.rep('x', 1e4), '.', function() while true do end end)`,
		"nested pcall":    `local function f() pcall(f) end while true do f() end`,
		"nested gsub":     `local function f() return (string.gsub('x', 'x', f)) end while true do pcall(f) end`,
		"nested tostring": `local t = setmetatable({}, {__tostring = function(t) return tostring(t) end}) while true do pcall(tostring, t) end`,
		"nested sort":     `local function f() table.sort({2, 1}, f) end while true do pcall(f) end`,
		"error objects":   `while true do pcall(error, {}) end`,
		"compiling":       `local s = ('x = 1\n'):rep(5000) while true do load(s) end`,
		"big rep":         `while true do local s = ('x'):rep(1e6) end`,
		"reading":         `while true do io.open('host_test.go') end`,
		"requiring":       `while true do pcall(require, 'no.such') end`,
		"coroutines":      `while true do coroutine.wrap(function() end)() end`,
		"string growth":   `while true do local s = string.rep('x', 1000) end`,
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
			if took := time.Since(start); took > time.Minute {
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
