package journal

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

const testNode = "557f3ad4-2c8c-11ee-976e-782d7e12e173"

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

func testMessage() *message.Message {
	id, _ := message.ParseID("1d98076abbbc11ed940250ebf67f93bd")
	m := &message.Message{
		ID: id, Sender: mail.Restore("user@sender.example.com"),
		Recipients: []mail.Address{mail.Restore("user@recipient.example.com")},
		Meta:       message.NewMeta(nil), Queue: "campaign:tenant@domain", Created: testTime.Add(-90 * time.Second),
	}
	m.Meta.Set("reception_protocol", "ESMTP")
	m.Meta.Set("tenant", "tenant")
	m.SetData([]byte("Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nX-One: 1\r\nX-Two: a\r\nx-two: b\r\nTo: x\r\n\r\nhi\r\n"))
	return m
}

func delivery() *Record {
	return &Record{
		Type: Delivery, Time: testTime, Msg: testMessage(), Attempts: 1,
		Response: smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{Class: 2}, Text: "OK\nids=8a", Command: "."},
		Route: message.Route{
			Site: "source2->(alt1|alt2)?.mx.example.com@smtp_client", Pool: "pool0", Source: "source2",
			Protocol: "ESMTP", PeerName: "mx.example.com.", PeerAddr: netip.MustParseAddr("142.251.2.27"),
			LocalAddr: netip.MustParseAddrPort("10.0.0.1:53210"), SessionID: "9bcd689e-23d9-41b7-a015-63a1382f8b57",
			TLS: &smtp.TLSInfo{
				Cipher: "TLS_AES_256_GCM_SHA384", ProtocolVersion: "TLSv1.3",
				PeerSubject: []string{"C=US", "CN=mx.example.com"},
			},
		},
	}
}

func encode(r *Record, meta, headers []string) []byte {
	b := appendRecord(nil, r, testNode)
	return appendTail(b, r, parseNames(meta), parseNames(headers))
}

func TestRecordsHaveTheFieldsOfKumoMTA(t *testing.T) {
	reception := &Record{
		Type: Reception, Time: testTime, Msg: testMessage(), Response: smtp.Reply{Code: 250},
		PeerName: "client.example", PeerAddr: "192.0.2.7", SessionID: "s",
	}
	rejection := &Record{
		Type: Rejection, Time: testTime, Sender: mail.Restore("a@b"), PeerName: "x", PeerAddr: "::1", Reception: "ESMTP",
		Recipients: []mail.Address{mail.Restore("c@d"), mail.Restore("e@f")},
		Response:   smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{Class: 5, Subject: 7, Detail: 1}, Text: "relaying not permitted", Command: "RCPT TO:<c@d>"},
	}
	tests := []struct {
		name string
		line []byte
		want string
	}{
		{"Delivery", encode(delivery(), []string{"tenant", "absent"}, []string{"subject", "X-*"}), `{"type":"Delivery",` +
			`"id":"1d98076abbbc11ed940250ebf67f93bd","sender":"user@sender.example.com",` +
			`"recipient":"user@recipient.example.com","queue":"campaign:tenant@domain",` +
			`"site":"source2->(alt1|alt2)?.mx.example.com@smtp_client","size":81,` +
			`"response":{"code":250,"enhanced_code":{"class":2,"subject":0,"detail":0},"content":"OK ids=8a","command":"."},` +
			`"peer_address":{"name":"mx.example.com.","addr":"142.251.2.27"},` +
			`"timestamp":1772366400,"event_time":"2026-03-01T12:00:00.123456Z",` +
			`"created":1772366310,"created_time":"2026-03-01T11:58:30.123456Z","num_attempts":1,` +
			`"bounce_classification":"Uncategorized","egress_pool":"pool0","egress_source":"source2",` +
			`"source_address":{"address":"10.0.0.1:53210"},"feedback_report":null,"delivery_protocol":"ESMTP",` +
			`"reception_protocol":"ESMTP","nodeid":"` + testNode + `","tls_cipher":"TLS_AES_256_GCM_SHA384",` +
			`"tls_protocol_version":"TLSv1.3","tls_peer_subject_name":["C=US","CN=mx.example.com"],` +
			`"session_id":"9bcd689e-23d9-41b7-a015-63a1382f8b57","meta":{"tenant":"tenant"},` +
			`"headers":{"subject":"grüße","X-One":"1","X-Two":"a","x-two":"b"}}`},
		{"Reception", encode(reception, nil, nil), `{"type":"Reception","id":"1d98076abbbc11ed940250ebf67f93bd",` +
			`"sender":"user@sender.example.com","recipient":"user@recipient.example.com",` +
			`"queue":"campaign:tenant@domain","site":"","size":81,` +
			`"response":{"code":250,"enhanced_code":null,"content":"","command":null},` +
			`"peer_address":{"name":"client.example","addr":"192.0.2.7"},` +
			`"timestamp":1772366400,"event_time":"2026-03-01T12:00:00.123456Z",` +
			`"created":1772366310,"created_time":"2026-03-01T11:58:30.123456Z","num_attempts":0,` +
			`"bounce_classification":"Uncategorized","egress_pool":null,"egress_source":null,"source_address":null,` +
			`"feedback_report":null,"delivery_protocol":null,"reception_protocol":"ESMTP","nodeid":"` + testNode + `",` +
			`"session_id":"s","meta":{},"headers":{}}`},
		{"Rejection", encode(rejection, []string{"*"}, []string{"*"}), `{"type":"Rejection","id":"","sender":"a@b",` +
			`"recipient":["c@d","e@f"],"queue":"","site":"","size":0,` +
			`"response":{"code":550,"enhanced_code":{"class":5,"subject":7,"detail":1},` +
			`"content":"relaying not permitted","command":"RCPT TO:<c@d>"},"peer_address":{"name":"x","addr":"::1"},` +
			`"timestamp":1772366400,"event_time":"2026-03-01T12:00:00.123456Z",` +
			`"created":1772366400,"created_time":"2026-03-01T12:00:00.123456Z","num_attempts":0,` +
			`"bounce_classification":"Uncategorized","egress_pool":null,"egress_source":null,"source_address":null,` +
			`"feedback_report":null,"delivery_protocol":null,"reception_protocol":"ESMTP","nodeid":"` + testNode + `",` +
			`"meta":{},"headers":{}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(tt.line); got != tt.want+"\n" {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestMetaPatterns(t *testing.T) {
	m := message.NewMeta(nil)
	m.Set("x_a", int64(1))
	m.Set("x_b", []any{"q", 1.5, true, nil})
	m.Set("X_c", "case")
	m.Set("gone", nil)
	m.Set("tree", map[string]any{"z": "z", "a": math.Inf(1)})
	tests := []struct {
		list []string
		want string
	}{
		{nil, `{}`},
		{[]string{"x_a", "gone", "none"}, `{"x_a":1}`},
		{[]string{"x_*"}, `{"x_a":1,"x_b":["q",1.5,true,null]}`},
		{[]string{"*"}, `{"X_c":"case","tree":{"a":null,"z":"z"},"x_a":1,"x_b":["q",1.5,true,null]}`},
		{[]string{"X_c", "t*"}, `{"X_c":"case","tree":{"a":null,"z":"z"}}`},
	}
	for _, tt := range tests {
		if got := string(parseNames(tt.list).appendMeta(nil, m)); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.list, got, tt.want)
		}
	}
	if got := string(parseNames([]string{"*"}).appendMeta(nil, nil)); got != `{}` {
		t.Errorf("no metadata: %s", got)
	}
}

func TestRepeatedHeaderIsAnArray(t *testing.T) {
	m := testMessage()
	if got, want := string(parseNames([]string{"X-Two", "Absent"}).appendHeaders(nil, m)), `{"X-Two":["a","b"]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// hostile makes strings of what peers might send to break a line, a terminal or a parser.
func hostile(rng *rand.Rand) string {
	pieces := []string{
		"\x00", "\x1b[2J", "\r\n", "\n", "\x7f", "\u0085", "\u009b", "\u2028", "\u2029", "\xff", "\xc0\xaf", "\xed\xa0\x80",
		`"`, `\`, `\u0000`, "}", "\n{\"type\":\"Delivery\"}\n", "ü", "\U0001F600", "\xf0\x9f", "a", " ", "\ufffd", "</script>",
	}
	var b strings.Builder
	for range rng.IntN(12) {
		b.WriteString(pieces[rng.IntN(len(pieces))])
	}
	return b.String()
}

// TestHostileValuesStayOnOneLine is X7: one JSON object per line whatever the input, without control bytes.
func TestHostileValuesStayOnOneLine(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		r := hostileRecord(func() string { return hostile(rng) })
		checkLine(t, encode(r, []string{"*"}, []string{"*"}), r)
		if t.Failed() {
			return
		}
	}
}

func hostileRecord(s func() string) *Record {
	m := testMessage()
	m.Sender = mail.Restore(s())
	m.Recipients = []mail.Address{mail.Restore(s()), mail.Restore(s())}
	m.Queue = s()
	m.Meta.Set(s(), s())
	m.Meta.Set("list", []any{s(), map[string]any{s(): s()}})
	m.Meta.Set("odd", struct{ V string }{s()})
	m.SetData([]byte("Subject: " + s() + "\r\n" + s() + ": " + s() + "\r\n\r\n"))
	return &Record{
		Type: TransientFailure, Time: testTime, Msg: m, Response: smtp.Reply{Code: 451, Text: s(), Command: s()},
		Route:     message.Route{Site: s(), Pool: s(), Source: s(), Provider: s(), PeerName: "n" + s(), Protocol: s()},
		TLS:       &smtp.TLSInfo{Cipher: s(), ProtocolVersion: s(), PeerSubject: []string{s()}},
		SessionID: s(), Reception: s(), PeerName: s(), PeerAddr: s(),
	}
}

func checkLine(t *testing.T, line []byte, r *Record) {
	t.Helper()
	if n := bytes.Count(line, []byte{'\n'}); n != 1 || line[len(line)-1] != '\n' {
		t.Fatalf("%d line ends in %q", n, line)
	}
	if !utf8.Valid(line) {
		t.Fatalf("not UTF-8: %q", line)
	}
	for _, c := range string(line[:len(line)-1]) {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029' {
			t.Fatalf("control character %U in %q", c, line)
		}
	}
	e, err := parseEntry(line[:len(line)-1])
	if err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	if want := strings.ToValidUTF8(r.Msg.Queue, "\ufffd"); len(want) < maxString && !sameText(e.Queue, r.Msg.Queue) {
		t.Fatalf("queue %q reads back as %q", r.Msg.Queue, e.Queue)
	}
}

// sameText compares what was read back with what went in, with each invalid byte as one U+FFFD.
func sameText(got, in string) bool {
	var want []rune
	want = append(want, []rune(in)...)
	return string(want) == got
}

func FuzzRecord(f *testing.F) {
	f.Add("a\x00\xff\u2028\"\\")
	f.Add("\n{\"type\":\"Delivery\"}\n")
	f.Fuzz(func(t *testing.T, s string) {
		r := hostileRecord(func() string { return s })
		checkLine(t, encode(r, []string{"*"}, []string{"Subject", "X-*", "*"}), r)
	})
}

func TestLongStringsAreCut(t *testing.T) {
	r := delivery()
	r.Response.Text = strings.Repeat("x", 10<<20)
	if n := len(encode(r, nil, nil)); n > maxString+4096 {
		t.Errorf("the record has %d bytes", n)
	}
}

func TestEncodingJSONAgrees(t *testing.T) {
	for _, f := range []float64{0, -1, 1.5, 1e-7, 1e21, 123456789.125, math.MaxFloat64} {
		want, _ := json.Marshal(f)
		var back float64
		got := appendFloat(nil, f)
		if err := json.Unmarshal(got, &back); err != nil || back != f {
			t.Errorf("%v is written as %s, encoding/json writes %s", f, got, want)
		}
	}
	if got := string(appendValue(nil, nested(100), 0)); !strings.Contains(got, "null") {
		t.Errorf("nesting is not bounded: %s", got)
	}
}

func nested(n int) any {
	if n == 0 {
		return "end"
	}
	return []any{nested(n - 1)}
}

func TestEncoderDoesNotAllocate(t *testing.T) {
	r := delivery()
	buf := make([]byte, 0, 4096)
	meta, none := parseNames([]string{"tenant"}), names{}
	allocs := testing.AllocsPerRun(100, func() {
		r.Response.Text = "OK"
		buf = appendTail(appendRecord(buf[:0], r, testNode), r, meta, none)
	})
	if allocs > 0 {
		t.Errorf("%v allocations per record", allocs)
	}
}

func BenchmarkEncode(b *testing.B) {
	b.ReportAllocs()
	r := delivery()
	r.Response.Text = "OK ids=8a5475ccbbc611eda12250ebf67f93bd"
	meta, none := parseNames([]string{"tenant"}), names{}
	var buf []byte
	for b.Loop() {
		buf = appendTail(appendRecord(buf[:0], r, testNode), r, meta, none)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkRecord(b *testing.B) {
	b.ReportAllocs()
	j, err := Open(Config{Files: []FileOptions{{LogDir: b.TempDir(), Meta: []string{"tenant"}}}, NodeID: testNode})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- j.Run(b.Context()) }()
	r := delivery()
	r.Response.Text = "OK ids=8a5475ccbbc611eda12250ebf67f93bd"
	for b.Loop() {
		j.Record(r)
	}
	b.StopTimer()
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	<-done
}
