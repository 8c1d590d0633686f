package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// AuditOptions say what Audit compares.
type AuditOptions struct {
	Spool    string   // directory of the spool
	Logs     []string // log directories; nil: those that the spool remembers
	Named    int      // how many recipients of each finding are named; all are counted. 0 is 100
	Progress func(done, total int64)
	Warn     func(error) // hears of damage in logs
}

// AuditResult is what Audit found. Everything is counted by recipient: a message for three has three ends.
type AuditResult struct {
	Spool string    `json:"spool"`
	Logs  []string  `json:"logs"`
	Since time.Time `json:"since,omitzero"` // what was received before is not judged
	Held  bool      `json:"held"`           // a daemon works on it: messages that moved meanwhile were looked at again

	Records   int64                  `json:"records"`    // of logs, read
	Messages  int64                  `json:"messages"`   // that were received
	Received  int64                  `json:"received"`   // recipients of them
	Ended     map[journal.Type]int64 `json:"ended"`      // recipients by the record that ended them
	Undone    int64                  `json:"undone"`     // bounces that were taken back
	Queued    int64                  `json:"queued"`     // recipients that are still in the spool
	Discarded int64                  `json:"discarded"`  // ended without a record because somebody asked for that
	Deferred  int64                  `json:"deferred"`   // lost, and acknowledged under deferred_spool before they were stored
	KnownLost int64                  `json:"known_lost"` // lost with segments that somebody removed, and named in the spool's directory damaged
	Before    int64                  `json:"before"`     // recipients of mail from before the oldest record, not judged
	Moving    int64                  `json:"moving"`     // recipients whose message did not stand still, beside a daemon only
	Unlogged  int64                  `json:"unlogged"`   // recipients of which the next start will log what a killed daemon or a verb could not
	Problems  int64                  `json:"problems"`   // recipients of the findings that are not excused
	Counts    map[string]int64       `json:"counts"`     // recipients by kind of finding
	Findings  []AuditFinding         `json:"findings"`   // at most Named of each kind
	Took      time.Duration          `json:"took"`
}

// AuditFinding is a recipient whose life does not add up.
type AuditFinding struct {
	Kind      string         `json:"kind"`
	ID        message.ID     `json:"id"`
	Recipient string         `json:"recipient"`
	Time      time.Time      `json:"time,omitzero"` // of the last record about it
	Ends      []journal.Type `json:"ends,omitempty"`
	Detail    string         `json:"detail"`
	// Excused says that a daemon was killed at that time: a crash between a peer's answer and the note of it repeats a
	// delivery, and nothing else may.
	Excused bool `json:"excused,omitempty"`
}

// The kinds of findings.
const (
	AuditLost       = "lost"       // received, and neither ended nor in the spool
	AuditUnrecorded = "unrecorded" // the spool says that it ended, the log does not
	AuditUnreceived = "unreceived" // ended or in the spool, and never received according to the log
	AuditBoth       = "both"       // ended, and in the spool all the same
	AuditRepeated   = "repeated"   // ended more than once
	AuditMore       = "more"       // of too many to be looked at one by one
)

// OK reports that every reception has its end or is in the spool.
func (r *AuditResult) OK() bool { return r.Problems == 0 }

const (
	// auditDetailed bounds the messages that are looked at one by one.
	auditDetailed = 100_000
	// auditRounds is how often messages that move are looked at, beside a daemon.
	auditRounds = 4
	// auditSettle is how long records take from the event to the file at most, with room to spare.
	auditSettle = 1200 * time.Millisecond
)

// Audit proves conservation from spool and logs, independently of each other: every recipient of every Reception has
// exactly one end (Delivery, Bounce, Expiration, AdminBounce that was not undone, XferOut, or a discard that somebody
// asked for), or is in the spool.
//
//  1. Take a census of the spool from its log, and read all logs in the order of time. Receptions and undone bounces
//     are booked to the message's account, ends and what is in the spool from it, each recipient by a hash: an account
//     in which nothing is left is closed. So memory is for the messages that are open at a time, some 40 bytes each.
//  2. Whose account is not closed in the end is looked at record by record. Beside a daemon that is done again after a
//     while, because it moves messages from one to the other.
//
// Records that two loggers write are one. What was received before the oldest record is not judged. Errors are those of
// reading; damage in logs is told to Warn.
func Audit(ctx context.Context, o AuditOptions) (*AuditResult, error) {
	began := time.Now()
	if o.Named <= 0 {
		o.Named = 100
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	a := &auditor{o: o, res: &AuditResult{
		Spool: o.Spool, Logs: o.Logs, Ended: map[journal.Type]int64{}, Counts: map[string]int64{}, Findings: []AuditFinding{},
	}}
	if err := a.run(ctx); err != nil {
		return nil, fmt.Errorf("audit of %s: %w", o.Spool, err)
	}
	a.res.Took = time.Since(began)
	return a.res, nil
}

// auditor is one audit.
type auditor struct {
	o      AuditOptions
	res    *AuditResult
	books  *books
	census *spool.Census
	cut    time.Time           // records from then on are not counted; zero: all are
	killed []window            // when daemons were killed, and what may have gone with them
	open   bool                // the last of them was killed and none has run since
	notes  bool                // a verb has left records for the next daemon
	lost   map[message.ID]bool // that the spool knows to be lost
	silent bool                // an order has ended mail without records
}

// window is a stretch of time.
type window struct{ from, to time.Time }

func (w window) has(t time.Time) bool { return !t.Before(w.from) && !t.After(w.to) }

func (a *auditor) run(ctx context.Context) error {
	if err := a.findLogs(); err != nil {
		return err
	}
	if err := a.count(ctx); err != nil {
		return err
	}
	defer func() { a.census.Close() }()
	if err := a.circumstances(ctx); err != nil {
		return err
	}
	if len(a.books.open) == 0 {
		return nil
	}
	lives, err := a.lives(ctx, a.suspects())
	if err != nil {
		return err
	}
	for round := 1; round < auditRounds && a.anyMoves(lives); round++ {
		a.census.Close()
		if err := a.takeCensus(ctx); err != nil {
			return err
		}
		doubtful := lives
		if lives, err = a.lives(ctx, func(id message.ID) bool { return doubtful[id] != nil }); err != nil {
			return err
		}
	}
	a.verdict(lives)
	return nil
}

func (a *auditor) anyMoves(lives map[message.ID]*life) bool {
	for _, l := range lives {
		if a.moves(l) {
			return true
		}
	}
	return false
}

func (a *auditor) findLogs() error {
	if len(a.o.Logs) > 0 {
		return nil
	}
	dirs, err := spool.LogDirs(a.o.Spool)
	if err != nil {
		return err
	}
	if len(dirs) == 0 {
		return fmt.Errorf("the spool does not remember its log directories: name them with --logs")
	}
	a.o.Logs, a.res.Logs = dirs, dirs
	return nil
}

// takeCensus looks who is in the spool, and beside a daemon waits until the records of that moment are in the logs.
func (a *auditor) takeCensus(ctx context.Context) error {
	var err error
	a.cut = time.Now()
	if a.census, err = spool.TakeCensus(ctx, a.o.Spool, nil); err != nil {
		return err
	}
	if a.res.Held = a.census.Held(); !a.res.Held {
		a.cut = time.Time{}
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(auditSettle):
		return nil
	}
}

// circumstances finds out what excuses there are.
func (a *auditor) circumstances(ctx context.Context) error {
	runs, err := Runs(a.o.Spool, a.res.Held)
	if err != nil {
		return err
	}
	for i, r := range runs {
		if !r.Killed {
			continue
		}
		w := window{r.End.Add(-journalRisk), time.Now()}
		if i+1 < len(runs) {
			w.to = runs[i+1].Start
		} else {
			a.open = true
		}
		a.killed = append(a.killed, w)
	}
	a.notes = a.census.Notes() > 0
	if a.lost, err = spool.LostMail(a.o.Spool); err != nil {
		return err
	}
	orders, err := spool.ListOrders(ctx, a.o.Spool, spool.OrderFilter{})
	if err != nil {
		return nil //nolint:nilerr // Check tells of a damaged orders.db
	}
	for _, o := range orders {
		if c, _, err := o.Command(); err == nil && c.Silent {
			a.silent = true
		}
	}
	return nil
}

// journalRisk is how much of the journal a power cut can take, with the time between two signs of life.
const journalRisk = 15 * time.Second

// excused reports that a daemon was killed about then.
func (a *auditor) excused(t time.Time) bool {
	return slices.ContainsFunc(a.killed, func(w window) bool { return w.has(t) })
}

// tell adds findings to the result.
func (a *auditor) tell(f AuditFinding) {
	a.res.Counts[f.Kind]++
	if !f.Excused {
		a.res.Problems++
	}
	if a.res.Counts[f.Kind] <= int64(a.o.Named) {
		a.res.Findings = append(a.res.Findings, f)
	}
}

// verdict judges what does not add up in the end.
func (a *auditor) verdict(lives map[message.ID]*life) {
	list := make([]*life, 0, len(lives))
	for _, l := range lives {
		list = append(list, l)
	}
	slices.SortFunc(list, func(x, y *life) int {
		return cmp.Or(x.last.Compare(y.last), cmp.Compare(x.id.String(), y.id.String()))
	})
	for _, l := range list {
		a.judge(l)
	}
	if n := a.books.beyond(); n > 0 {
		a.res.Counts[AuditMore] += n
		a.res.Problems += n
	}
}
