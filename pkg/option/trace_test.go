package option

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// golden compares got with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s", path, got)
	}
}

func printTrace(tr Trace) string {
	var b strings.Builder
	for _, e := range tr {
		fmt.Fprintf(&b, "%-36s %-44s %s%s\n", e.Name, shown(e.Value), e.Origin, overText(e.Over))
		for _, p := range e.Parts {
			fmt.Fprintf(&b, "  %-34s %-44s %s%s\n", p.Name, shown(p.Value), p.Origin, overText(p.Over))
		}
	}
	return b.String()
}

func shown(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func overText(over []Setting) string {
	s := ""
	for _, o := range over {
		s += fmt.Sprintf(" (over %s, %s)", shown(o.Value), o.Origin)
	}
	return s
}

func TestTraceGolden(t *testing.T) {
	toml := func(line int, kv ...any) Layer {
		l := layer(0, kv...)
		for k, s := range l {
			s.Origin = Origin{Kind: KindTOML, At: fmt.Sprintf("shaping.toml:%d", line)}
			l[k] = s
		}
		delete(l, "name")
		return l
	}
	r, err := sampleSchema.Resolve("make_egress_path",
		toml(8, "limit", int64(10), "max_ready", int64(5), "additional_limits", table{"a": int64(1), "b": int64(2)}),
		toml(112, "limit", int64(50), "additional_limits", table{"b": int64(3), "c": int64(4)}, "trace_headers", table{"header_name": "Y"}),
		layer(41, "idle", "2m", "limit", int64(60), "password", table{"key_data": "s3cret"}, "token", "s3cret", "old", int64(1),
			"protocol", table{"smtp": table{"mx_list": list{"a", "b:25"}}}, "trace_headers", table{"received_header": false}),
		Layer{"max_ready": {nil, Origin{Kind: KindAutomation, At: "rule"}}, "token": {"s4cret", Origin{Kind: KindFlag, At: "--token"}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	got := printTrace(r.Trace)
	for _, w := range r.Warnings {
		got += w.String() + "\n"
	}
	golden(t, "trace.txt", got)
	if strings.Contains(got, "cret\"") && strings.Contains(got, "s3cret") {
		t.Error("the trace shows a secret")
	}
	if !reflect.DeepEqual(r.Value.Extra, map[string]int{"a": 1, "b": 3, "c": 4}) {
		t.Errorf("merged: %v", r.Value.Extra)
	}
	if e, ok := r.Trace.Find("protocol.smtp.mx_list"); !ok || e.Origin.At != "init.lua:41" {
		t.Errorf("%+v %v", e, ok)
	}
	if _, ok := r.Trace.Find("nope"); ok {
		t.Error("found what is not there")
	}
}

func TestAllBadOptionsAreReported(t *testing.T) {
	l := layer(3, "max_ready", "x", "zz", int64(1), "limt", int64(1), "ratio", true)
	delete(l, "name")
	l["ratio"] = Setting{true, lua(9)}
	_, err := sampleSchema.ResolveAt(lua(1), "make_sample", l)
	want := strings.Join([]string{
		"init.lua:3: make_sample: deserialize error: unknown field `limt`, did you mean `limit`?, while processing option limt",
		"init.lua:3: make_sample: deserialize error: unknown field `zz`, while processing option zz",
		"init.lua:1: make_sample: deserialize error: missing field `name`, while processing option name",
		"init.lua:3: make_sample: deserialize error: invalid type: string \"x\", expected an integer for `max_ready`, while processing option max_ready",
		"init.lua:9: make_sample: deserialize error: invalid type: boolean `true`, expected a number for `ratio`, while processing option ratio",
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	var oe *Error
	if !errors.As(err, &oe) || len(oe.More) != 4 || oe.Option != "limt" {
		t.Errorf("%#v", oe)
	}
	many := Layer{}
	for i := range 30 {
		many[fmt.Sprintf("unknown%02d", i)] = Setting{int64(1), lua(1)}
	}
	_, err = sampleSchema.Resolve("x", many)
	if n := strings.Count(err.Error(), "\n"); n > maxListed || !strings.HasSuffix(err.Error(), "(and 21 more)") {
		t.Errorf("%d lines, ends in %q", n, err.Error()[len(err.Error())-20:])
	}
}

func TestCheckOrigins(t *testing.T) {
	_, err := sampleSchema.ResolveAt(lua(1), "m", layer(7, "range_from", int64(13), "range_to", int64(20)))
	if want := "init.lua:1: m: deserialize error: invalid combination: thirteen, while processing options"; err == nil || err.Error() != want {
		t.Error(err)
	}
	_, err = sampleSchema.Resolve("m", layer(7, "additional_limits", table{"a": int64(1)}),
		layer(9, "additional_limits", table{"a": int64(2), "b": "x"}), layer(11, "additional_limits", table{"c": int64(3)}))
	if err == nil || !strings.HasPrefix(err.Error(), "init.lua:9: ") {
		t.Errorf("a merged key is blamed on the wrong place: %v", err)
	}
	_, err = sampleSchema.Resolve("m", layer(7, "additional_limits", int64(1)), layer(9, "max_ready", int64(2)))
	if err == nil || !strings.HasPrefix(err.Error(), "init.lua:7: m: deserialize error: invalid type: integer `1`, expected a map") {
		t.Error(err)
	}
}

func TestExportComesBack(t *testing.T) {
	r, err := sampleSchema.Resolve("m", layer(1, "idle_timeout", 90.0, "remember_broken_tls", "1d", "source_address", "::1",
		"prohibited_hosts", list{"10.0.0.0/8", "::1"}, "protocol", table{"smtp": table{"mx_list": list{"a"}}},
		"additional_limits", table{"a": int64(1)}, "entries", list{table{"header_name": "Z"}}, "min_free_space", "5%"))
	if err != nil {
		t.Fatal(err)
	}
	out := sampleSchema.Export(r.Value)
	delete(out, "port") // portOrAny has no Encoder
	delete(out, "password")
	if out["idle_timeout"] != "1m30s" || out["max_ready"] != int64(1024) {
		t.Errorf("%v", out)
	}
	again, err := sampleSchema.Resolve("m", NewLayer(out, lua(1)))
	if err != nil {
		t.Fatal(err)
	}
	if got := sampleSchema.Export(again.Value); !reflect.DeepEqual(without(got, "port"), out) {
		t.Errorf("got  %v\nwant %v", got, out)
	}
}

func without(m map[string]any, key string) map[string]any {
	delete(m, key)
	return m
}

func TestDefaultsAreNotShared(t *testing.T) {
	a, _ := sampleSchema.Resolve("m", layer(1, "trace_headers", table{"header_name": "changed"}, "additional_limits", table{"a": int64(1)}))
	b, err := sampleSchema.Resolve("m", layer(1))
	if err != nil || b.Value.Trace.Name != "X-KumoRef" || len(b.Value.Extra) != 0 || a.Value.Trace.Name != "changed" {
		t.Errorf("%+v %v", b.Value.Trace, err)
	}
	if e, _ := b.Trace.Find("max_ready"); !e.IsDefault() || e.Value != int64(1024) {
		t.Errorf("%+v", e)
	}
}

func TestDecodeTable(t *testing.T) {
	s := SchemaOf[trace]()
	v, err := s.Decode(table{"header_name": "Q"})
	if err != nil || v != (trace{true, "Q"}) {
		t.Error(v, err)
	}
	for _, bad := range []any{"x", list{int64(1)}, table{"header_name": int64(1)}, table{"nope": int64(1)}} {
		if _, err := s.Decode(bad); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
	if !s.Has("header_name") || s.Has("nope") || s.Default() != (trace{true, "X-KumoRef"}) || s.TypeName() != "option.trace" {
		t.Error("the schema does not know itself")
	}
}
