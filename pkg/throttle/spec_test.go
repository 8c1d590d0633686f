package throttle_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"kumo/pkg/option"
	"kumo/pkg/throttle"
)

func TestParseSpec(t *testing.T) {
	tests := []struct {
		text string
		want throttle.Spec
		out  string
	}{
		{"100/s", throttle.Spec{Limit: 100, Period: time.Second, MaxBurst: 100}, "100/s"},
		{"1,000/sec", throttle.Spec{Limit: 1000, Period: time.Second, MaxBurst: 1000}, "1000/s"},
		{"1_000/second", throttle.Spec{Limit: 1000, Period: time.Second, MaxBurst: 1000}, "1000/s"},
		{"10/5min", throttle.Spec{Limit: 10, Period: 5 * time.Minute, MaxBurst: 10}, "10/5m"},
		{"10/m", throttle.Spec{Limit: 10, Period: time.Minute, MaxBurst: 10}, "10/m"},
		{"10/minute", throttle.Spec{Limit: 10, Period: time.Minute, MaxBurst: 10}, "10/m"},
		{"1/h", throttle.Spec{Limit: 1, Period: time.Hour, MaxBurst: 1}, "1/h"},
		{"1/2hr", throttle.Spec{Limit: 1, Period: 2 * time.Hour, MaxBurst: 1}, "1/2h"},
		{"1/24hour", throttle.Spec{Limit: 1, Period: 24 * time.Hour, MaxBurst: 1}, "1/d"},
		{"1/d", throttle.Spec{Limit: 1, Period: 24 * time.Hour, MaxBurst: 1}, "1/d"},
		{"1/366day", throttle.Spec{Limit: 1, Period: 366 * 24 * time.Hour, MaxBurst: 1}, "1/366d"},
		{"5/90s", throttle.Spec{Limit: 5, Period: 90 * time.Second, MaxBurst: 5}, "5/90s"},
		{"local:100/s", throttle.Spec{Limit: 100, Period: time.Second, MaxBurst: 100, Local: true}, "local:100/s"},
		{"local:1,000/d,max_burst=1,0_0", throttle.Spec{Limit: 1000, Period: 24 * time.Hour, MaxBurst: 100, Local: true}, "local:1000/d,max_burst=100"},
		{"2/s,max_burst=0", throttle.Spec{Limit: 2, Period: time.Second}, "2/s,max_burst=0"},
	}
	for _, tt := range tests {
		got, err := throttle.ParseSpec(tt.text)
		if err != nil || got != tt.want || got.String() != tt.out {
			t.Errorf("%s: got %+v %q %v", tt.text, got, got, err)
		}
		if again, err := throttle.ParseSpec(got.String()); err != nil || again != got {
			t.Errorf("%s does not come back: %+v %v", got, again, err)
		}
	}
}

func TestBadSpecs(t *testing.T) {
	bad := []string{
		"", "/", "100", "100/", "/s", "0/s", "-1/s", "1.5/s", "1/seconds", "1/x", "1/0s", "1/367d", "1/S", " 1/s", "1/s ", "1 /s",
		"1/s,", "1/s,max_burst", "1/s,max_burst=", "1/s,max_burst=x", "1/s,max_burst=-1", "1/s,burst=1", "local:", "local:local:1/s", "LOCAL:1/s",
		"99999999999999999999/s", "1/99999999999999999999s", "1/s,max_burst=99999999999999999999", "_1/s", "1_/s", ",/s", "1/1,0s",
		strings.Repeat("0", 127) + "1/s",
	}
	for _, text := range bad {
		_, err := throttle.ParseSpec(text)
		var oe *option.Error
		if !errors.As(err, &oe) || !strings.HasPrefix(oe.Msg, "invalid value: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestConnLimit(t *testing.T) {
	tests := []struct {
		in   any
		want throttle.ConnLimit
		bad  bool
	}{
		{int64(32), throttle.ConnLimit{Limit: 32}, false},
		{32.0, throttle.ConnLimit{Limit: 32}, false},
		{"1,0_00", throttle.ConnLimit{Limit: 1000}, false},
		{"local:10", throttle.ConnLimit{Limit: 10, Local: true}, false},
		{int64(0), throttle.ConnLimit{}, false},
		{int64(-1), throttle.ConnLimit{}, true},
		{"-1", throttle.ConnLimit{}, true},
		{"local:", throttle.ConnLimit{}, true},
		{"x", throttle.ConnLimit{}, true},
		{1.5, throttle.ConnLimit{}, true},
		{true, throttle.ConnLimit{}, true},
		{[]any{}, throttle.ConnLimit{}, true},
	}
	for _, tt := range tests {
		var c throttle.ConnLimit
		err := c.DecodeOption(tt.in)
		if (err != nil) != tt.bad || c != tt.want {
			t.Errorf("%v: got %+v %v", tt.in, c, err)
		}
		if err != nil {
			continue
		}
		var back throttle.ConnLimit
		if err := back.DecodeOption(c.EncodeOption()); err != nil || back != c {
			t.Errorf("%v does not come back: %+v %v", tt.in, back, err)
		}
	}
}

func TestAsOption(t *testing.T) {
	type path struct {
		Rate  *throttle.Spec                `opt:"max_message_rate"`
		Limit throttle.ConnLimit            `opt:"connection_limit,default=32"`
		More  map[string]throttle.ConnLimit `opt:"additional_connection_limits,merge=map"`
	}
	schema := option.SchemaOf[path]()
	origin := option.Origin{Kind: option.KindLua, At: "init.lua:7"}
	r, err := schema.Resolve("make_egress_path", option.NewLayer(map[string]any{
		"max_message_rate": "100/s", "additional_connection_limits": map[string]any{"a": "local:2"},
	}, origin))
	if err != nil || r.Value.Rate.Limit != 100 || r.Value.Limit.Limit != 32 || !r.Value.More["a"].Local {
		t.Fatalf("%+v %v", r.Value, err)
	}
	_, err = schema.Resolve("make_egress_path", option.NewLayer(map[string]any{"max_message_rate": "fast"}, origin))
	want := "init.lua:7: make_egress_path: deserialize error: invalid value: string \"fast\", expected a rate such as \"100/s\", " +
		"\"1,000/5min\" or \"local:10/hour,max_burst=2\", while processing option max_message_rate"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestKeyAndOrder(t *testing.T) {
	a, _ := throttle.ParseSpec("10/m,max_burst=3")
	if got := a.Key("x"); got != "x:10:3:60" {
		t.Error(got)
	}
	texts := []string{"1/s", "10/h", "100/d", "1/s,max_burst=0", "7/m"}
	specs := make([]throttle.Spec, len(texts))
	for i, s := range texts {
		specs[i], _ = throttle.ParseSpec(s)
	}
	slices.SortFunc(specs, throttle.Spec.Compare)
	got := ""
	for _, s := range specs {
		got += s.String() + " "
	}
	if want := "100/d 10/h 7/m 1/s,max_burst=0 1/s "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"100/s", "local:1,000/5min,max_burst=2_0", "0/s", "1/0d", "/,max_burst=", "9223372036854775807/d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := throttle.ParseSpec(text)
		if err != nil {
			return
		}
		back, err := throttle.ParseSpec(s.String())
		if err != nil || back != s {
			t.Fatalf("%q became %q, and that %+v, %v", text, s, back, err)
		}
		now := time.Unix(0, 0)
		l := throttle.NewLimiter(s, now)
		if r := l.Take(now, 1); r.Throttled || r.Remaining < 0 || r.Limit < 1 {
			t.Fatalf("%q: the first token is refused: %+v", text, r)
		}
		if r := l.Take(now.Add(2*s.Period), 0); r.Remaining != r.Limit {
			if s.MaxBurst == s.Limit && s.Limit < 1000 {
				t.Fatalf("%q: not full after two periods: %+v", text, r)
			}
		}
	})
}
