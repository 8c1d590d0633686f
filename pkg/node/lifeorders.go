package node

import (
	"slices"
	"strings"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

const (
	// prompt is how soon after an order its effect is seen, with everything that can be slow in between.
	prompt = 5 * time.Second
	// early is how much sooner than planned a try is that something must have hurried.
	early = 2 * time.Second
)

// far is the end of waits that nobody knows the end of.
var far = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// waitAfter is what the message waits for after the records of a moment.
func (t *telling) waitAfter(entries []journal.Entry, at time.Time) waiting {
	w, planned := waiting{}, false
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Wait != nil && (!planned || e.Type == journal.TransientFailure):
			w, planned = waiting{cause: e.Wait.Cause, where: e.Wait.At, until: at.Add(e.Wait.For)}, true
			if w.cause == message.WaitHeld {
				w.until = far // until somebody releases it
			}
		case planned:
		case e.Type == journal.AdminBounce:
			t.before = t.wait
			w = waiting{cause: message.WaitTrashed, where: bouncedBy(e), until: far}
		case e.Type == journal.AdminUndo:
			w = t.before
		case e.Type == journal.AdminRebind:
			w = t.wait
		case e.Type == journal.TransientFailure || e.Type == journal.Delayed:
			w = inferred(e)
		}
	}
	return w
}

// bouncedBy is the order that the record of a bounce by order names: 32 digits behind the word.
func bouncedBy(e *journal.Entry) string {
	for rest, ok := e.Response.Content, true; ok; {
		if _, rest, ok = strings.Cut(rest, "order "); len(rest) >= 32 {
			if _, err := message.ParseID(rest[:32]); err == nil {
				return rest[:32]
			}
		}
	}
	return ""
}

// inferred is the wait after a record that does not say what it is: of KumoMTA, which gives the reason in the words of
// its answer. How long it was meant to be is not known.
func inferred(e *journal.Entry) waiting {
	w := waiting{cause: message.WaitRetry, until: far, note: "inferred: the record does not say"}
	if e.Type != journal.Delayed {
		return w
	}
	said := e.Response.Content
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(s string) bool { return strings.Contains(said, s) })
	}
	switch {
	case has("throttled message rate") && strings.Contains(said, "->"): // the name of a ready queue
		w.cause = message.WaitMessageRate
	case has("throttled message rate", "throttled by"):
		w.cause = message.WaitQueueRate
	case has("throttled connection rate"):
		w.cause = message.WaitConnectionRate
	case has("is full", "max_ready"):
		w.cause = message.WaitMaxReady
	case has("suspended"):
		w.cause = message.WaitSuspended
	case has("first attempt", string(message.ScheduledForLater)):
		w.cause = message.WaitScheduled
	default:
		w.cause = message.Unexplained
	}
	return w
}

// order finds an order by its id.
func (t *telling) order(id string) *spool.Order {
	if id == "" {
		return nil
	}
	for i := range t.orders {
		if t.orders[i].ID == id {
			return &t.orders[i]
		}
	}
	return nil
}

// orderNote says who gave an order, and why.
func orderNote(o *spool.Order) string {
	if o == nil {
		return ""
	}
	s := o.Kind + " by " + o.Author
	if c, _, err := o.Command(); err == nil && c.Reason != "" {
		s += ": " + c.Reason
	}
	return s
}

// fits tells whether an order can have been about the message. sure is false where that cannot be told any more: the
// ids of an order are not kept, and conditions are not asked again.
func (t *telling) fits(c *spool.Command) (fits, sure bool) {
	m := &c.Match
	if m.Sender != "" && strings.Trim(m.Sender, "<>") != t.life.Sender {
		return false, true
	}
	if m.Recipient != "" && !slices.Contains(t.life.Recipients, strings.Trim(m.Recipient, "<>")) {
		return false, true
	}
	queue := m.Queue(t.life.Queue) || slices.ContainsFunc(t.records, func(e journal.Entry) bool { return m.Queue(e.Queue) })
	return queue && !m.IsZero(), !m.ByID && m.Where == "" && m.OlderThan == 0
}

// hurried says which order had the message tried before its time, if one did.
func (t *telling) hurried(tried, planned time.Time) string {
	if planned.Equal(far) || planned.Sub(tried) < early {
		return ""
	}
	for i := len(t.orders) - 1; i >= 0; i-- {
		o := &t.orders[i]
		switch o.Kind {
		case spool.OrderRequeue, spool.OrderRebind, spool.OrderRelease, spool.OrderResume, spool.OrderUndo:
		default:
			continue
		}
		if o.Created.After(tried.Add(time.Second)) || o.Created.Before(tried.Add(-prompt)) {
			continue
		}
		if c, _, err := o.Command(); err == nil && t.meant(&c) {
			return "cut short: " + orderNote(o)
		}
	}
	return ""
}

// meant tells whether an order can have been about the message: by its own match, or by that of the order that it ended.
func (t *telling) meant(c *spool.Command) bool {
	if c.Order == "" {
		fits, _ := t.fits(c)
		return fits
	}
	ended := t.order(c.Order)
	if ended == nil {
		return true
	}
	of, _, err := ended.Command()
	if err != nil {
		return true
	}
	fits, _ := t.fits(&of)
	return fits
}

// ordered finds the order that kept the message from going on between two moments, and which part of the time.
func (t *telling) ordered(at, until time.Time) (cause message.Cause, by *spool.Order, from, to time.Time) {
	for i := range t.orders {
		o := &t.orders[i]
		switch o.Kind {
		case spool.OrderHold:
			cause = message.WaitHeld
		case spool.OrderSuspend:
			cause = message.WaitSuspended
		case spool.OrderBounce:
			cause = message.WaitTrashed
		default:
			continue
		}
		c, _, err := o.Command()
		if err != nil || !o.Created.Before(until) {
			continue
		}
		fits, sure := t.fits(&c)
		end := t.lasted(i, &c)
		if !fits || !end.After(at) {
			continue
		}
		if off := until.Sub(end); !sure && off.Abs() > prompt || off > prompt && cause != message.WaitHeld {
			continue
		}
		from, to = latest(at, o.Created.UTC()), earlier(end.UTC(), until)
		if until.Sub(to) < prompt {
			to = until // it took a moment to get going again
		}
		return cause, o, from, to
	}
	return "", nil, at, at
}

// lasted is when the i-th order had no effect any more.
func (t *telling) lasted(i int, c *spool.Command) time.Time {
	o := &t.orders[i]
	end := far
	if !c.Expires.IsZero() {
		end = c.Expires
	}
	for k := i + 1; k < len(t.orders); k++ {
		by := &t.orders[k]
		if by.Kind != spool.OrderRelease && by.Kind != spool.OrderResume && by.Kind != spool.OrderUndo {
			continue
		}
		c, _, err := by.Command()
		if err != nil || !by.Created.Before(end) {
			continue
		}
		if fits, _ := t.fits(&c); c.Order == o.ID || c.Order == "" && fits {
			return by.Created
		}
	}
	return end
}
