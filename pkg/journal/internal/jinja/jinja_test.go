package jinja

import (
	"errors"
	"strings"
	"sync"
	"testing"
)

func vars() map[string]any {
	v := map[string]any{
		"type": "Bounce", "id": "0a", "sender": "a@b", "timestamp": int64(1687624642), "created": int64(1687624600),
		"event_time": "2023-06-24T16:37:22.5Z", "peer_address": nil, "egress_pool": nil, "yes": true, "no": false,
		"response": map[string]any{"code": int64(550), "content": "no \"such\"\r\nuser <x>", "enhanced_code": nil, "command": nil},
		"headers":  map[string]any{"subject": "it's"}, "list": []any{int64(1), "b", nil, true, 1.5}, "size": int64(4_100_000),
		"recipient": []any{"x@y", "z@y"},
	}
	v["log_record"] = map[string]any{"id": v["id"], "type": v["type"], "meta": map[string]any{}, "response": v["response"]}
	return Prepare(v).(map[string]any)
}

func TestTemplates(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"Bounce! id={{ id }}, from={{ sender }} code={{ response.code }} age={{ timestamp - created }}", "Bounce! id=0a, from=a@b code=550 age=42"},
		{"{{ egress_pool }}|{{ peer_address.name }}|{{ missing }}|{{ none }}|{{ yes }}|{{ no }}", "none|||none|true|false"},
		{"{{ list }} {{ response['code'] }} {{ {'a': none} }}", `[1, "b", none, true, 1.5] 550 {"a": none}`},
		{"{{ response.content }}", `no "such"  user <x>`},
		{"{{ log_record | tojson }}", `{"type":"Bounce","id":"0a","response":{"code":550,"enhanced_code":null,"content":"no \"such\"\r\nuser \u003cx\u003e","command":null},"meta":{}}`},
		{"{{ headers['subject']|tojson }} {{ headers.subject }} {{ headers['x-none'] }}", `"it\u0027s" it's `},
		{"{{ 'a' if yes else 'b' }} {{ 'a' if egress_pool else none }} {{ 'a' if egress_pool }}", "a none "},
		{"{% if egress_pool %}x{% elif peer_address is none %}y{% endif %}", "y"},
		{"{{ egress_pool is none }} {{ missing is none }} {{ missing is undefined }} {{ egress_pool is not defined }} {{ egress_pool == none }}", "true false true false true"},
		{"{{ missing|default('d') }} {{ egress_pool|default('d') }} {{ egress_pool|default('d', boolean=true) }}", "d none d"},
		{"{% for r in recipient %}{{ loop.index }}:{{ r }}{% if not loop.last %},{% endif %}{% endfor %}", "1:x@y,2:z@y"},
		{"{% for k, v in response|items %}{{ k }} {% endfor %}{{ recipient|join(';') }} {{ sender.split('@')[1] }}", "code enhanced_code content command x@y;z@y b"},
		{"{{ timestamp|datetimeformat }}|{{ timestamp|datetimeformat(format='short') }}|{{ timestamp|datetimeformat(format='iso') }}", "Jun 24 2023 16:37|2023-06-24 16:37|2023-06-24T16:37:22+00:00"},
		{"{{ event_time|timeformat(format='full') }}|{{ timestamp|timeformat(format='full') }}|{{ event_time|dateformat(format='full') }}|{{ '2023-06-24'|dateformat }}", "16:37:22.5|16:37:22.0|Saturday, June 24 2023|Jun 24 2023"},
		{"{{ timestamp|datetimeformat(format='[hour repr:12] [period] [weekday repr:short] [ordinal] [[x] [subsecond digits:3]')}}", "04 PM Sat 175 [x] 000"},
		{"{{ timestamp|datetimeformat(format='long', tz='UTC') }} {{ timestamp|datetimeformat(format='unix') }}", "June 24 2023 16:37:22 1687624642"},
		{"{{ 1 }} user{{ 1|pluralize }}, {{ list|length }} entit{{ list|pluralize('y', 'ies') }}, {{ 2 }} platypus{{ 2|pluralize(none, 'es') }}", "1 user, 5 entities, 2 platypuses"},
		{"{{ size|filesizeformat }} {{ now() > 1 }} {{ range(3)|join('-') }} {{ 'a b'|split|tojson }}", `4.1 MB true 0-1-2 ["a","b"]`},
		{"{% set x = 5 %}{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m(x) }}{# no #}{% raw %}{{ none }}{% endraw %}", "[5]{{ none }}"},
		{"{{- id -}}  {{ 'if' }} {{ \"}}\" }} {{ {'if': 1}['if'] }}\n", "0aif }} 1"},
		{"{{ 'a\tb\nc' }}\tx\ny", "a\tb c\tx\ny"},
		{"{{ egress_pool ~ 'x' }} {{ sender.upper() }} {{ sender is startingwith('a') }} {{ 7 // 2 }} {{ 7 / 2 }} {{ 2.0 }}", "nonex A@B true 3 3.5 2.0"},
	} {
		tpl, err := Compile(c.source)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		b, err := tpl.Render([]byte("> "), vars())
		if got := string(b); err != nil || got != "> "+c.want {
			t.Errorf("%s:\n got %q\nwant %q, %v", c.source, got, c.want, err)
		}
	}
}

func TestWhatCompileRefuses(t *testing.T) {
	for _, c := range []struct {
		source string
		line   int
		say    string
	}{
		{"{{ id\n", 1, ""},
		{"a\nb\n{% include 'x' %}", 3, "templates read no files"},
		{"{% import 'x' as y %}", 1, "templates read no files"},
		{"{% from 'x' import y %}", 1, "templates read no files"},
		{"\n{% extends 'x' %}", 2, "templates read no files"},
		{"{% foo %}", 1, `no statement "foo"`},
		{"{% if no %}\n{{ id|nope }}{% endif %}", 2, `no filter "nope"`},
		{"{{ id is not nope }}", 1, `no test "nope"`},
		{"\n{{ 1 + }}", 2, ""},
		{"\n\n{% for x in %}{% endfor %}", 3, ""},
		{"{% if id %}", 1, ""},
		{"\n{{ id }", 2, ""},
	} {
		_, err := Compile(c.source)
		var e *Error
		if !errors.As(err, &e) || e.Line != c.line || !strings.Contains(e.Error(), c.say) || strings.Contains(e.Error(), "kumo_") {
			t.Errorf("%q: %v, want line %d and %q", c.source, err, c.line, c.say)
		}
	}
}

func TestWhatRenderRefuses(t *testing.T) {
	for source, say := range map[string]string{
		"{{ 'x' * 300000 }}":                            ErrTooLong.Error(),
		"{% for i in range(100000) %}12345{% endfor %}": ErrTooLong.Error(),
		"{{ range(100001) }}":                           "more than 100000",
		"\n{{ missing.deep }}":                          "missing.deep",
		"{{ 1 % 0 }}":                                   "divide by zero",
		"{{ id|datetimeformat }}":                       "is no time",
		"{{ 0|datetimeformat(format='[x]') }}":          "[x] is not known",
		"{{ 0|datetimeformat(tz='No/Where') }}":         "No/Where",
		"{{ lipsum() }}":                                "lipsum",
	} {
		tpl, err := Compile(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		b, err := tpl.Render([]byte("old"), vars())
		if err == nil || !strings.Contains(err.Error(), say) || string(b) != "old" {
			t.Errorf("%s: %q, %v; want %q", source, b, err, say)
		}
	}
}

func TestManyRender(t *testing.T) {
	tpl, err := Compile("{% set x = id %}{% set c = cycler(['a', 'b']) %}{% set j = joiner(';') %}{% for i in range(3) %}{{ x }}{{ c.next() }}{{ j() }}{% endfor %}{% macro m(a) %}{{ a }}{% endmacro %}{{ m(type) }}")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			v := vars()
			for range 100 {
				if b, err := tpl.Render(nil, v); err != nil || string(b) != "0aa0ab;0aa;Bounce" {
					t.Errorf("%s, %v", b, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzCompile: no source makes the engine panic or hang.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{"{{ a if b else c }}", "{% for x in y %}{{ x|tojson }}{% endfor %}", "{% raw %}{{ none }}", "{{ 'x", "{{ ((("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		if len(source) > 200 || strings.Contains(source, "*") || strings.Contains(source, "macro") {
			return
		}
		if tpl, err := Compile(source); err == nil {
			_, _ = tpl.Render(nil, vars())
		}
	})
}

func BenchmarkRender(b *testing.B) {
	tpl, err := Compile("{{ timestamp }},{{ id }},{{ sender }},{{ recipient }},{{ response.code }},{{ response.content }}")
	if err != nil {
		b.Fatal(err)
	}
	v := vars()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tpl.Render(nil, v); err != nil {
			b.Fatal(err)
		}
	}
}
