package option

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	day := 24 * time.Hour
	tests := []struct {
		in   any
		want time.Duration
		out  string
	}{
		{"5 mins", 5 * time.Minute, "5m"},
		{"1h 30m", 90 * time.Minute, "1h30m"},
		{"1h30m", 90 * time.Minute, "1h30m"},
		{"1 day", day, "1d"},
		{"7 days", 7 * day, "7d"},
		{"500ms", 500 * time.Millisecond, "500ms"},
		{"2 weeks", 14 * day, "14d"},
		{"1w 1wk 2wks 1week", 35 * day, "35d"},
		{"1month", 2_630_016 * time.Second, "30d10h33m36s"},
		{"1M", 2_630_016 * time.Second, "30d10h33m36s"},
		{"2months", 2 * 2_630_016 * time.Second, "60d21h7m12s"},
		{"1y", 31_557_600 * time.Second, "365d6h"},
		{"1year 1yr 2yrs 1years", 5 * 31_557_600 * time.Second, "1826d6h"},
		{"1sec 1secs 1second 1seconds 1s", 5 * time.Second, "5s"},
		{"1min 1mins 1minute 1minutes 1m", 5 * time.Minute, "5m"},
		{"1hr 1hrs 1hour 1hours 1h", 5 * time.Hour, "5h"},
		{"1nsec 1ns 1nanos", 3, "3ns"},
		{"1usec 1us 1micros 1µs", 4 * time.Microsecond, "4us"},
		{"1msec 1ms 1millis", 3 * time.Millisecond, "3ms"},
		{"1.5h", 90 * time.Minute, "1h30m"},
		{" 20m ", 20 * time.Minute, "20m"},
		{"0", 0, "0s"},
		{"0s", 0, "0s"},
		{int64(60), time.Minute, "1m"},
		{int64(0), 0, "0s"},
		{1.5, 1500 * time.Millisecond, "1s500ms"},
		{0.001, time.Millisecond, "1ms"},
		{1e9, 1e9 * time.Second, "11574d1h46m40s"},
	}
	for _, tt := range tests {
		var d Duration
		if err := d.DecodeOption(tt.in); err != nil || d.Std() != tt.want || d.String() != tt.out {
			t.Errorf("%v: got %s (%d) %v", tt.in, d, d, err)
		}
		if back, err := ParseDuration(d.String()); err != nil || back != d {
			t.Errorf("%v does not come back from %s: %v %v", tt.in, d, back, err)
		}
	}
}

func TestBadDurations(t *testing.T) {
	tests := []struct {
		in   any
		want string
	}{
		{"", "invalid value"},
		{"5", "time unit needed, for example 5sec"},
		{"m", "invalid value"},
		{"5 fortnights", `unknown time unit "fortnights"`},
		{"1h30", "time unit needed, for example 30sec"},
		{"-5m", "invalid value"},
		{"1.2.3s", "invalid value"},
		{".s", "invalid value"},
		{"5S", "unknown time unit"},
		{"1h,30m", "unknown time unit"},
		{"9223372036854775807y", "292 years"},
		{"300 years", "292 years"},
		{"200 years 200 years", "292 years"},
		{"1e400s", "unknown time unit"},
		{strings.Repeat("9", 200) + "s", "292 years"},
		{strings.Repeat("1s ", 100), "invalid value"},
		{int64(-1), "not negative"},
		{-0.5, "not negative"},
		{math.NaN(), "not negative"},
		{math.Inf(1), "292 years"},
		{int64(math.MaxInt64), "292 years"},
		{true, "invalid type: boolean `true`"},
		{list{}, "invalid type: sequence"},
	}
	for _, tt := range tests {
		d := Duration(7)
		err := d.DecodeOption(tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "invalid") || d != 7 {
			t.Errorf("%v: got %s %v, want %q", tt.in, d, err, tt.want)
		}
	}
}

func TestDurationText(t *testing.T) {
	b, err := json.Marshal(map[string]Duration{"d": Duration(90 * time.Second)})
	if err != nil || string(b) != `{"d":"1m30s"}` {
		t.Errorf("%s %v", b, err)
	}
	var m map[string]Duration
	if err := json.Unmarshal(b, &m); err != nil || m["d"].Seconds() != 90 {
		t.Error(m, err)
	}
	if err := json.Unmarshal([]byte(`{"d":"x"}`), &m); err == nil {
		t.Error("x is a duration")
	}
}

func TestSizeAndAmount(t *testing.T) {
	sizes := []struct {
		in   any
		want Size
		bad  bool
	}{
		{int64(5), 5, false},
		{5.0, 5, false},
		{"1_000", 1000, false},
		{"1,000,000", 1000000, false},
		{int64(-1), 0, true},
		{1.5, 0, true},
		{"", 0, true},
		{"x", 0, true},
		{"_1", 0, true},
		{"1,", 0, true},
		{true, 0, true},
		{"99999999999999999999", 0, true},
		{"9223372036854775807", math.MaxInt64, false},
		{"9223372036854775808", 0, true},
	}
	for _, tt := range sizes {
		var s Size
		if err := s.DecodeOption(tt.in); (err != nil) != tt.bad || s != tt.want {
			t.Errorf("%v: %d %v", tt.in, s, err)
		}
	}
	amounts := []struct {
		in   any
		text string
		of   uint64 // of 1000
		bad  bool
	}{
		{"10%", "10%", 100, false},
		{"0%", "0%", 0, false},
		{"100%", "100%", 1000, false},
		{"2.5%", "2.5%", 25, false},
		{int64(7), "7", 7, false},
		{"1_000", "1000", 1000, false},
		{7.0, "7", 7, false},
		{"101%", "", 0, true},
		{"-1%", "", 0, true},
		{"%", "", 0, true},
		{"NaN%", "", 0, true},
		{int64(-1), "", 0, true},
		{"ten", "", 0, true},
		{true, "", 0, true},
	}
	for _, tt := range amounts {
		var a Amount
		err := a.DecodeOption(tt.in)
		if (err != nil) != tt.bad {
			t.Errorf("%v: %v", tt.in, err)
		}
		if err == nil && (a.String() != tt.text || a.Of(1000) != tt.of) {
			t.Errorf("%v: %s, %d of 1000", tt.in, a, a.Of(1000))
		}
	}
}

func TestSecretShapes(t *testing.T) {
	tests := []struct {
		in    any
		want  Secret
		shown string
	}{
		{"/etc/key", Secret{Kind: SecretFile, Path: "/etc/key"}, "/etc/key"},
		{table{"key_data": "s3cret"}, Secret{Kind: SecretData, KeyData: "s3cret"}, "(key_data)"},
		{table{"key_data": ""}, Secret{Kind: SecretData}, "(key_data)"},
		{
			table{"vault_mount": "m", "vault_path": "p", "vault_token": "s3cret", "vault_address": nil},
			Secret{Kind: SecretVault, VaultMount: "m", VaultPath: "p", VaultKey: "key", VaultToken: "s3cret"},
			"vault:m/p#key",
		},
		{
			table{"event_name": "e", "event_args": list{"s3cret"}},
			Secret{Kind: SecretEvent, EventName: "e", EventArgs: list{"s3cret"}},
			"event:e",
		},
	}
	for _, tt := range tests {
		var s Secret
		if err := s.DecodeOption(tt.in); err != nil || !reflect.DeepEqual(s, tt.want) {
			t.Errorf("%v: %s %v", tt.in, s, err)
		}
		js, _ := json.Marshal(map[string]any{"s": s, "p": &s})
		var logged strings.Builder
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "s", s, "p", &s)
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "s", s, "p", &s)
		all := fmt.Sprintf("%v %+v %#v %s %q %d %v %+v", s, s, s, s, s, s, &s, struct{ S *Secret }{&s}.S) + string(js) + logged.String()
		if strings.Contains(all, "s3cret") {
			t.Errorf("%s shows its secret: %s", tt.shown, all)
		}
		if s.String() != tt.shown || s.IsZero() {
			t.Errorf("shown as %q, want %q", s, tt.shown)
		}
	}
	if !(Secret{}).IsZero() || (Secret{}).EncodeOption() != nil || (Secret{}).String() != "" {
		t.Error("the zero secret is something")
	}
}

func TestBadSecrets(t *testing.T) {
	for _, in := range []any{
		"", int64(123456),
		list{"s3cret"},
		table{},
		table{"key": "s3cret"},
		table{"key_data": int64(123456)},
		table{"key_data": "s3cret", "x": "s3cret"},
		table{"vault_mount": "s3cret"},
		table{"vault_path": "s3cret"},
		table{"event_name": list{"s3cret"}},
	} {
		var s Secret
		err := s.DecodeOption(in)
		if err == nil || !s.IsZero() || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: %v", in, err)
		}
	}
}

func TestSecretsInsideTablesAreHidden(t *testing.T) {
	type inner struct {
		Key  Secret `opt:"key"`
		Name string `opt:"name"`
	}
	type outer struct {
		List  []inner           `opt:"list"`
		Map   map[string]inner  `opt:"map,merge=map"`
		Keys  []Secret          `opt:"keys"`
		ByKey map[string]Secret `opt:"by_key"`
		One   inner             `opt:"one"`
		Ptr   *inner            `opt:"ptr"`
	}
	in := table{"key": table{"key_data": "s3cret"}, "name": "n"}
	l := func(line int) Layer {
		return NewLayer(table{
			"list": list{in}, "map": table{"k": in, fmt.Sprint("m", line): in}, "keys": list{table{"key_data": "s3cret"}},
			"by_key": table{"a": table{"key_data": "s3cret"}}, "one": in, "ptr": in,
		}, lua(line))
	}
	r, err := SchemaOf[outer]().Resolve("x", l(1), l(2))
	if err != nil || r.Value.Map["k"].Key.KeyData != "s3cret" || r.Value.List[0].Key.KeyData != "s3cret" {
		t.Fatal(err)
	}
	got := printTrace(r.Trace)
	if strings.Contains(got, "s3cret") || strings.Count(got, "(key_data)") < 8 || !strings.Contains(got, `"name":"n"`) {
		t.Error(got)
	}
	for _, bad := range []table{
		{"list": list{table{"key": int64(5551234)}}},
		{"keys": list{int64(5551234)}},
		{"by_key": table{"a": int64(5551234)}},
		{"map": table{"a": table{"key": int64(5551234)}}},
	} {
		if _, err := SchemaOf[outer]().Resolve("x", NewLayer(bad, lua(1))); err == nil || strings.Contains(err.Error(), "5551234") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestCIDRSet(t *testing.T) {
	s, err := CIDRs("10.0.0.0/8", "11.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1", "::ffff:203.0.113.0/120", "10.1.0.0/16", "0.0.0.0", "::")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{
		"10.0.0.0": true, "10.255.255.255": true, "11.3.4.5": true, "9.255.255.255": false, "12.0.0.0": false,
		"192.0.2.7": true, "192.0.2.6": false, "192.0.2.8": false, "2001:db8:ffff::1": true, "2001:db9::": false,
		"::1": true, "::": true, "::2": false, "0.0.0.0": true, "0.0.0.1": false,
		"::ffff:10.1.2.3": true, "203.0.113.9": true, "::ffff:203.0.113.9": true, "203.0.114.0": false, "fe80::1%eth0": false,
		"255.255.255.255": false, "ffff::": false,
	}
	for a, want := range tests {
		if got := s.Contains(netip.MustParseAddr(a)); got != want {
			t.Errorf("Contains(%s) = %v", a, got)
		}
	}
	if s.Contains(netip.Addr{}) || (CIDRSet{}).Contains(netip.MustParseAddr("::1")) || !(CIDRSet{}).IsEmpty() {
		t.Error("nothing is in something")
	}
	if want := "10.0.0.0/8, 11.0.0.0/8, 192.0.2.7, 2001:db8::/32, ::1, 203.0.113.0/24, 10.1.0.0/16, 0.0.0.0, ::"; s.String() != want {
		t.Errorf("got %s", s)
	}
	if len(s.ranges) != 6 {
		t.Errorf("%d ranges, want 6: neighbours are not joined", len(s.ranges))
	}
	everything, err := CIDRs("0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96")
	if err != nil || !everything.Contains(netip.MustParseAddr("255.255.255.255")) || !everything.Contains(netip.MustParseAddr("ffff::")) {
		t.Error(err)
	}
	if all, err := CIDRs("fe80::/10"); err != nil || !all.Contains(netip.MustParseAddr("fe80::1%eth0")) {
		t.Error("a zone hides an address:", err)
	}
	for _, bad := range []string{"", "x", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "::1/127", "fe80::1%eth0", "10.0.0/8", "10.0.0.0/8/8", "1.2.3.4 ", "::ffff:10.0.0.1/104"} {
		if p, err := ParseCIDR(bad); err == nil {
			t.Errorf("%q is %s", bad, p)
		}
	}
	var d CIDRSet
	for _, bad := range []any{"10.0.0.0/8", int64(1), list{int64(1)}, table{"a": "10.0.0.0/8"}} {
		if err := d.DecodeOption(bad); err == nil {
			t.Errorf("%v is a set", bad)
		}
	}
	if err := d.DecodeOption(s.EncodeOption()); err != nil || d.String() != s.String() {
		t.Error(err)
	}
}

func TestEnumIntAndDescribe(t *testing.T) {
	if s, err := Enum("a", "a", "b"); s != "a" || err != nil {
		t.Error(s, err)
	}
	for _, bad := range []any{"A", int64(1), nil} {
		if _, err := Enum(bad, "a", "b"); err == nil {
			t.Error(bad)
		}
	}
	for _, bad := range []any{"1", 1.5, math.Inf(1), 1e19, -1e19, math.NaN(), true} {
		if _, err := Int(bad); err == nil {
			t.Error(bad)
		}
	}
	for v, want := range map[any]string{"a\nb": `string "a\nb"`, int64(1): "integer `1`", 2.5: "floating point `2.5`", true: "boolean `true`", nil: "null", 'x': "int32"} {
		if got := Describe(v); got != want {
			t.Errorf("%v: %s", v, got)
		}
	}
}

func BenchmarkCIDRContains(b *testing.B) {
	b.ReportAllocs()
	s, _ := CIDRs("127.0.0.0/8", "0.0.0.0", "::1", "::")
	a := netip.MustParseAddr("192.0.2.1")
	for b.Loop() {
		s.Contains(a)
	}
}

func BenchmarkParseDuration(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = ParseDuration("1h 30m")
	}
}
