package intake

import (
	"context"
	"errors"
	"strings"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// maxHops is how many Received fields a message may have (RFC 5321 6.3 asks for at least 100).
const maxHops = 100

// Intake takes submissions in. It is safe for concurrent use.
type Intake struct {
	Parts
}

// New makes an Intake.
func New(p Parts) *Intake { return &Intake{Parts: p} }

// Accept takes a submission in, as the steps of the package comment say. It returns one id per message, in the
// order of the first recipient of each. With an error nothing was taken in: an *smtp.Error is the answer for the
// peer; any other error is a local fault, which SMTP answers with 421 4.3.0.
//
// The submission and its data may be used again after the call.
func (in *Intake) Accept(ctx context.Context, sub *message.Submission) ([]message.ID, error) {
	if err := check(sub); err != nil {
		return nil, err
	}
	drafts := in.split(sub)
	if err := in.ask(ctx, sub, drafts); err != nil {
		return nil, err
	}
	ids := make([]message.ID, len(drafts))
	kept := make([]*message.Message, 0, len(drafts))
	for i := range drafts {
		m := drafts[i].Message
		ids[i] = m.ID
		if m.Queue = m.QueueName(); m.Queue != message.NullQueue {
			kept = append(kept, m)
		}
	}
	if err := in.store(ctx, sub, kept); err != nil {
		return nil, err
	}
	in.Metrics.count(sub.Protocol, len(kept), len(ids)-len(kept))
	// Durable now: whatever happens to the peer or to its time limit, these messages are ours.
	ctx = context.WithoutCancel(ctx)
	in.record(sub, kept)
	for _, m := range kept {
		in.Next.Insert(ctx, m, message.Received)
	}
	return ids, nil
}

func check(sub *message.Submission) error {
	if len(sub.Recipients) == 0 {
		return &smtp.Error{Reply: smtp.NewReply(554, "5.5.1", "no valid recipients")}
	}
	if n := hops(sub.Data); n > maxHops {
		return &smtp.Error{Reply: smtp.NewReply(554, "5.4.6", "too many hops, this message is looping")}
	}
	return nil
}

// split makes the messages of a submission. Each is an allocation of its own: one that waits for days must not
// keep its siblings in memory.
func (in *Intake) split(sub *message.Submission) []draft {
	now := in.Now()
	groups := batches(sub)
	drafts := make([]draft, len(groups))
	for i, rcpts := range groups {
		drafts[i].Message = &message.Message{
			ID:         in.IDs.Next(),
			Sender:     sub.Sender,
			Recipients: rcpts,
			Meta:       message.NewMeta(sub.Conn),
			Created:    now,
		}
		drafts[i].fill(sub)
	}
	return drafts
}

// batches groups the recipients as sub.Batch says. The groups are the messages' own.
func batches(sub *message.Submission) [][]mail.Address {
	groups := make([][]mail.Address, 0, len(sub.Recipients))
	if sub.Batch != message.BatchByDomain {
		for _, r := range sub.Recipients {
			groups = append(groups, []mail.Address{r})
		}
		return groups
	}
	index := make(map[string]int)
	for _, r := range sub.Recipients {
		domain := strings.ToLower(r.Domain())
		i, ok := index[domain]
		if !ok {
			i = len(groups)
			index[domain] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], r)
	}
	return groups
}

// ask runs policy for each message and adds the supplemental field.
func (in *Intake) ask(ctx context.Context, sub *message.Submission, drafts []draft) error {
	for i := range drafts {
		d := &drafts[i]
		m := d.Message
		if err := in.Hooks.MessageReceived(ctx, sub.Protocol, m, sub.Conn); err != nil {
			if late := tooLate(ctx, sub); late != nil {
				return late
			}
			return err
		}
		if len(m.Recipients) == 0 {
			return &smtp.Error{Reply: smtp.NewReply(554, "5.5.1", "no valid recipients")}
		}
		if err := d.addSupplemental(&sub.Trace); err != nil {
			return err
		}
	}
	return nil
}

// store checks the queues and makes ms durable.
func (in *Intake) store(ctx context.Context, sub *message.Submission, ms []*message.Message) error {
	if len(ms) == 0 {
		return nil
	}
	for i, m := range ms {
		if i > 0 && ms[i-1].Queue == m.Queue {
			continue
		}
		if err := in.Next.Ready(ctx, m.Queue); err != nil {
			if late := tooLate(ctx, sub); late != nil {
				return late
			}
			return temporary(err)
		}
	}
	if late := tooLate(ctx, sub); late != nil {
		return late
	}
	if err := in.Store.Accept(ctx, sub.Order, ms...); err != nil {
		return storeError(err, sub.Hostname)
	}
	return nil
}

func (in *Intake) record(sub *message.Submission, ms []*message.Message) {
	if len(ms) == 0 {
		return
	}
	r := journal.Record{
		Type:      journal.Reception,
		Time:      ms[0].Created,
		Response:  smtp.Reply{Code: 250},
		PeerName:  sub.Ehlo,
		Reception: sub.Protocol,
		TLS:       sub.TLS,
		SessionID: sub.SessionID,
	}
	if sub.Peer.IsValid() {
		r.PeerAddr = sub.Peer.Addr().String()
	}
	for _, m := range ms {
		r.Msg = m
		in.Recorder.Record(&r)
	}
}

// tooLate is the answer when the time for the transaction is over, nil when it is not.
func tooLate(ctx context.Context, sub *message.Submission) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return &smtp.Error{Reply: smtp.NewReply(451, "4.4.5", "data_processing_timeout exceeded"), Cause: err}
	default:
		return &smtp.Error{Reply: smtp.NewReply(421, "4.3.2", sub.Hostname+" shutting down"), Cause: err}
	}
}
