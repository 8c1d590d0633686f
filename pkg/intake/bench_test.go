package intake

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
)

// idle does nothing, at no cost.
type idle struct{}

func (idle) MessageReceived(context.Context, string, *message.Message, *message.Meta) error {
	return nil
}
func (idle) Ready(context.Context, string) error { return nil }
func (idle) Withdraw(message.ID) error           { return nil }
func (idle) Defer(...*message.Message)           {}

func (idle) Accept(context.Context, string, ...*message.Message) error { return nil }
func (idle) Record(*journal.Record)                                    {}
func (idle) Insert(context.Context, *message.Message, message.Reason)  {}

// cpu is the processor time of this process: on a machine that others use, the only figure that means something.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkAccept(b *testing.B) {
	for name, n := range map[string]int{"1KB": 1000, "100KB": 100_000} {
		b.Run(name, func(b *testing.B) {
			in := New(Parts{Hooks: idle{}, Store: idle{}, Next: idle{}, Recorder: idle{}, IDs: message.NewIDSource(time.Now), Now: time.Now})
			sub := submission(b, "someone@example.com")
			sub.Data = []byte(strings.Repeat("Header: value of it\r\n", 10) + "\r\n" + strings.Repeat("x", n-212))
			b.ReportAllocs()
			before := cpu()
			for b.Loop() {
				if _, err := in.Accept(context.Background(), sub); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// TestAllocations keeps the way in lean.
func TestAllocations(t *testing.T) {
	in := New(Parts{Hooks: idle{}, Store: idle{}, Next: idle{}, Recorder: idle{}, IDs: message.NewIDSource(time.Now), Now: time.Now})
	sub := submission(t, "someone@example.com")
	ctx := context.Background()
	n := testing.AllocsPerRun(200, func() { _, _ = in.Accept(ctx, sub) })
	if n > 14 {
		t.Errorf("%v allocations for a message", n)
	}
	t.Logf("%v allocations", n)
}

// FuzzSupplemental: any address can be written, and no line passes 998 bytes.
func FuzzSupplemental(f *testing.F) {
	f.Add("a@b.c", "v")
	f.Fuzz(func(t *testing.T, a, value string) {
		to, err := mail.ParseAddress(a, true)
		if err != nil || to.IsNull() {
			return
		}
		d := draft{Message: &message.Message{Recipients: []mail.Address{to}, Meta: message.NewMeta(nil)}}
		d.Meta.Set("v", value)
		trace := message.TraceHeaders{SupplementalHeader: true, HeaderName: "X-KumoRef", IncludeMetaNames: []string{"v"}}
		d.fill(&message.Submission{Trace: trace, Data: []byte(text)})
		if err := d.addSupplemental(&trace); err != nil {
			t.Fatal(err)
		}
		got := data(t, d.Message)
		if !strings.HasSuffix(got, text) {
			t.Errorf("got %q", got)
		}
		for _, line := range strings.Split(strings.TrimSuffix(got, text), "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
				t.Errorf("line %q", line)
			}
		}
	})
}
