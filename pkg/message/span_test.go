package message

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func spansText(spans []Span) string {
	out := make([]string, len(spans))
	for i, s := range spans {
		out[i] = strings.TrimSpace(fmt.Sprintf("%s %s %s", s.For, s.Cause, s.At))
	}
	return strings.Join(out, "; ")
}

func TestAddSpan(t *testing.T) {
	var spans []Span
	for i := range 100 {
		spans = AddSpan(spans, Span{SpentConnect, fmt.Sprint("mx", i%40), time.Second})
		spans = AddSpan(spans, Span{SpentDNS, "d", time.Second})
	}
	if len(spans) > maxSpans+1 {
		t.Errorf("%d spans", len(spans))
	}
	if sum := SumSpans(spans); sum != 200*time.Second {
		t.Errorf("they sum up to %s", sum)
	}
	for i := range 2 * maxSpans { // causes without end: what is left over is kumo's
		spans = AddSpan(spans, Span{Cause(fmt.Sprint("c", i)), "", time.Second})
	}
	if sum := SumSpans(spans); sum != (200+2*maxSpans)*time.Second || len(spans) > maxSpans+1 {
		t.Errorf("%d spans sum up to %s", len(spans), sum)
	}
}

const second = int64(time.Second)

func TestBlocks(t *testing.T) {
	var none *Blocks
	if spans, rest := none.Explain(nil, 0, second); spans != nil || rest != time.Second {
		t.Errorf("no blocks explain %v, and leave %v", spans, rest)
	}
	none.Cut(0)
	b := &Blocks{}
	b.Add(10*second, 20*second, Span{SpentDNS, "d", 2 * time.Second}, Span{SpentTLS, "h", 8 * time.Second})
	b.Add(15*second, 25*second, Span{WaitMessageRate, "p", 10 * time.Second})         // overlaps: the later one counts
	b.Add(25*second+second/2, 26*second, Span{WaitMessageRate, "p", time.Second / 2}) // merged
	b.Add(26*second, 26*second, Span{WaitPause, "", 0})                               // nothing
	b.Add(30*second, 40*second, Span{WaitPause, "", 10 * time.Second})                // not over at 35
	for _, c := range []struct {
		from, to int64
		want     string
		rest     time.Duration
	}{
		{0, 10, "", 10 * time.Second},
		{0, 12, "400ms dns d; 1.6s tls h", 10 * time.Second},
		{14, 16, "", 45454546}, // of the merged ones, the share that was lost
		{15, 26, "10.5s max_message_rate p", 500 * time.Millisecond},
		{29, 35, "5s connection_failures", time.Second},
		{50, 60, "", 10 * time.Second},
	} {
		spans, rest := b.Explain(nil, c.from*second, c.to*second)
		if c.want != "" && spansText(spans) != c.want || rest != c.rest {
			t.Errorf("from %d to %d: %s, %s left; want %s, %s left", c.from, c.to, spansText(spans), rest, c.want, c.rest)
		}
	}
	b.Cut(32 * second)
	if spans, rest := b.Explain(nil, 30*second, 35*second); spansText(spans) != "2s connection_failures" || rest != 3*time.Second {
		t.Errorf("after the cut: %s, %s left", spansText(spans), rest)
	}
}

// TestBlocksAreBounded: however much is added and asked for, nothing is explained twice, and memory stays small.
func TestBlocksAreBounded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := &Blocks{}
	causes := []Cause{WaitMessageRate, WaitPause, SpentDNS}
	now := int64(0)
	for range 10_000 {
		from := now + r.Int64N(3*second) - second
		to := max(from, now) + r.Int64N(2*second)
		b.Add(from, to, Span{causes[r.IntN(3)], "", time.Duration(to - from)})
		now = to
		if r.IntN(10) == 0 {
			b.Cut(now - second/2)
		}
		from = now - r.Int64N(60*second)
		spans, rest := b.Explain(nil, from, now)
		if sum := SumSpans(spans) + rest; (sum-time.Duration(now-from)).Abs() > time.Microsecond || rest < 0 {
			t.Fatalf("%s explained and %s left of %s", spansText(spans), rest, time.Duration(now-from))
		}
	}
}
