package top

import (
	"math"
	"strings"
)

// rates are messages per second, in and out, one value for each interval between two counts; the newest last.
type rates struct {
	last    Count
	in, out series
}

// history is how many rates are kept: more than a terminal has columns.
const history = 512

type series []float64

// count takes another count in. A count that is not newer than the last one, because nobody counted since, changes
// nothing; one of another owner begins anew.
func (r *rates) count(c Count) {
	in, out, ok := c.Since(r.last)
	switch {
	case ok:
		r.in.add(in)
		r.out.add(out)
		r.last = c
	case c.At.IsZero():
		*r = rates{}
	case c != r.last:
		*r = rates{last: c}
	}
}

// Since are the messages per second between two counts; not ok when one of them is missing, when they are the same, or
// when the spool has changed hands between them.
func (c Count) Since(last Count) (in, out float64, ok bool) {
	span := c.At.Sub(last.At)
	if last.At.IsZero() || c.Run != last.Run || span <= 0 || c.In < last.In || c.Out < last.Out {
		return 0, 0, false
	}
	return float64(c.In-last.In) / span.Seconds(), float64(c.Out-last.Out) / span.Seconds(), true
}

func (s *series) add(v float64) {
	if len(*s) == history {
		copy(*s, (*s)[1:])
		*s = (*s)[:history-1]
	}
	*s = append(*s, v)
}

// now is the newest rate; false when there is none.
func (s series) now() (float64, bool) {
	if len(s) == 0 {
		return 0, false
	}
	return s[len(s)-1], true
}

func (s series) peak() float64 {
	p := 0.0
	for _, v := range s {
		p = max(p, v)
	}
	return p
}

// spark draws the newest values in so many cells, scaled to peak. Zero is a blank: what moved stands out.
func (s series) spark(cells int, peak float64) string {
	const bars = "▁▂▃▄▅▆▇█"
	if cells <= 0 {
		return ""
	}
	s = s[max(0, len(s)-cells):]
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", cells-len(s)))
	for _, v := range s {
		if v <= 0 || peak <= 0 {
			b.WriteByte(' ')
			continue
		}
		i := min(int(math.Ceil(v/peak*8)), 8) - 1
		b.WriteString(bars[3*i : 3*i+3])
	}
	return b.String()
}
