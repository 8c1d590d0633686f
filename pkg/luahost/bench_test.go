package luahost

import (
	"context"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

func benchFire(b *testing.B, src string) {
	b.Helper()
	h := newHost(b, src)
	ctx := context.Background()
	arg := lua.LString("x")
	b.ReportAllocs()
	for b.Loop() {
		s, err := h.Acquire(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := s.Fire(evInit, arg); err != nil {
			b.Fatal(err)
		}
		h.Release(s)
	}
}

func BenchmarkEmptyHandler(b *testing.B) {
	benchFire(b, "require('kumo').on('init', function() end)")
}

func BenchmarkLoop1000(b *testing.B) {
	benchFire(b, "require('kumo').on('init', function() local n = 0 for i = 1, 1000 do n = n + i end return n end)")
}

// The same loop without the guard, to see what it costs.
func BenchmarkLoop1000Unguarded(b *testing.B) {
	h := newHost(b, "require('kumo').on('init', function() local n = 0 for i = 1, 1000 do n = n + i end return n end)")
	s, err := h.Acquire(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	s.L.RemoveContext()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Fire(evInit, lua.LString("x")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewState(b *testing.B) {
	h := newHost(b, "require('kumo').on('init', function() end)")
	h.SetMaxSpare(0)
	b.ReportAllocs()
	for b.Loop() {
		s, err := h.Acquire(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		h.Release(s)
	}
}

func BenchmarkPcall(b *testing.B) {
	benchFire(b, "local function f(x) return x end require('kumo').on('init', function(x) for i = 1, 100 do pcall(f, i) end end)")
}

func BenchmarkPcallError(b *testing.B) {
	benchFire(b, "local function f(x) error 'x' end require('kumo').on('init', function(x) for i = 1, 100 do pcall(f, i) end end)")
}
