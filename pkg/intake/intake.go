package intake

import (
	"context"
	"errors"
	"strings"
	"time"

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

// portionBytes bounds the data of the messages that are made at once: each recipient's message has a copy of its own.
const portionBytes = 64 << 20

// Accept takes a submission in, as the steps of the package comment say. It returns one id per message, in the
// order of the first recipient of each. With an error nothing was taken in: an *smtp.Error is the answer for the
// peer; any other error is a local fault, which SMTP answers with 421 4.3.0.
//
// The submission and its data may be used again after the call.
func (in *Intake) Accept(ctx context.Context, sub *message.Submission) ([]message.ID, error) {
	if err := check(sub); err != nil {
		return nil, err
	}
	groups := batches(sub)
	t := taking{
		sub: sub, conn: sub.Conn.Freeze(), now: in.Now(), together: max(portionBytes/(len(sub.Data)+1), 1),
		ids: make([]message.ID, 0, len(groups)), kept: make([]*message.Message, 0, len(groups)),
	}
	t.until = t.now
	t.lean = in.Lean != nil && in.Lean()
	for rest := groups; len(rest) > 0; {
		n := min(t.together, len(rest))
		if err := in.portion(ctx, &t, rest[:n], n == len(rest)); err != nil {
			return nil, errors.Join(err, in.withdraw(t.kept))
		}
		rest = rest[n:]
	}
	in.Metrics.count(sub.Protocol, len(t.kept), len(t.ids)-len(t.kept))
	// Durable now: whatever happens to the peer or to its time limit, these messages are ours.
	ctx = context.WithoutCancel(ctx)
	in.record(&t)
	for _, m := range t.kept {
		in.Next.Insert(ctx, m, message.Received)
	}
	return t.ids, nil
}

// taking is a submission on its way in.
type taking struct {
	sub      *message.Submission
	conn     *message.Meta // what the connection's metadata were when it came
	now      time.Time
	until    time.Time // up to when the accounts of the messages speak
	together int       // messages of a portion
	lean     bool
	ids      []message.ID
	kept     []*message.Message // durable
}

// large reports that the messages are too large to be all kept in memory.
func (t *taking) large() bool { return t.lean || cap(t.ids) > t.together }

// portion makes the messages of some groups durable. Only the last portion names the order, which is done then.
func (in *Intake) portion(ctx context.Context, t *taking, groups [][]mail.Address, last bool) error {
	drafts := in.split(t, groups)
	if err := in.ask(ctx, t.sub, drafts); err != nil {
		return err
	}
	asked := in.Now()
	stored := len(t.kept)
	kept := t.kept
	for i := range drafts {
		m := drafts[i].Message
		t.ids = append(t.ids, m.ID)
		if m.Queue = m.QueueName(); m.Queue != message.NullQueue {
			kept = append(kept, m)
		}
	}
	order := ""
	if last {
		order = t.sub.Order
	}
	if err := in.store(ctx, t, order, kept[stored:]); err != nil {
		return err
	}
	t.charge(kept[stored:], asked, in.Now())
	t.kept = kept
	if t.large() {
		for _, m := range kept[stored:] {
			m.Shrink()
		}
	}
	return nil
}

// withdraw takes the portions back that were stored before one was refused. A crash before that is on disk brings
// them to life again, for a sender who was told otherwise.
func (in *Intake) withdraw(ms []*message.Message) error {
	var errs error
	for _, m := range ms {
		errs = errors.Join(errs, in.Store.Withdraw(m.ID))
	}
	return errs
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

// split makes the messages of some groups. Each is an allocation of its own: one that waits for days must not
// keep its siblings in memory.
func (in *Intake) split(t *taking, groups [][]mail.Address) []draft {
	drafts := make([]draft, len(groups))
	for i, rcpts := range groups {
		drafts[i].Message = &message.Message{
			ID:         in.IDs.Next(),
			Sender:     t.sub.Sender,
			Recipients: rcpts,
			Meta:       message.NewMeta(t.conn),
			Created:    t.now,
		}
		drafts[i].fill(t.sub)
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
func (in *Intake) store(ctx context.Context, t *taking, order string, ms []*message.Message) error {
	if len(ms) == 0 {
		return nil
	}
	sub := t.sub
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
	now, later := ms, []*message.Message(nil)
	if sub.Deferred && sub.Order == "" && !t.large() {
		now, later = deferrable(ms)
	}
	if len(now) > 0 {
		if err := in.Store.Accept(ctx, order, now...); err != nil {
			return storeError(err, sub.Hostname)
		}
	}
	if len(later) > 0 {
		in.Store.Defer(later...)
	}
	return nil
}

// deferrable parts messages into those that are to be stored before they are acknowledged, because policy said so, and
// those that deferred_spool lets wait.
func deferrable(ms []*message.Message) (now, later []*message.Message) {
	for _, m := range ms {
		if m.Urgent() {
			now = append(now, m)
		} else {
			later = append(later, m)
		}
	}
	return now, later
}

// deferredText is what the Reception record of a message says that was acknowledged before it was stored.
const deferredText = "deferred_spool: not stored before the first attempt fails"

func (in *Intake) record(t *taking) {
	sub := t.sub
	r := journal.Record{
		Type:      journal.Reception,
		Time:      t.now,
		Response:  smtp.Reply{Code: 250},
		PeerName:  sub.Ehlo,
		Reception: sub.Protocol,
		TLS:       sub.TLS,
		SessionID: sub.SessionID,
	}
	if sub.Peer.IsValid() {
		r.PeerAddr = sub.Peer.Addr().String()
	}
	for _, m := range t.kept {
		r.Msg = m
		r.Response.Text = ""
		if m.Deferred {
			r.Response.Text = deferredText
		}
		in.Recorder.Record(&r)
		if t.large() || m.Released() {
			m.Shrink() // the log may have wanted its header
		}
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
