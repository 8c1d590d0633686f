package spool

import (
	"context"
	"encoding/json"
	"errors"
	"math"

	"kumo/pkg/message"
)

// pageRow is the values that the view messages has of a message, in the order of MessageColumns.
func pageRow(m *message.Message, e *Entry) []any {
	q := message.ParseQueueName(e.Queue)
	due := e.Due
	if due.IsZero() {
		due = e.Created
	}
	return []any{
		e.ID.String(), e.Queue, q.Domain, q.Tenant, q.Campaign, q.RoutingDomain, m.Sender.String(), recipientsJSON(m),
		seconds(nanos(e.Created)), seconds(nanos(due)), int64(e.Attempts), int64(e.Size), m.LastResponse,
		stateWord(rowState(e.State)), e.Order,
	}
}

// seconds are what the views show for nanoseconds.
func seconds(n int64) float64 { return float64(n) / 1e9 }

// sieve lets messages through that a deep match wants, a page at a time.
type sieve struct {
	x     *matcher
	pages *pages
	load  func(*Entry) (*message.Message, error) // its envelope; ErrGone leaves a message out
	pass  func(Entry) error

	held []Entry
	rows [][]any
	size int
}

const sievePage = 1000 // messages, or 8 MiB of their envelopes

func (s *sieve) add(ctx context.Context, e Entry) error {
	m, err := s.load(&e)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	if m == nil { // its envelope cannot be read: it is matched by what the table knows, as the index has it
		m = &message.Message{}
	}
	row := pageRow(m, &e)
	s.held, s.rows = append(s.held, e), append(s.rows, row)
	s.size += len(row[7].(string)) + 1<<10
	if len(s.held) < sievePage && s.size < 8<<20 {
		return nil
	}
	return s.flush(ctx)
}

func (s *sieve) flush(ctx context.Context) error {
	if len(s.held) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, whereTime)
	defer cancel()
	fit, err := s.pages.fitting(ctx, s.x.cond, s.rows)
	if err != nil {
		return explainWhere(s.x.m.Where, err)
	}
	for _, n := range fit {
		if err := s.pass(s.held[n]); err != nil {
			return err
		}
	}
	s.held, s.rows, s.size = s.held[:0], s.rows[:0], 0
	return nil
}

// historyJSON is what the index keeps of a message's attempts, "" for none.
func historyJSON(m *message.Message) string {
	if len(m.History) == 0 {
		return ""
	}
	type try struct {
		At       float64 `json:"at"` // seconds since 1970
		Response string  `json:"response"`
		Source   string  `json:"source,omitempty"`
		Peer     string  `json:"peer,omitempty"`
	}
	list := make([]try, len(m.History))
	for i, t := range m.History {
		list[i] = try{math.Round(float64(t.At.UnixMilli())) / 1e3, t.Response, t.Source, t.Peer}
	}
	b, _ := json.Marshal(list)
	return string(b)
}
