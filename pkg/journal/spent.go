package journal

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"kumo/pkg/message"
)

// appendSpent appends the fields spent and wait, which KumoMTA does not have, when there is something to say.
func appendSpent(b []byte, r *Record) []byte {
	if len(r.Spent) > 0 {
		b = append(b, `,"spent":[`...)
		for i := range r.Spent {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendSpan(b, &r.Spent[i])
		}
		b = append(b, ']')
	}
	if r.Wait.For > 0 {
		b = appendSpan(append(b, `,"wait":`...), &r.Wait)
	}
	return b
}

// appendSpan appends a span as an object: cause, at if known, and for in seconds.
func appendSpan(b []byte, s *message.Span) []byte {
	b = appendString(append(b, `{"cause":`...), string(s.Cause))
	b = appendField(b, `,"at":`, s.At)
	b = append(b, `,"for":`...)
	ms := max(int64(s.For.Round(time.Millisecond)/time.Millisecond), 0)
	b = strconv.AppendInt(b, ms/1000, 10)
	if ms %= 1000; ms > 0 {
		b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return append(b, '}')
}

// Span is a span that was read back.
type Span message.Span

// UnmarshalJSON reads what appendSpan has written.
func (s *Span) UnmarshalJSON(b []byte) error {
	var v struct {
		Cause message.Cause `json:"cause"`
		At    string        `json:"at"`
		For   float64       `json:"for"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	const longest = 100 * 365 * 24 * 3600
	*s = Span{Cause: v.Cause, At: v.At}
	if v.For > 0 && v.For < longest {
		s.For = time.Duration(math.Round(v.For*1000)) * time.Millisecond
	}
	return nil
}
