package message

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
)

func TestAppendJSONSaysWhatMarshalJSONSays(t *testing.T) {
	base := NewMeta(nil)
	base.Set("hostname", "mx.example.com")
	base.Set("port", int64(25))
	tables := []map[string]any{
		nil,
		{"tenant": "acme"},
		{"hostname": "hides"},
		{"hostname": nil},
		{"new": nil},
		{"quoted": "a\"b\\c\n\r\t\x01\x7f\xff\u2028é", "": "empty name"},
		{"b": true, "n": int64(-1 << 62), "i": 7, "f": 1.5, "big": 1e300, "small": 1e-9, "zero": 0.0, "whole": 1e15},
		{"list": []any{"x", int64(1), nil, []any{}}, "map": map[string]any{"k": map[string]any{}}},
	}
	for _, on := range []*Meta{nil, NewMeta(nil), base} {
		for _, values := range tables {
			m := NewMeta(on)
			for k, v := range values {
				m.Set(k, v)
			}
			for range 2 { // the second time from the cache
				got, err := m.AppendJSON([]byte("x"))
				if err != nil || got[0] != 'x' {
					t.Fatalf("%v: %q, %v", values, got, err)
				}
				want, _ := m.MarshalJSON()
				if !sameJSON(t, got[1:], want) {
					t.Errorf("%v on %v: %s, want %s", values, on.All(), got[1:], want)
				}
			}
		}
	}
	var none *Meta
	if got, err := none.AppendJSON(nil); string(got) != "{}" || err != nil {
		t.Errorf("nil: %s, %v", got, err)
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Errorf("%s: %v", a, err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Errorf("%s: %v", b, err)
	}
	return reflect.DeepEqual(x, y)
}

func TestAppendJSONOfOddValues(t *testing.T) {
	m := NewMeta(nil)
	m.Set("x", math.Inf(1))
	if got, err := m.AppendJSON(nil); string(got) != `{"x":null}` || err != nil {
		t.Errorf("infinity: %s, %v", got, err)
	}
	m.Set("x", make(chan int))
	if got, err := m.AppendJSON(nil); err == nil {
		t.Errorf("channel: %s", got)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	base := NewMeta(nil)
	for _, k := range []string{"received_from", "received_via", "hostname", "reception_protocol"} {
		base.Set(k, "127.0.0.1:2525")
	}
	base = base.Freeze()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		m := NewMeta(base)
		m.Set("tenant", "acme")
		buf, _ = m.AppendJSON(buf[:0])
	}
}
