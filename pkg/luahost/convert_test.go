package luahost

import (
	"bytes"
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

func TestToGo(t *testing.T) {
	cases := []struct {
		expr string
		want any
		err  string
	}{
		{"nil", nil, ""},
		{"true", true, ""},
		{"7", int64(7), ""},
		{"7.5", 7.5, ""},
		{"-0.0", int64(0), ""},
		{"2^53", int64(1 << 53), ""},
		{"2^70", math.Pow(2, 70), ""},
		{"math.huge", math.Inf(1), ""},
		{"'text'", "text", ""},
		{"{}", map[string]any{}, ""},
		{"{1, 2.5, 'x'}", []any{int64(1), 2.5, "x"}, ""},
		{"{1, nil, 3}", []any{int64(1), nil, int64(3)}, ""},
		{"{a = 1, b = {c = false}}", map[string]any{"a": int64(1), "b": map[string]any{"c": false}}, ""},
		{"{[10] = 'x', [2.5] = 'y'}", map[string]any{"10": "x", "2.5": "y"}, ""},
		{"{1, a = 2}", nil, "a table has both list items and named values"},
		{"{a = {1, b = 2}}", nil, "a: a table has both list items and named values"},
		{"{f = print}", nil, "f: cannot convert a function"},
		{"{[true] = 1}", nil, "a table key is a boolean, expected a string"},
		{"coroutine.create(print)", nil, "cannot convert a thread"},
		{"io.open('convert.go')", nil, "cannot convert file"},
		{"(function() local t = {} t.t = t return t end)()", nil, "t: a table is nested more than 64 deep (or contains itself)"},
		{"(function() local t = {} for i = 1, 40 do t = {t, t} end return t end)()", nil, "a table has more than 200000 values"},
		{"(function() local t = {} for i = 1, 300000 do t[i] = i end return t end)()", nil, "a table has more than 200000 values"},
	}
	for _, c := range cases {
		t.Run(c.expr, func(t *testing.T) {
			h := newHost(t, "require('kumo').on('init', function() return "+c.expr+" end)")
			s, err := h.Acquire(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer h.Release(s)
			v, _, err := s.Fire(evInit)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ToGo(v)
			if c.err != "" {
				if err == nil || !strings.HasSuffix(err.Error(), c.err) {
					t.Fatalf("got %v, want %s", err, c.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got %#v, %v, want %#v", got, err, c.want)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	h := newHost(t, "local kumo = require 'kumo' kumo.on('init', function(v) return kumo.echo(v) end)")
	for _, v := range []any{
		nil, true, int64(42), 1.5, "x\x00y",
		[]any{int64(1), "a", []any{}, map[string]any{"k": nil}},
		map[string]any{"a": []any{false}, "b": map[string]any{"c": "d"}},
	} {
		got, _, err := fire(t, h, evInit, ToLua(anyState(t, h), v))
		if err != nil || !sameValue(got, v) {
			t.Errorf("got %#v, %v, want %#v", got, err, v)
		}
	}
}

func anyState(t *testing.T, h *Host) *lua.LState {
	t.Helper()
	s, err := h.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	h.Release(s)
	return s.L
}

// sameValue takes an empty list for an empty map, and a nil entry for none, as Lua does.
func sameValue(a, b any) bool {
	switch x := b.(type) {
	case []any:
		if m, ok := a.(map[string]any); ok {
			return len(m) == 0 && len(x) == 0
		}
		y, ok := a.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !sameValue(y[i], x[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := a.(map[string]any)
		for k, v := range x {
			ok = ok && sameValue(y[k], v)
		}
		return ok
	}
	return a == b
}

// Whatever the text, compiling gives code or a SyntaxError, and never moves a line.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		"return 1", "local x <const> = '\\x41\\z\n b' -- c\n--[==[ d ]==] goto l ::l::", "x = {[1]=2,'a';b=3} f'x'{}()",
		"if a then elseif b then else end", "\"\\u{20AC}\\065\\\n\"", "a.b:c(...)//2", "[[", "'\\", "#!x\ny()",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 1<<16 {
			return
		}
		_, err := Compile("f", src)
		var syntax *SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			t.Fatalf("%T: %v", err, err)
		}
		if text, err := translate("f", src); err == nil {
			if got, want := bytes.Count(text, []byte{'\n'}), bytes.Count(src, []byte{'\n'}); got != want {
				t.Fatalf("%d lines became %d", want, got)
			}
		}
	})
}
