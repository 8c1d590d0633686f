package intake

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/metric"
	"kumo/pkg/smtp"
)

// house is everything that an Intake asks of others, with the order in which it was asked.
type house struct {
	steps    []string
	stored   []*message.Message
	orders   []string
	inserted []*message.Message
	records  []journal.Record

	hook   func(m *message.Message, conn *message.Meta) error
	ready  func(queue string) error
	accept func(ctx context.Context) error
}

func (h *house) MessageReceived(_ context.Context, protocol string, m *message.Message, conn *message.Meta) error {
	h.step("received %s %s", protocol, m.Recipients[0])
	if h.hook != nil {
		return h.hook(m, conn)
	}
	return nil
}

func (h *house) Ready(_ context.Context, queue string) error {
	h.step("ready %s", queue)
	if h.ready != nil {
		return h.ready(queue)
	}
	return nil
}

func (h *house) Accept(ctx context.Context, order string, ms ...*message.Message) error {
	h.step("store %d", len(ms))
	if h.accept != nil {
		if err := h.accept(ctx); err != nil {
			return err
		}
	}
	h.orders = append(h.orders, order)
	h.stored = append(h.stored, ms...)
	for _, m := range ms {
		m.SetLoader(h)
	}
	return nil
}

func (h *house) Withdraw(id message.ID) error {
	for _, m := range h.stored {
		if m.ID == id {
			h.step("withdraw %s", m.Recipients[0])
		}
	}
	return nil
}

func (h *house) Defer(ms ...*message.Message) {
	h.step("defer %d", len(ms))
	for _, m := range ms {
		m.Deferred = true
	}
	h.stored = append(h.stored, ms...)
}

// Body is message.Body.
func (h *house) Body(message.ID) ([]byte, error) { return []byte("as stored"), nil }

func (h *house) Record(r *journal.Record) {
	h.step("record %s %s", r.Type, r.Msg.Recipients[0])
	h.records = append(h.records, *r)
}

func (h *house) Insert(ctx context.Context, m *message.Message, why message.Reason) {
	h.step("insert %s %s %v", m.Queue, why, ctx.Err())
	h.inserted = append(h.inserted, m)
}

func (h *house) step(format string, args ...any) {
	h.steps = append(h.steps, fmt.Sprintf(format, args...))
}

var clock = time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))

func newIntake(h *house) *Intake {
	return New(Parts{
		Hooks: h, Store: h, Next: h, Recorder: h, Metrics: NewMetrics(metric.NewRegistry()),
		IDs: message.NewIDSource(func() time.Time { return clock }), Now: func() time.Time { return clock },
	})
}

func addr(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, true)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const text = "Subject: x\r\n\r\nbody\r\n"

func submission(t testing.TB, rcpts ...string) *message.Submission {
	conn := message.NewMeta(nil)
	conn.Set("reception_protocol", "ESMTP")
	sub := &message.Submission{
		Protocol: "ESMTP", Sender: addr(t, "a@example.org"), Data: []byte(text), Conn: conn, Hostname: "mx.kumo.test",
		Ehlo: "client.test", Peer: netip.MustParseAddrPort("192.0.2.1:4711"), Local: netip.MustParseAddrPort("[2001:db8::1]:25"),
		SessionID: "s", Trace: message.TraceHeaders{ReceivedHeader: true, SupplementalHeader: true, HeaderName: "X-KumoRef"},
	}
	for _, r := range rcpts {
		sub.Recipients = append(sub.Recipients, addr(t, r))
	}
	return sub
}

func data(t testing.TB, m *message.Message) string {
	t.Helper()
	b, err := m.Data()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestLargeSubmissions: copies of a large message are made, stored and dropped in portions.
func TestLargeSubmissions(t *testing.T) {
	h := &house{}
	sub := submission(t, "b@one.test", "c@one.test", "d@two.test")
	sub.Order = "o"
	sub.Data = append(sub.Data, bytes.Repeat([]byte("x\r\n"), portionBytes/6)...)
	ids, err := newIntake(h).Accept(t.Context(), sub)
	if err != nil || len(ids) != 3 {
		t.Fatal(ids, err)
	}
	want := []string{
		"received ESMTP b@one.test", "ready one.test", "store 1", "received ESMTP c@one.test", "ready one.test", "store 1",
		"received ESMTP d@two.test", "ready two.test", "store 1",
		"record Reception b@one.test", "record Reception c@one.test", "record Reception d@two.test",
		"insert one.test Received <nil>", "insert one.test Received <nil>", "insert two.test Received <nil>",
	}
	if got := strings.Join(h.steps, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
	if got := strings.Join(h.orders, ","); got != ",,o" {
		t.Errorf("orders %q: only the last portion ends one", got)
	}
	for i, m := range h.inserted {
		if m.ID != ids[i] || m.InMemory() || m.Size < len(sub.Data) {
			t.Errorf("message %d: in memory %v, %d bytes", i, m.InMemory(), m.Size)
		}
	}

	h = &house{}
	h.hook = func(m *message.Message, _ *message.Meta) error {
		if m.Recipients[0].Domain() == "two.test" {
			return &smtp.Error{Reply: smtp.NewReply(550, "5.7.1", "not you")}
		}
		return nil
	}
	ids, err = newIntake(h).Accept(t.Context(), sub)
	if no := (*smtp.Error)(nil); ids != nil || !errors.As(err, &no) || no.Reply.Code != 550 {
		t.Errorf("%v, %v", ids, err)
	}
	if got := strings.Join(h.steps[7:], ","); got != "withdraw b@one.test,withdraw c@one.test" || len(h.records)+len(h.inserted) > 0 {
		t.Errorf("after the refusal: %s", got)
	}
}

// TestLean: when memory is scarce a message leaves it once it is stored.
func TestLean(t *testing.T) {
	for _, lean := range []bool{false, true} {
		h := &house{}
		in := newIntake(h)
		in.Lean = func() bool { return lean }
		if _, err := in.Accept(t.Context(), submission(t, "b@one.test")); err != nil {
			t.Fatal(err)
		}
		if got := h.inserted[0].InMemory(); got == lean {
			t.Errorf("lean %v: in memory %v", lean, got)
		}
		if got := strings.Join(h.orders, ","); got != "" {
			t.Errorf("orders %q", got)
		}
	}
}

func TestOrderOfSteps(t *testing.T) {
	h := &house{}
	ids, err := newIntake(h).Accept(t.Context(), submission(t, "b@One.test", "c@one.test", "d@two.test"))
	if err != nil || len(ids) != 3 {
		t.Fatal(ids, err)
	}
	want := []string{
		"received ESMTP b@One.test", "received ESMTP c@one.test", "received ESMTP d@two.test",
		"ready one.test", "ready two.test", "store 3",
		"record Reception b@One.test", "record Reception c@one.test", "record Reception d@two.test",
		"insert one.test Received <nil>", "insert one.test Received <nil>", "insert two.test Received <nil>",
	}
	if got := strings.Join(h.steps, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
	for i, m := range h.stored {
		if m.ID != ids[i] || m != h.inserted[i] || !m.Created.Equal(clock) || m.Size != len(data(t, m)) {
			t.Errorf("message %d: %+v", i, m)
		}
	}
	r := h.records[0]
	if r.Response.Code != 250 || r.Response.Text != "" || r.Response.Command != "" || !r.Response.Enhanced.IsZero() || r.Attempts != 0 ||
		r.PeerName != "client.test" || r.PeerAddr != "192.0.2.1" || r.Reception != "ESMTP" || r.SessionID != "s" || !r.Time.Equal(clock) {
		t.Errorf("record %+v", r)
	}
}

func TestTraceHeaders(t *testing.T) {
	h := &house{}
	sub := submission(t, "b@one.test")
	sub.TLS = &smtp.TLSInfo{Cipher: "TLS_AES_128_GCM_SHA256", ProtocolVersion: "TLSv1.3"}
	ids, err := newIntake(h).Accept(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	want := "X-KumoRef: eyJfQF8iOiJcXF8vIiwicmVjaXBpZW50IjoiYkBvbmUudGVzdCJ9\r\n" +
		"Received: from client.test (192.0.2.1:4711)\r\n" +
		"  by mx.kumo.test (KumoMTA [2001:db8::1]:25) \r\n" +
		"  with ESMTPS(TLSv1_3:TLS_AES_128_GCM_SHA256) id " + ids[0].String() + " for <b@one.test>;\r\n" +
		"  Sun, 1 Mar 2026 11:00:00 +0000\r\n" + text
	if got := data(t, h.stored[0]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// Several recipients are named in the supplemental field only; a local submission has no peer.
	h = &house{}
	sub = submission(t, "b@one.test", "\"c d\"@ONE.test")
	sub.Protocol, sub.Ehlo, sub.Peer, sub.Local, sub.Batch = "Inject", "", netip.AddrPort{}, netip.AddrPort{}, message.BatchByDomain
	sub.Order = "order-1"
	if ids, err = newIntake(h).Accept(t.Context(), sub); err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	want = "X-KumoRef: " + base64.StdEncoding.EncodeToString([]byte(`{"_@_":"\\_/"}`)) + "\r\n" +
		"Received: by mx.kumo.test (KumoMTA) \r\n  with Inject id " + ids[0].String() + ";\r\n  Sun, 1 Mar 2026 11:00:00 +0000\r\n" + text
	if got := data(t, h.stored[0]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if h.orders[0] != "order-1" || h.records[0].PeerAddr != "" {
		t.Errorf("order %q, record %+v", h.orders[0], h.records[0])
	}
	// Neither: the data as they came, and yet not the caller's bytes.
	h = &house{}
	sub = submission(t, "b@one.test")
	sub.Trace = message.TraceHeaders{}
	if _, err = newIntake(h).Accept(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	sub.Data[0] = '!'
	if got := data(t, h.stored[0]); got != text {
		t.Errorf("got %q", got)
	}
}

// TestSupplemental: metadata that policy sets, long values folded, data that policy replaced.
func TestSupplemental(t *testing.T) {
	h := &house{hook: func(m *message.Message, _ *message.Meta) error {
		m.Meta.Set("tenant", "t\"1")
		m.Meta.Set("n", int64(7))
		m.Meta.Set("long", strings.Repeat("ä", 2000))
		b, _ := m.Data()
		m.SetData(append([]byte("X-Policy: 1\r\n"), b...))
		return nil
	}}
	sub := submission(t, "ö@one.test")
	sub.Trace.IncludeMetaNames = []string{"tenant", "none", "n", "long"}
	if _, err := newIntake(h).Accept(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	field, rest, _ := strings.Cut(data(t, h.stored[0]), "\r\nX-Policy: 1\r\nReceived: from ")
	if !strings.HasSuffix(rest, text) {
		t.Errorf("rest %q", rest)
	}
	for _, line := range strings.Split(field, "\r\n") {
		if len(line) > 998 || line == "" {
			t.Errorf("line of %d bytes", len(line))
		}
	}
	value := strings.ReplaceAll(strings.TrimPrefix(field, "X-KumoRef: "), "\r\n ", "")
	plain, err := base64.StdEncoding.DecodeString(value)
	want := `{"_@_":"\\_/","recipient":"ö@one.test","tenant":"t\"1","n":7,"long":"` + strings.Repeat("ä", 2000) + `"}`
	if err != nil || string(plain) != want {
		t.Errorf("%v: got %.200q", err, plain)
	}
}

// TestRoomIsNotShared: policy that cuts or changes its bytes in place does not confuse the field in front.
func TestRoomIsNotShared(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"shorter": func(b []byte) []byte { return b[:len(b)-2] },
		"behind":  func(b []byte) []byte { return b[2:] },
		"empty":   func(b []byte) []byte { return b[:0] },
		"nil":     func([]byte) []byte { return nil },
		"longer":  func(b []byte) []byte { return append(b, "more\r\n"...) },
	} {
		var want string
		h := &house{hook: func(m *message.Message, _ *message.Meta) error {
			b, _ := m.Data()
			b = change(b)
			want = string(b)
			m.SetData(b)
			return nil
		}}
		if _, err := newIntake(h).Accept(t.Context(), submission(t, "b@one.test")); err != nil {
			t.Fatal(err)
		}
		field, rest, _ := strings.Cut(data(t, h.stored[0]), "\r\n")
		if rest != want || !strings.HasPrefix(field, "X-KumoRef: ") {
			t.Errorf("%s: got %q behind %q, want %q", name, rest, field, want)
		}
	}
}

func TestQueueNames(t *testing.T) {
	h := &house{hook: func(m *message.Message, conn *message.Meta) error {
		switch m.Recipients[0].User() {
		case "drop":
			m.Meta.Set("queue", "null")
		case "move":
			m.Meta.Set("queue", "special")
		case "tenant":
			m.Meta.Set("tenant", "t")
		case "conn":
			conn.Set("routing_domain", "later.test")
		}
		return nil
	}}
	in := newIntake(h)
	sub := submission(t, "drop@one.test", "move@one.test", "tenant@one.test", "conn@one.test")
	ids, err := in.Accept(t.Context(), sub)
	if err != nil || len(ids) != 4 {
		t.Fatal(ids, err)
	}
	var got []string
	for _, m := range h.inserted {
		got = append(got, m.Queue)
	}
	if want := "special t@one.test one.test"; strings.Join(got, " ") != want {
		t.Errorf("got %q", got)
	}
	if len(h.stored) != 3 || len(h.records) != 3 {
		t.Errorf("%d stored, %d recorded: a message for null leaves nothing behind", len(h.stored), len(h.records))
	}
	if n := in.Metrics.received["ESMTP"].Value(); n != 4 || in.Metrics.dropped.Value() != 1 {
		t.Errorf("counted %v and %v", n, in.Metrics.dropped.Value())
	}
	// What policy set on the connection is there for the next transaction.
	if _, err := in.Accept(t.Context(), sub); err != nil || h.inserted[4].Queue != "t@one.test!later.test" {
		t.Errorf("%v, %q", err, h.inserted[4].Queue)
	}
	if h.inserted[2].Meta.String("routing_domain") != "" {
		t.Error("a message changed after it had gone its way")
	}
}

func TestHops(t *testing.T) {
	for _, c := range []struct {
		data string
		want int
	}{
		{"", 0},
		{"Received: x\r\nreceived : y\r\nRECEIVED:\r\n\tReceived: folded\r\nReceived-SPF: pass\r\nX: y\r\n\r\nReceived: body\r\n", 3},
		{"Received", 0},
		{"r:\r\n", 0},
		{"\r\nReceived: x\r\n", 0},
	} {
		if got := hops([]byte(c.data)); got != c.want {
			t.Errorf("%q: %d", c.data, got)
		}
	}
	for n, ok := range map[int]bool{100: true, 101: false, 5000: false} {
		h := &house{}
		sub := submission(t, "b@one.test")
		sub.Data = []byte(strings.Repeat("Received: x\r\n", n) + text)
		_, err := newIntake(h).Accept(t.Context(), sub)
		if ok != (err == nil) {
			t.Errorf("%d: %v", n, err)
		}
		if !ok {
			var e *smtp.Error
			if !errors.As(err, &e) || e.Reply.Code != 554 || e.Reply.Enhanced.String() != "5.4.6" || len(h.steps) != 0 {
				t.Errorf("%d: %v, %v", n, err, h.steps)
			}
		}
	}
}

// TestErrors: who hears what, and that nothing is left behind.
func TestErrors(t *testing.T) {
	reject := &smtp.Error{Reply: smtp.NewReply(550, "5.7.1", "no")}
	boom := errors.New("init.lua:3: boom")
	expired, cancel := context.WithDeadline(context.Background(), time.Unix(1, 0))
	defer cancel()
	stopped, stop := context.WithCancel(context.Background())
	stop()
	for name, c := range map[string]struct {
		ctx  context.Context
		h    *house
		want string // the reply, or the error of a local fault
	}{
		"reject":      {h: &house{hook: func(*message.Message, *message.Meta) error { return reject }}, want: "550 5.7.1 no"},
		"fault":       {h: &house{hook: func(*message.Message, *message.Meta) error { return boom }}, want: boom.Error()},
		"queue fault": {h: &house{ready: func(string) error { return boom }}, want: boom.Error()},
		"queue 5xx":   {h: &house{ready: func(string) error { return reject }}, want: "451 4.3.0 technical difficulties"},
		"disk full":   {h: &house{accept: func(context.Context) error { return fmt.Errorf("append: %w", syscall.ENOSPC) }}, want: "452 4.3.1 insufficient system storage, try again later"},
		"quota":       {h: &house{accept: func(context.Context) error { return syscall.EDQUOT }}, want: "452 4.3.1 insufficient system storage, try again later"},
		"disk broken": {h: &house{accept: func(context.Context) error { return syscall.EIO }}, want: "451 4.3.0 message could not be stored, try again later"},
		"disk slow":   {h: &house{accept: func(context.Context) error { return context.DeadlineExceeded }}, want: "451 4.4.5 spool write timed out"},
		"spool stops": {h: &house{accept: func(context.Context) error { return context.Canceled }}, want: "421 4.3.2 mx.kumo.test shutting down"},
		"spool 4xx":   {h: &house{accept: func(context.Context) error { return &smtp.Error{Reply: smtp.NewReply(421, "4.3.2", "x")} }}, want: "421 4.3.2 x"},
		"late":        {ctx: expired, h: &house{}, want: "451 4.4.5 data_processing_timeout exceeded"},
		"late policy": {ctx: expired, h: &house{hook: func(*message.Message, *message.Meta) error { return boom }}, want: "451 4.4.5 data_processing_timeout exceeded"},
		"late queue":  {ctx: expired, h: &house{ready: func(string) error { return boom }}, want: "451 4.4.5 data_processing_timeout exceeded"},
		"abort":       {ctx: stopped, h: &house{}, want: "421 4.3.2 mx.kumo.test shutting down"},
		"no one": {h: &house{hook: func(m *message.Message, _ *message.Meta) error {
			m.Recipients = nil
			return nil
		}}, want: "554 5.5.1 no valid recipients"},
		"bad meta": {h: &house{hook: func(m *message.Message, _ *message.Meta) error {
			m.Meta.Set("x", func() {})
			return nil
		}}, want: "add X-KumoRef: metadata x: json: unsupported type: func()"},
	} {
		if c.ctx == nil {
			c.ctx = t.Context()
		}
		sub := submission(t, "b@one.test", "c@two.test")
		sub.Trace.IncludeMetaNames = []string{"x"}
		ids, err := newIntake(c.h).Accept(c.ctx, sub)
		var e *smtp.Error
		got := fmt.Sprint(err)
		if errors.As(err, &e) {
			got = e.Reply.String()
		}
		if ids != nil || got != c.want {
			t.Errorf("%s: %v, %s, want %s", name, ids, got, c.want)
		}
		if len(c.h.stored)+len(c.h.records)+len(c.h.inserted) != 0 {
			t.Errorf("%s: left behind %v", name, c.h.steps)
		}
	}
	if _, err := newIntake(&house{}).Accept(t.Context(), submission(t)); err == nil {
		t.Error("a submission without recipients was taken")
	}
}

// TestDurable250: with every step failing at random, ids come back exactly when everything was stored, and what
// was stored was recorded and queued, all of it or none.
func TestDurable250(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		fail := func(err error) error {
			if rnd.IntN(8) == 0 {
				return err
			}
			return nil
		}
		h := &house{
			hook: func(m *message.Message, _ *message.Meta) error {
				if rnd.IntN(6) == 0 {
					m.Meta.Set("queue", "null")
				}
				return fail(errors.New("policy"))
			},
			ready:  func(string) error { return fail(errors.New("queue")) },
			accept: func(context.Context) error { return fail(syscall.EIO) },
		}
		var rcpts []string
		for i := range 1 + rnd.IntN(5) {
			rcpts = append(rcpts, fmt.Sprintf("u%d@d%d.test", i, rnd.IntN(3)))
		}
		sub := submission(t, rcpts...)
		if rnd.IntN(2) == 0 {
			sub.Batch = message.BatchByDomain
		}
		ids, err := newIntake(h).Accept(t.Context(), sub)
		if (err == nil) != (len(ids) > 0) {
			t.Fatalf("ids %v, error %v", ids, err)
		}
		if err != nil {
			if len(h.stored)+len(h.records)+len(h.inserted) != 0 {
				t.Fatalf("an error, and yet %v", h.steps)
			}
			continue
		}
		if len(h.stored) != len(h.records) || len(h.stored) != len(h.inserted) {
			t.Fatalf("%v", h.steps)
		}
		safe := map[message.ID]bool{}
		served := 0
		for _, m := range h.stored {
			safe[m.ID] = true
			served += len(m.Recipients)
		}
		dropped := 0
		for _, id := range ids {
			if !safe[id] {
				dropped++
			}
		}
		if len(safe)+dropped != len(ids) || dropped == 0 && served != len(rcpts) {
			t.Fatalf("%d ids, %d stored, %d dropped, %d of %d recipients", len(ids), len(safe), dropped, served, len(rcpts))
		}
	}
}

// TestNoWayBack: once stored, a transaction goes on to its end even if its time is over by then.
func TestNoWayBack(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := &house{accept: func(context.Context) error {
		cancel()
		return nil
	}}
	ids, err := newIntake(h).Accept(ctx, submission(t, "b@one.test"))
	if err != nil || len(ids) != 1 || len(h.records) != 1 || h.steps[len(h.steps)-1] != "insert one.test Received <nil>" {
		t.Errorf("%v, %v, %v", ids, err, h.steps)
	}
}
