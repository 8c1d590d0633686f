package node

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// shown is the shortest stretch without a cause that is a Step of its own. All of them are in the sum.
const shown = 5 * time.Millisecond

// telling walks over a life and gives each stretch of it a cause.
type telling struct {
	*facts
	life   *Life
	at     time.Time // up to here all is told
	wait   waiting
	before waiting // what it waited for before it went to the trash
	sums   map[sumKey]time.Duration
}

type sumKey struct {
	cause message.Cause
	where string
}

// waiting is what the latest record says the message waits for.
type waiting struct {
	cause message.Cause
	where string
	until time.Time
	note  string
}

// tell accounts for everything between reception and end.
//
//  1. Records of one moment belong together: one try, several recipients.
//  2. What a record has spent (Entry.Spent) lies right before it. Between the record before and that lies what the
//     message waited for (Entry.Wait), up to the time that it was planned for.
//  3. What is left over goes to daemons that did not run, and to orders that held the message; the rest has no cause.
func (f *facts) tell() *Life {
	t := &telling{facts: f, life: &Life{ID: f.id.String()}, sums: make(map[sumKey]time.Duration)}
	slices.SortStableFunc(f.records, func(a, b journal.Entry) int { return a.Time().Compare(b.Time()) })
	t.begin()
	for rest := f.records; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Time().Equal(rest[0].Time()) {
			n++
		}
		t.moment(rest[:n])
		rest = rest[n:]
	}
	t.finish()
	return t.life
}

// begin finds out who the message is, and when its life began.
func (t *telling) begin() {
	l := t.life
	if len(t.records) > 0 {
		first, last := &t.records[0], &t.records[len(t.records)-1]
		l.Sender, l.Size, l.Queue = first.Sender, first.Size, last.Queue
		t.at = first.Time()
		if made := t.id.Time(); first.Type != journal.Reception && first.Type != journal.XferIn {
			t.at = time.Unix(first.Created, 0).UTC()
			if d := made.Sub(t.at); d >= 0 && d < time.Second { // records have whole seconds of it only
				t.at = made
			}
		}
		for i := range t.records {
			for _, r := range t.records[i].Recipients {
				if !slices.Contains(l.Recipients, r) {
					l.Recipients = append(l.Recipients, r)
				}
			}
			l.Attempts = max(l.Attempts, t.records[i].Attempts)
		}
	}
	if t.row != nil {
		l.Sender, l.Size, l.Queue, l.Attempts = t.row.Sender, int64(t.row.Size), t.row.Queue, t.row.Attempts
		if l.Recipients == nil {
			l.Recipients = t.row.Recipients
		}
		if t.at.IsZero() || t.row.Created.Before(t.at) {
			t.at = t.row.Created
		}
	}
	t.at = t.at.UTC()
	l.Created = t.at
}

// moment tells of records that were made at the same time.
func (t *telling) moment(entries []journal.Entry) {
	at := entries[0].Time().UTC()
	var spans []journal.Span
	for i := range entries {
		spans = append(spans, entries[i].Spent...)
	}
	began := at.Add(-sumOf(spans))
	if began.Before(t.at) {
		began = t.at
	}
	t.gap(began, &entries[0])
	t.spans(spans, at)
	t.at = at
	for i := range entries {
		t.record(&entries[i])
	}
	t.wait = t.waitAfter(entries, at)
}

// spans tells what lies between t.at and a record. If it is more than there was time, all of it is shortened alike.
func (t *telling) spans(spans []journal.Span, until time.Time) {
	share := 1.0
	if sum, have := sumOf(spans), until.Sub(t.at); sum > have && sum > 0 {
		share = float64(have) / float64(sum)
	}
	for _, s := range spans {
		t.step(s.Cause, s.At, "", t.at.Add(time.Duration(float64(s.For)*share)))
	}
}

func sumOf(spans []journal.Span) time.Duration {
	var sum time.Duration
	for i := range spans {
		sum += spans[i].For
	}
	return sum
}

// record adds a record to the story.
func (t *telling) record(e *journal.Entry) {
	s := Step{At: e.Time().UTC(), Record: string(e.Type), Source: e.Source, Site: e.Site}
	if e.Response.Code != 0 && e.Type != journal.Reception {
		s.Response = e.Response.Reply().String()
	}
	if e.Peer != nil {
		s.Where = strings.Trim(e.Peer.Name+"/"+e.Peer.Addr, "/")
	}
	if len(t.life.Recipients) > 1 || e.Type == journal.Reception {
		s.Recipients = e.Recipients
	}
	t.life.Steps = append(t.life.Steps, s)
}

// step tells of a stretch from t.at until then.
func (t *telling) step(cause message.Cause, where, note string, until time.Time) {
	d := until.Sub(t.at)
	if d <= 0 {
		return
	}
	switch cause {
	case message.WaitSuspended, message.WaitHeld, message.WaitTrashed:
		note = cmp.Or(note, orderNote(t.order(where)))
	}
	t.sums[sumKey{cause, where}] += d
	last := len(t.life.Steps) - 1
	switch {
	case cause == message.Unexplained && d < shown:
	case last >= 0 && t.life.Steps[last].Cause == cause && cause != "" && t.life.Steps[last].Where == where && t.life.Steps[last].Note == note:
		t.life.Steps[last].For += Seconds(d)
	default:
		t.life.Steps = append(t.life.Steps, Step{At: t.at, For: Seconds(d), Cause: cause, Where: where, Note: note})
	}
	t.at = until
}

// gap tells what lies between t.at and the moment when something was done for the message again: first what it waited
// for, as long as that was planned; then what came between.
func (t *telling) gap(until time.Time, next *journal.Entry) {
	if w := t.wait; w.cause != "" {
		note := w.note
		end := w.until
		if end.After(until) {
			end = until
			if next == nil || next.Type != journal.AdminBounce { // which is no try
				note = cmp.Or(t.hurried(until, w.until), note)
			}
		}
		t.step(w.cause, w.where, note, end)
	}
	for t.at.Before(until) {
		t.beyond(until, next)
	}
}

// beyond tells of a stretch that was not planned, up to until or less far. next is the record that ended it, nil at the
// end of what is known.
func (t *telling) beyond(until time.Time, next *journal.Entry) {
	if down, end := t.down(t.at, until); down {
		note := ""
		if r := t.runBefore(t.at); r != nil && r.Killed {
			note = "it was killed; last seen alive at " + r.End.UTC().Format(time.RFC3339)
		}
		t.step(message.WaitDown, "", note, end)
		return
	} else if end.Before(until) {
		t.alive(end, nil, true)
		return
	}
	t.alive(until, next, false)
}

// alive is beyond while a daemon ran; ended says that it did not run any more at the end of the stretch.
func (t *telling) alive(until time.Time, next *journal.Entry, ended bool) {
	if cause, o, from, to := t.ordered(t.at, until); o != nil {
		if from.After(t.at) {
			t.step(message.Unexplained, "", "", from)
		}
		t.step(cause, o.ID, orderNote(o), to)
		return
	}
	note := ""
	switch {
	case ended:
		note = "in the hands of the daemon when it ended: what it waited for there is not known"
	case next == nil && t.row != nil:
		note = "in the hands of the daemon: its next record will say"
	case next == nil:
		note = "no record of its end"
	}
	t.step(message.Unexplained, "", note, until)
}

// down tells whether no daemon ran at a moment, and until when that stayed as it was.
func (t *telling) down(at, until time.Time) (down bool, end time.Time) {
	if len(t.runs) == 0 || at.Before(t.runs[0].Start) {
		return false, until
	}
	for i, r := range t.runs {
		switch {
		case r.End.IsZero() || at.Before(r.End):
			if at.Before(r.Start) {
				return true, earlier(r.Start, until)
			}
			if r.End.IsZero() {
				return false, until
			}
			return false, earlier(r.End, until)
		case i == len(t.runs)-1:
			return true, until
		}
	}
	return false, until
}

// runBefore is the run that had ended at that time.
func (t *telling) runBefore(at time.Time) *Run {
	for i := len(t.runs) - 1; i >= 0; i-- {
		if e := t.runs[i].End; !e.IsZero() && !e.After(at) {
			return &t.runs[i]
		}
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// finish tells of the time after the last record, and sums up.
func (t *telling) finish() {
	l := t.life
	l.State = t.state()
	end := t.at
	if t.row != nil && l.State == t.row.State {
		end = t.now.UTC()
		t.remain(end)
		end = latest(end, t.at)
	} else {
		l.Ended = t.at
	}
	l.Total = Seconds(max(end.Sub(l.Created), 0))
	for k, d := range t.sums {
		l.Sums = append(l.Sums, Sum{Cause: k.cause, Where: k.where, For: Seconds(d), Share: share(d, l.Total)})
		if k.cause == message.Unexplained {
			l.Unexplained += Seconds(d)
		}
	}
	slices.SortFunc(l.Sums, func(a, b Sum) int {
		return cmp.Or(cmp.Compare(b.For, a.For), cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Where, b.Where))
	})
	l.Share = share(time.Duration(l.Unexplained), l.Total)
}

func share(d time.Duration, of Seconds) float64 {
	if of <= 0 {
		return 0
	}
	return float64(d) / float64(of)
}

// remain tells of the time between the last record and now, of a message that is still here.
func (t *telling) remain(now time.Time) {
	row := t.row
	switch row.State {
	case spool.StateHeld, spool.StateTrashed:
		cause := message.WaitHeld
		if row.State == spool.StateTrashed {
			cause = message.WaitTrashed
		}
		o := t.order(row.Order)
		from := t.at
		if o != nil && o.Created.After(t.at) {
			from = earlier(o.Created.UTC(), now)
		}
		if cause == message.WaitHeld {
			t.gap(from, nil)
		}
		t.step(cause, row.Order, orderNote(o), now)
		return
	}
	t.life.Due = row.Due
	if t.wait.cause == "" && row.Due.After(t.at) { // put off before it was tried
		t.wait = waiting{cause: message.WaitScheduled}
	}
	t.wait.until = row.Due.UTC() // an order may have changed it
	if a := t.answer; a != nil && a.At.After(t.at) {
		t.heard(a)
		now = latest(now, a.At)
	}
	t.gap(now, nil)
}

// heard tells what the daemon has said: what the time went to before its answer.
func (t *telling) heard(a *answer) {
	spans := make([]journal.Span, len(a.Spent))
	for i, s := range a.Spent {
		spans[i] = journal.Span{Cause: s.Cause, At: s.Where, For: time.Duration(s.For)}
	}
	began := latest(a.At.Add(-sumOf(spans)), t.at)
	t.gap(began, nil)
	t.spans(spans, a.At)
	t.wait = waiting{}
}

// state is where the message stands, or how it ended.
func (t *telling) state() string {
	ends := make(map[string]string) // by recipient
	for i := range t.records {
		e := &t.records[i]
		how, over := endings[e.Type]
		for _, r := range e.Recipients {
			if over {
				ends[r] = how
			} else if e.Type == journal.AdminUndo {
				delete(ends, r)
			}
		}
	}
	if t.row != nil {
		for _, r := range t.row.Recipients {
			if _, over := ends[r]; !over {
				return t.row.State
			}
		}
		if t.row.State != spool.StateScheduled {
			return t.row.State
		}
		// The index is a little behind: the log knows better.
	}
	state := ""
	for _, how := range ends {
		if state != "" && state != how {
			return LifeMixed
		}
		state = how
	}
	return cmp.Or(state, LifeGone)
}

// endings are the records after which a recipient has what it gets.
var endings = map[journal.Type]string{
	journal.Delivery: LifeDelivered, journal.Bounce: LifeBounced, journal.Expiration: LifeExpired,
	journal.AdminBounce: LifeAdminBounce, journal.XferOut: LifeMoved,
}
