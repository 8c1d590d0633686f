package message

import "time"

// Blocks remembers what kept a queue from moving of late: intervals with their causes, a bounded number of them. Its
// times are nanoseconds on the owner's scale. The nil *Blocks is empty and can be read. It does not lock.
type Blocks struct {
	ring [maxBlocks]block
	n    int // how many are in use
	next int // where the next one goes
}

// maxBlocks is how many intervals are remembered. What is older than these is not explained any more.
const maxBlocks = 24

// mergeGap is how far two intervals with one cause may lie apart to be remembered as one.
const mergeGap = int64(time.Second)

// block is one interval. spans sum up to the time in it that was lost: all of it, unless intervals were merged.
type block struct {
	from, to int64
	spans    []Span
}

// Add remembers an interval, which may end in the future, and what was lost in it. spans must not be changed after.
// Intervals are added in the order of their ends.
func (b *Blocks) Add(from, to int64, spans ...Span) {
	if to <= from || len(spans) == 0 {
		return
	}
	if last := b.last(); last != nil && len(spans) == 1 && len(last.spans) == 1 && from >= last.to && from-last.to <= mergeGap &&
		last.spans[0].Cause == spans[0].Cause && last.spans[0].At == spans[0].At {
		s := last.spans[0]
		s.For += spans[0].For
		last.to, last.spans = to, []Span{s}
		return
	}
	b.ring[b.next] = block{from, to, spans}
	b.next = (b.next + 1) % maxBlocks
	b.n = min(b.n+1, maxBlocks)
}

// Cut ends at now what was to last longer: somebody put an end to it.
func (b *Blocks) Cut(now int64) {
	if b == nil {
		return
	}
	for i := range b.n {
		k := &b.ring[i]
		if k.to <= now {
			continue
		}
		k.spans = scaled(nil, k.spans, max(now-k.from, 0), k.to-k.from)
		k.to = max(now, k.from)
	}
}

// Explain adds to spans what kept a message waiting from one moment to another, and returns how much of the time the
// intervals do not explain. Where intervals overlap the later one counts.
func (b *Blocks) Explain(spans []Span, from, to int64) (explained []Span, rest time.Duration) {
	rest = time.Duration(to - from)
	if b == nil {
		return spans, rest
	}
	had := SumSpans(spans)
	hi := to
	for i := 1; i <= b.n && hi > from; i++ {
		k := &b.ring[(b.next-i+maxBlocks)%maxBlocks]
		lo, up := max(from, k.from), min(hi, k.to)
		if up <= lo {
			continue
		}
		spans = scaled(spans, k.spans, up-lo, k.to-k.from)
		hi = lo
	}
	return spans, max(rest-(SumSpans(spans)-had), 0)
}

// scaled adds the part of spans that belongs to a stretch of so long an interval.
func scaled(to, spans []Span, stretch, length int64) []Span {
	if length <= 0 {
		return to
	}
	share := float64(stretch) / float64(length)
	for _, s := range spans {
		if stretch < length {
			s.For = time.Duration(float64(s.For) * share)
		}
		if s.For > 0 {
			to = AddSpan(to, s)
		}
	}
	return to
}

func (b *Blocks) last() *block {
	if b.n == 0 {
		return nil
	}
	return &b.ring[(b.next-1+maxBlocks)%maxBlocks]
}
