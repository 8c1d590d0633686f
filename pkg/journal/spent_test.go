package journal

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kumo/pkg/message"
)

func TestSpentInRecords(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		spent []message.Span
		wait  message.Span
		want  string
	}{
		{nil, message.Span{}, ""},
		{nil, message.Span{Cause: message.WaitRetry}, ""}, // no wait is planned
		{[]message.Span{{Cause: message.SpentDNS, For: 1234 * ms}}, message.Span{}, `,"spent":[{"cause":"dns","for":1.234}]`},
		{
			[]message.Span{{Cause: message.SpentDot, At: "mx/\x1b1", For: 20 * ms}, {Cause: message.SpentTLS, At: "h", For: 3 * time.Second}},
			message.Span{},
			`,"spent":[{"cause":"remote_dot","at":"mx/\u001b1","for":0.02},{"cause":"tls","at":"h","for":3}]`,
		},
		{
			nil,
			message.Span{Cause: message.WaitRetry, At: "init.lua:7", For: 20*time.Minute + 100*ms + 499*time.Microsecond},
			`,"wait":{"cause":"retry_interval","at":"init.lua:7","for":1200.1}`,
		},
		{[]message.Span{{Cause: message.SpentKumo, For: -ms}}, message.Span{}, `,"spent":[{"cause":"kumo","for":0}]`},
	} {
		r := &Record{Type: TransientFailure, Time: time.Unix(1, 0), Spent: c.spent, Wait: c.wait}
		if got := string(appendSpent(nil, r)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		line := appendTail(appendRecord(nil, r, "node"), r, names{}, names{})
		if !strings.Contains(string(line), c.want+`,"meta":`) {
			t.Errorf("%s: its place is before meta", line)
		}
		e, err := parseEntry(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if len(e.Spent) != len(c.spent) || (e.Wait != nil) != (c.wait.For > 0) {
			t.Errorf("%s: read back as %v, %v", line, e.Spent, e.Wait)
		}
		for i, s := range e.Spent {
			if w := c.spent[i]; s.Cause != w.Cause || s.At != w.At || s.For != max(w.For.Round(ms), 0) {
				t.Errorf("%v was read back as %v", w, s)
			}
		}
	}
}

func TestStrangeSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`{"cause":"x","for":1e300}`:  0,
		`{"cause":"x","for":-1}`:     0,
		`{"cause":"x"}`:              0,
		`{"cause":"x","for":0.0015}`: 2 * time.Millisecond,
	} {
		var s Span
		if err := json.Unmarshal([]byte(text), &s); err != nil || s.For != want || s.Cause != "x" {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
	var s Span
	if json.Unmarshal([]byte(`{"for":"long"}`), &s) == nil {
		t.Error("a length of time that is a word was read")
	}
}
