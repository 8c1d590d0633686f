package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"kumo/pkg/spool"
)

// sampleSize is how many messages a dry run shows.
const sampleSize = 10

// survey is what an order would be about.
type survey struct {
	messages int
	bytes    int64
	queues   map[string]bool
	sample   []queueRow
}

// String is a survey in words.
func (s *survey) String() string {
	text := counted(s.messages, "message")
	switch n := len(s.queues); {
	case n == 1:
		for name := range s.queues {
			text += " of the queue " + name
		}
	case n > 1:
		text += " of " + counted(n, "queue")
	}
	return text
}

// surveyOf looks at what fits one of the filters, without changing anything: it sums up, and reads but the first rows.
func surveyOf(ctx context.Context, r *spool.Reader, wants ...spool.Filter) (*survey, error) {
	s := &survey{queues: make(map[string]bool), sample: []queueRow{}}
	for _, want := range wants {
		if err := s.look(ctx, r, want); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *survey) look(ctx context.Context, r *spool.Reader, want spool.Filter) error {
	sums, err := r.Summary(ctx, want)
	if err != nil || len(sums) == 0 {
		return err
	}
	for _, q := range sums {
		s.messages += q.Messages
		s.bytes += q.Bytes
		s.queues[q.Queue] = true
	}
	if len(s.sample) == sampleSize {
		return nil
	}
	err = r.List(ctx, want, func(row spool.Row) error {
		if s.sample = append(s.sample, rowOf(row)); len(s.sample) == sampleSize {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// ofOrder are the filters for what an order holds or has put into the trash.
func ofOrder(order string) []spool.Filter {
	m := spool.Match{Where: "held_by = '" + strings.ReplaceAll(order, "'", "''") + "'"}
	return []spool.Filter{{Match: m, State: spool.StateHeld}, {Match: m, State: spool.StateTrashed}}
}

// counted is a number with its noun: "no messages", "1 message", "12,345 messages".
func counted(n int, noun string) string {
	switch n {
	case 0:
		return "no " + noun + "s"
	case 1:
		return "1 " + noun
	}
	return grouped(int64(n)) + " " + noun + "s"
}

// grouped is a number with commas between its thousands.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	var b strings.Builder
	for i, d := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// size is a number of bytes for people: "812 bytes", "3.4 MB".
func size(n int64) string {
	if n < 1000 {
		return counted(int(n), "byte")
	}
	f, i := float64(n), 0
	for ; f >= 999.5 && i < len(byteUnits)-1; i++ {
		f /= 1000
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f %s", f, byteUnits[i])
	}
	return fmt.Sprintf("%.0f %s", f, byteUnits[i])
}

var byteUnits = [...]string{"bytes", "kB", "MB", "GB", "TB", "PB"}
