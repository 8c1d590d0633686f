package node

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// life is all that is known of a message that is looked at closely.
type life struct {
	id       message.ID
	rcpts    map[string]*fate
	created  time.Time
	last     time.Time      // of its last record
	deferred bool           // acknowledged before it was stored
	live     bool           // in the spool
	trashed  bool           // in the trash
	ended    []spool.Ending // as the spool's log says
}

// fate is what became of one recipient.
type fate struct {
	received int
	ends     []journal.Type
	at       []time.Time // of the ends
	undone   int
	queued   bool
}

func (l *life) fate(rcpt string) *fate {
	f := l.rcpts[rcpt]
	if f == nil {
		f = &fate{}
		l.rcpts[rcpt] = f
	}
	return f
}

// lives gathers what logs and spool know of the messages that of names, and keeps those that do not add up.
func (a *auditor) lives(ctx context.Context, of func(message.ID) bool) (map[message.ID]*life, error) {
	lives := make(map[message.ID]*life)
	get := func(id message.ID) *life {
		l := lives[id]
		if l == nil {
			l = &life{id: id, rcpts: make(map[string]*fate)}
			lives[id] = l
		}
		return l
	}
	seen := recent{now: make(map[uint64]struct{})}
	err := journal.Scan(ctx, journal.ReadOptions{
		Dirs: a.o.Logs, Until: a.cut, Types: auditTypes(), Progress: a.o.Progress,
	}, func(line *journal.Line) error {
		if of(line.ID) && !a.books.before(line.Created()) {
			a.add(get(line.ID), line, &seen)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = a.census.Each(ctx, func(r *spool.Resident) error {
		if !of(r.ID) || a.books.before(r.Created) {
			return nil
		}
		l := get(r.ID)
		l.created, l.trashed, l.live = r.Created, r.State == spool.Trashed, r.State != spool.Trashed
		for _, rcpt := range r.Recipients {
			l.fate(string(recorded(rcpt))).queued = l.live
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = a.census.Ends(ctx, func(id message.ID) bool { return lives[id] != nil }, func(id message.ID, why spool.Ending) {
		lives[id].ended = append(lives[id].ended, why)
	})
	for id, l := range lives {
		if l.balanced() {
			delete(lives, id)
		}
	}
	return lives, err
}

// add takes one record into a life.
func (a *auditor) add(l *life, line *journal.Line, seen *recent) {
	if l.created.IsZero() {
		l.created = line.Created()
	}
	if line.Time.After(l.last) {
		l.last = line.Time
	}
	if line.Type == journal.Reception && bytes.Contains(line.Field("response"), []byte("deferred_spool")) {
		l.deferred = true
	}
	line.EachRecipient(func(rcpt []byte) {
		if seen.seen(a.books.fact(line, rcpt)) {
			return
		}
		f := l.fate(string(rcpt))
		switch {
		case line.Type == journal.AdminUndo:
			f.undone++
		case sides[line.Type] > 0:
			f.received++
		default:
			f.ends, f.at = append(f.ends, line.Type), append(f.at, line.Time)
		}
	})
}

// balanced reports that every recipient was received and has one end, or is in the spool.
func (l *life) balanced() bool {
	for _, f := range l.rcpts {
		if f.received == 0 || f.left() != 0 {
			return false
		}
	}
	return true
}

// left is what is missing: 1 for a recipient that is nowhere, -1 for one that has an end too many.
func (f *fate) left() int {
	n := 1 - len(f.ends) + f.undone
	if f.queued {
		n--
	}
	return n
}

// moves reports that a message did something just before the census: it may be in both places or in none.
func (a *auditor) moves(l *life) bool {
	return a.res.Held && a.cut.Sub(latest(l.last, l.created)) < standStill
}

// standStill is how long nothing must have happened to a message to be judged beside a daemon.
const standStill = 5 * time.Second

// judge says what is wrong with a message.
func (a *auditor) judge(l *life) {
	if a.moves(l) {
		a.res.Moving += int64(len(l.rcpts))
		return
	}
	names := make([]string, 0, len(l.rcpts))
	for rcpt := range l.rcpts {
		names = append(names, rcpt)
	}
	slices.Sort(names)
	for _, rcpt := range names {
		f := l.rcpts[rcpt]
		found := AuditFinding{ID: l.id, Recipient: rcpt, Time: l.last, Ends: f.ends}
		switch left := f.left(); {
		case f.received == 0 && (len(f.ends) > 0 || f.queued):
			a.unreceived(l, found)
		case left > 0:
			a.nowhere(l, found)
		case left < 0:
			a.tooMany(f, found)
		}
	}
}

// unreceived judges a recipient of which there is no Reception.
func (a *auditor) unreceived(l *life, found AuditFinding) {
	if a.open && a.excused(l.created) {
		a.res.Unlogged++
		return
	}
	found.Kind, found.Detail = AuditUnreceived, "there is no record of its reception on "+l.created.UTC().Format(time.RFC3339)
	a.tell(found)
}

// nowhere judges a recipient that was received and has neither an end nor is in the spool.
func (a *auditor) nowhere(l *life, found AuditFinding) {
	has := func(why ...spool.Ending) bool {
		return slices.ContainsFunc(l.ended, func(e spool.Ending) bool { return slices.Contains(why, e) })
	}
	byOrder := l.trashed || has(spool.EndAdminBounced)
	switch {
	case has(spool.EndDiscarded, spool.EndUndone), byOrder && a.silent:
		a.res.Discarded++
	case byOrder && a.notes:
		a.res.Unlogged++
	case (l.trashed || len(l.ended) > 0) && a.open:
		a.res.Unlogged++
	case l.trashed:
		found.Kind, found.Detail = AuditUnrecorded, "an order bounced it, and there is no record of that"
		a.tell(found)
	case len(l.ended) > 0:
		found.Kind, found.Detail = AuditUnrecorded, "the spool says that it ended, and there is no record of that"
		a.tell(found)
	case l.deferred:
		a.res.Deferred++
	case a.lost[l.id]:
		a.res.KnownLost++
	default:
		found.Kind, found.Detail = AuditLost, "it was received, has no end, and is not in the spool"
		a.tell(found)
	}
}

// tooMany judges a recipient with more than one end, or with one that is in the spool all the same.
func (a *auditor) tooMany(f *fate, found AuditFinding) {
	if f.queued && a.notes && f.ends[len(f.ends)-1] == journal.AdminBounce {
		a.res.Unlogged++ // an undo of a verb
		return
	}
	found.Excused = slices.ContainsFunc(f.at, a.excused)
	var words []string
	for i, t := range f.ends {
		words = append(words, fmt.Sprintf("%s on %s", t, f.at[i].UTC().Format(time.RFC3339)))
	}
	found.Kind, found.Detail = AuditRepeated, strings.Join(words, ", ")
	if f.queued {
		found.Kind, found.Detail = AuditBoth, found.Detail+", and it is in the spool"
	}
	a.tell(found)
}
