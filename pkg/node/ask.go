package node

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// askWait is how long a verb waits for the daemon to say what it knows of a message.
const askWait = 2 * time.Second

// answer is what a daemon knows of a message that no record tells yet: what the time up to At went to.
type answer struct {
	At    time.Time    `json:"at"`
	Site  string       `json:"site,omitempty"` // ready queue
	Spent []answerSpan `json:"spent"`
}

type answerSpan struct {
	Cause message.Cause `json:"cause"`
	Where string        `json:"where,omitempty"`
	For   Seconds       `json:"for"`
}

// answer carries out an order of kind ask.
func (n *server) answer(o spool.Order) spool.Result {
	var q spool.Ask
	if err := json.Unmarshal(o.Payload, &q); err != nil {
		return spool.Result{Error: err.Error()}
	}
	a := answer{At: time.Now().UTC()}
	var spans []message.Span
	if w, ok := n.rooms.ready.Find(q.Message); ok {
		spans, a.Site = w.Spent, w.Site
		if rest := a.At.Sub(w.Since) - message.SumSpans(spans); !w.Since.IsZero() && rest >= shown {
			spans = append([]message.Span{{Cause: message.SpentKumo, For: rest}}, spans...)
		}
	} else if e, ok := n.rooms.spool.Lookup(q.Message); ok && e.State == spool.Scheduled {
		spans = n.rooms.queues.Late(e.Queue, e.Due)
	}
	for _, s := range spans {
		a.Spent = append(a.Spent, answerSpan{s.Cause, s.At, Seconds(s.For)})
	}
	b, err := json.Marshal(a)
	if err != nil {
		return spool.Result{Error: err.Error()}
	}
	return spool.Result{Counts: &spool.Counts{Answer: b}}
}

// ask has the daemon that owns the spool say what it knows of a message that is due and still there. Who may not leave
// orders, and who gets no answer in time, does without.
func (f *facts) ask(ctx context.Context, dir string) {
	if !f.held || f.row == nil || f.row.State != spool.StateScheduled || f.row.Due.After(f.now) || f.now.Sub(f.row.Created) < time.Second {
		return
	}
	payload, err := json.Marshal(spool.Ask{Message: f.id})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	orders, err := spool.OpenOrders(ctx, dir)
	if err != nil {
		return
	}
	defer orders.Close()
	a, err := askAll(ctx, orders, spool.Order{Kind: spool.OrderAsk, Author: author(), Payload: payload})
	if err == nil && len(a.Spent) > 0 {
		f.answer = a
	}
}

func askAll(ctx context.Context, orders *spool.Orders, o spool.Order) (*answer, error) {
	ids, err := orders.Append(ctx, o)
	if err != nil {
		return nil, err
	}
	done, err := orders.Wait(ctx, ids...)
	if err != nil {
		return nil, err
	}
	if done[0].Counts == nil {
		return nil, errors.New(done[0].Error)
	}
	a := &answer{}
	return a, json.Unmarshal(done[0].Counts.Answer, a)
}
