package main

import (
	"context"
	"fmt"
	"strings"

	"kumo/pkg/cli"
	"kumo/pkg/spool"
)

// sampleSize is how many messages a dry run shows.
const sampleSize = 10

// survey is what an order would be about.
type survey struct {
	messages int
	bytes    int64
	queues   map[string]bool // at most manyQueues
	sample   []queueRow
}

// manyQueues bounds the set of names that a survey keeps.
const manyQueues = 1000

func (s *survey) add(row spool.Row) {
	s.messages++
	s.bytes += int64(row.Size)
	if len(s.queues) < manyQueues {
		s.queues[row.Queue] = true
	}
	if len(s.sample) < sampleSize {
		s.sample = append(s.sample, rowOf(row))
	}
}

// String is a survey in words.
func (s *survey) String() string {
	text := counted(s.messages, "message")
	switch n := len(s.queues); {
	case n == 1:
		for name := range s.queues {
			text += " of the queue " + name
		}
	case n == manyQueues:
		text += " of very many queues"
	case n > 1:
		text += " of " + counted(n, "queue")
	}
	return text
}

// surveyOf looks at what fits a filter, without changing anything.
func surveyOf(ctx context.Context, c *cli.Console, r *spool.Reader, want spool.Filter) (*survey, error) {
	s := &survey{queues: make(map[string]bool)}
	return s, s.list(ctx, c, r, want)
}

func (s *survey) list(ctx context.Context, c *cli.Console, r *spool.Reader, want spool.Filter) error {
	defer c.Done()
	return r.List(ctx, want, func(row spool.Row) error {
		s.add(row)
		if s.messages%50_000 == 0 {
			c.Progress("%d messages", s.messages)
		}
		return nil
	})
}

// surveyOfOrder looks at what an order holds or has put into the trash.
func surveyOfOrder(ctx context.Context, c *cli.Console, r *spool.Reader, order string) (*survey, error) {
	s := &survey{queues: make(map[string]bool)}
	m := spool.Match{Where: "held_by = '" + strings.ReplaceAll(order, "'", "''") + "'"}
	for _, state := range []string{spool.StateHeld, spool.StateTrashed} {
		if err := s.list(ctx, c, r, spool.Filter{Match: m, State: state}); err != nil {
			return nil, err
		}
	}
	return s, nil
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
