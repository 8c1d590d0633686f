package option

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"5 mins", "1h 30m", "1.5d", "0", "300y", "1µs", ".5s", "9999999999999999999ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			if !strings.Contains(err.Error(), "invalid value") {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if d < 0 {
			t.Fatalf("%q is %d", s, d)
		}
		if back, err := ParseDuration(d.String()); err != nil || back != d {
			t.Fatalf("%q is %s, and that %s, %v", s, d, back, err)
		}
	})
}

func FuzzCIDR(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "::1", "::ffff:10.0.0.0/104", "::/0", "fe80::1%x", "1.2.3.4/33", "::/80"} {
		f.Add(s, "10.1.2.3")
	}
	f.Fuzz(func(t *testing.T, s, a string) {
		p, err := ParseCIDR(s)
		if err != nil {
			return
		}
		set := CIDRsOf(p)
		for _, end := range []netip.Addr{p.Addr(), lastOf(p)} {
			// An IPv6 block can reach into ::ffff:0:0/96, whose addresses are IPv4 and so not in it.
			if !set.Contains(end) && !(end.Is4In6() && p.Addr().Is6()) {
				t.Fatalf("%s does not contain its end %s", p, end)
			}
		}
		again, err := CIDRs(set.texts()...)
		if err != nil || again.String() != set.String() {
			t.Fatalf("%s does not come back: %v", p, err)
		}
		if addr, err := netip.ParseAddr(a); err == nil && set.Contains(addr) != p.Contains(addr.Unmap().WithZone("")) {
			t.Fatalf("%s contains %s: %v, but the library says otherwise", p, addr, set.Contains(addr))
		}
	})
}

// helperError is what KumoMTA's policy helpers look for.
var helperError = regexp.MustCompile(`deserialize error: (.*), while processing`)

// FuzzResolve decodes arbitrary trees: nothing panics, every error has the helpers' words, what is exported comes back.
func FuzzResolve(f *testing.F) {
	for _, s := range []string{
		`{"name":"n","max_ready":5,"protocol":{"smtp":{"mx_list":["a"]}}}`,
		`{"idle":"5m","idle_timeout":3,"via":{"x":{}},"entries":[{}],"password":{"key_data":"zzsecretzz"}}`,
		`{"additional_limits":{"a":1e30},"prohibited_hosts":[1],"enable_tls":"required","min_free_space":"5%"}`,
		`{"protocol":{"smtp":{"mx_list":[""]}},"trace_headers":{"header_name":""}}`,
		`{"token":["zzsecretzz"],"protocol":[],"meta":[],"limit":-1,"ratio":"x","port":{},"source_address":"::"}`,
	} {
		f.Add(s, s)
	}
	f.Add(`{"protocol":{}}`, `{"name":""}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		var layers []Layer
		for i, text := range []string{a, b} {
			var m map[string]any
			if json.Unmarshal([]byte(text), &m) != nil {
				return
			}
			if _, ok := m["name"]; !ok && m != nil {
				m["name"] = "n"
			}
			layers = append(layers, NewLayer(wholeNumbers(m).(map[string]any), lua(i+1)))
		}
		r, err := sampleSchema.Resolve("make_sample", layers...)
		if err != nil {
			var oe *Error
			if !errors.As(err, &oe) || !helperError.MatchString(oe.Error()) {
				t.Fatalf("%v", err)
			}
			return
		}
		out := without(sampleSchema.Export(r.Value), "port")
		delete(out, "password")
		again, err := sampleSchema.Resolve("make_sample", NewLayer(out, lua(3)))
		if err != nil {
			t.Fatalf("%v does not come back: %v", out, err)
		}
		if got := without(sampleSchema.Export(again.Value), "port"); !reflect.DeepEqual(got, out) {
			t.Fatalf("got  %v\nwant %v", got, out)
		}
	})
}

// wholeNumbers makes integers of whole floats, as a Lua table has them.
func wholeNumbers(v any) any {
	switch x := v.(type) {
	case float64:
		if n, err := Int(x); err == nil {
			return n
		}
	case []any:
		for i := range x {
			x[i] = wholeNumbers(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = wholeNumbers(x[k])
		}
	}
	return v
}
