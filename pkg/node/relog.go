package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
	"kumo/pkg/spool"
)

// relogger writes the records that died with a daemon. The spool's log is durable at once, the journal half a second
// later, and after a power cut five: what the end of the one knows and that of the other does not is recorded again,
// before mail flows. Invariant "accounted": after every start each message of the spool's log has its records.
//
//  1. Read the end of the spool's log, from the time of the crash on, less what the journal can lose: who was taken in,
//     whose envelope changed, who ended and how.
//  2. Read the records since that segment was begun. Whose records are all there is done with.
//  3. Read all records of the others, and their envelopes, and write what is missing: a Reception, or an end for each
//     recipient that has none and is not in the spool. The peer's words are gone; the record says so.
//
// Types that no logger writes whole and as JSON are left out: nobody could know what is there already.
type relogger struct {
	spool   *spool.Spool
	record  func(*journal.Record)
	dirs    []string
	legible func(journal.Type) bool
	log     *slog.Logger

	since   time.Time
	tallies map[message.ID]*tally
	written map[journal.Type]int
}

// tally is what both sides know of a message.
type tally struct {
	spool.Trace
	received bool // there is a Reception
	ends     int  // recipients with a record of an end
}

// relogText is what the records say that are written again.
const relogText = "recorded after a crash: the first record of it was lost"

// relog writes what died with the daemon before this one. Runs must not say yet that this one has begun.
func relog(ctx context.Context, p *plan, s *spool.Spool, j *journal.Journal, log *slog.Logger) error {
	since := lostSince(spoolConfig(p, log).Dir, j.Left())
	if since.IsZero() || len(p.setup.Logs) == 0 {
		return nil
	}
	r := &relogger{
		spool: s, record: j.Record, dirs: logDirsOf(p), log: log, since: since, written: map[journal.Type]int{},
		legible: func(t journal.Type) bool {
			for _, l := range p.setup.Logs {
				if l.Value.Legible(t) {
					return true
				}
			}
			return false
		},
	}
	if err := r.run(ctx); err != nil {
		return fmt.Errorf("write the records again that died with the last daemon: %w", err)
	}
	if len(r.written) > 0 {
		log.Warn("a daemon was killed: records that died with it are written again", "records", r.written)
	}
	return j.Flush()
}

// lostSince is from when on records may be missing; zero when the last daemon came to an orderly end. Daemons that
// were killed within half a minute may not have got as far as this.
func lostSince(dir string, left time.Time) time.Time {
	since := left
	runs, err := Runs(dir, false)
	for i := len(runs) - 1; err == nil && i >= 0 && runs[i].Killed; i-- {
		if since.IsZero() || runs[i].End.Before(since) {
			since = runs[i].End
		}
		if runs[i].End.Sub(runs[i].Start) > 30*time.Second {
			break
		}
	}
	if since.IsZero() {
		return since
	}
	return since.Add(-journalRisk)
}

func (r *relogger) run(ctx context.Context) error {
	traces, from, err := r.spool.Recent(ctx, r.since)
	if err != nil || len(traces) == 0 {
		return err
	}
	r.tallies = make(map[message.ID]*tally, len(traces))
	for id, t := range traces {
		r.tallies[id] = &tally{Trace: t}
	}
	if err := r.tick(ctx, from); err != nil {
		return err
	}
	for id, t := range r.tallies {
		if !t.suspect() {
			delete(r.tallies, id)
		}
	}
	if len(r.tallies) == 0 {
		return nil
	}
	return r.mend(ctx)
}

// tick counts the records that are there.
func (r *relogger) tick(ctx context.Context, from time.Time) error {
	return journal.Scan(ctx, journal.ReadOptions{Dirs: r.dirs, Types: auditTypes(), Since: from.Add(-journalRisk)}, func(l *journal.Line) error {
		t := r.tallies[l.ID]
		switch {
		case t == nil:
		case sides[l.Type] > 0:
			t.received = true
		default:
			l.EachRecipient(func([]byte) { t.ends++ })
		}
		return nil
	})
}

// suspect reports that a record may be missing. A message that ended in parts is always looked at.
func (t *tally) suspect() bool {
	switch {
	case t.Ended == spool.EndDiscarded || t.Ended == spool.EndUndone:
		return false
	case t.Accepted && !t.received, t.Updated && t.Ended == 0:
		return true
	}
	return t.Ended != 0 && (t.ends < max(t.Recipients, 1) || t.Updated)
}

// past is what is known of a message whose records are not complete.
type past struct {
	life
	first, latest *message.Message // envelopes in the spool's log
	reception     *message.Message // as its record says
}

// mend reads what there is about the suspects and writes what there is not.
func (r *relogger) mend(ctx context.Context) error {
	pasts := make(map[message.ID]*past, len(r.tallies))
	var ids []message.ID
	oldest := r.since
	for id := range r.tallies {
		ids = append(ids, id)
		pasts[id] = &past{life: life{id: id, rcpts: make(map[string]*fate)}}
		if t := id.Time(); t.Before(oldest) {
			oldest = t
		}
	}
	a := &auditor{books: newBooks()}
	seen := recent{now: make(map[uint64]struct{})}
	err := journal.Scan(ctx, journal.ReadOptions{Dirs: r.dirs, Types: auditTypes(), IDs: ids, Since: oldest.Add(-journalRisk)}, func(l *journal.Line) error {
		p := pasts[l.ID]
		a.add(&p.life, l, &seen)
		if l.Type == journal.Reception {
			if e, err := l.Entry(); err == nil {
				p.reception = received(l, &e)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	known := func(id message.ID) bool { return pasts[id] != nil }
	err = r.spool.RecentEnvelopes(ctx, r.since, known, func(m *message.Message) {
		p := pasts[m.ID]
		if p.latest = m; p.first == nil {
			p.first = m
		}
	})
	if err != nil {
		return err
	}
	for id, p := range pasts {
		r.complete(p, r.tallies[id])
	}
	return nil
}

// received is the message that a Reception tells of.
func received(l *journal.Line, e *journal.Entry) *message.Message {
	m := &message.Message{
		ID: l.ID, Sender: mail.Restore(e.Sender), Queue: e.Queue, Size: int(e.Size), Created: l.Created(), Meta: message.NewMeta(nil),
	}
	for _, rcpt := range e.Recipients {
		m.Recipients = append(m.Recipients, mail.Restore(rcpt))
	}
	_ = m.Meta.UnmarshalJSON(l.Field("meta")) // what the record did not keep nobody misses
	return m
}

// complete writes the records of a message that are missing.
func (r *relogger) complete(p *past, t *tally) {
	m := p.reception
	if m == nil {
		m = p.first
	}
	if m == nil {
		return // neither side has an envelope: it was received before the oldest record
	}
	if p.reception == nil && t.Accepted {
		r.write(journal.Reception, m, nil, m.Created)
	}
	if t.Ended == spool.EndAdminBounced {
		return // orders see to their records themselves
	}
	queued := map[string]bool{}
	if _, live := r.spool.Lookup(p.id); live {
		if t.Ended != 0 || p.latest == nil {
			return
		}
		for _, rcpt := range p.latest.Recipients {
			queued[rcpt.String()] = true
		}
	}
	for i, rcpt := range m.Recipients {
		f := p.rcpts[string(recorded(rcpt.String()))]
		if queued[rcpt.String()] || f != nil && len(f.ends) > f.undone {
			continue
		}
		r.write(endType(t.Ended), m, m.Recipients[i:i+1], time.Time{})
	}
}

// endType is the type of record that an ending has. A recipient that left an envelope whose message waits was served.
func endType(e spool.Ending) journal.Type {
	switch e {
	case spool.EndBounced:
		return journal.Bounce
	case spool.EndExpired:
		return journal.Expiration
	}
	return journal.Delivery
}

func (r *relogger) write(t journal.Type, m *message.Message, rcpts []mail.Address, at time.Time) {
	if !r.legible(t) {
		return
	}
	reply := smtp.NewReply(250, "", relogText)
	switch t {
	case journal.Reception, journal.Delivery:
	default:
		reply = smtp.NewReply(551, "5.0.0", relogText)
	}
	r.record(&journal.Record{Type: t, Msg: m, Recipients: rcpts, Time: at, Attempts: m.Attempts, Response: reply})
	r.written[t]++
}
