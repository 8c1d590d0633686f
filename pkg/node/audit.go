package node

import (
	"context"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
)

// AuditOptions say what Audit compares.
type AuditOptions struct {
	Spool    string   // directory of the spool
	Logs     []string // log directories; nil: those that the spool remembers
	Named    int      // how many messages of each finding are named; all are counted. 0 is 100
	Progress func(done, total int64)
	Warn     func(error) // hears of damage in logs
}

// AuditResult is what Audit found. Everything is counted by recipient: a message for three has three ends.
type AuditResult struct {
	Spool string    `json:"spool"`
	Logs  []string  `json:"logs"`
	Since time.Time `json:"since,omitzero"` // of the oldest record
	Held  bool      `json:"held"`           // a daemon works on it: messages that moved meanwhile were looked at again

	Records   int64                  `json:"records"`   // of logs, read
	Messages  int64                  `json:"messages"`  // that were received
	Received  int64                  `json:"received"`  // recipients of them
	Ended     map[journal.Type]int64 `json:"ended"`     // recipients by the record that ended them
	Undone    int64                  `json:"undone"`    // bounces that were taken back
	Queued    int64                  `json:"queued"`    // recipients that are still in the spool
	Discarded int64                  `json:"discarded"` // ended without a record because somebody asked for that
	Before    int64                  `json:"before"`    // recipients of mail from before the oldest record, not judged
	Moving    int64                  `json:"moving"`    // recipients whose message did not stand still, beside a daemon only
	Unlogged  int64                  `json:"unlogged"`  // records that died with the process; the next start writes them
	Problems  int64                  `json:"problems"`  // recipients of the findings that break conservation
	Counts    map[string]int64       `json:"counts"`    // recipients by kind of finding
	Findings  []AuditFinding         `json:"findings"`  // at most Named of each kind
	Took      time.Duration          `json:"took"`
}

// AuditFinding is a recipient whose life does not add up.
type AuditFinding struct {
	Kind      string         `json:"kind"`
	ID        message.ID     `json:"id"`
	Recipient string         `json:"recipient"`
	Time      time.Time      `json:"time"` // of the last record about it
	Ends      []journal.Type `json:"ends,omitempty"`
	Detail    string         `json:"detail"`
}

// The kinds of findings. AuditRepeated breaks nothing: a crash between a peer's answer and the note of it can cause it.
const (
	AuditLost       = "lost"       // received, and neither ended nor in the spool
	AuditUnrecorded = "unrecorded" // the spool says that it ended, the log does not
	AuditUnreceived = "unreceived" // ended or in the spool, and never received according to the log
	AuditBoth       = "both"       // ended, and in the spool all the same
	AuditRepeated   = "repeated"   // ended more than once
)

// OK reports that every reception has its end or is in the spool.
func (r *AuditResult) OK() bool { return r.Problems == 0 }

// Audit proves conservation from spool and logs, independently of each other: every recipient of every Reception has
// exactly one end (Delivery, Bounce, Expiration, AdminBounce that was not undone, XferOut, or a discard that somebody
// asked for), or is in the spool.
func Audit(ctx context.Context, o AuditOptions) (*AuditResult, error) {
	panic("skeleton")
}
