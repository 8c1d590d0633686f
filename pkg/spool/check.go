package spool

import (
	"context"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
)

// CheckOptions say how Check works.
type CheckOptions struct {
	// Repair mends what can be mended. It needs the spool for itself: *HeldError where a daemon has it.
	Repair bool
	// Named bounds how many findings of each kind are listed; all are counted. 0 is 1,000.
	Named int
	// Progress, if not nil, is told how many bytes of the log of how many have been read.
	Progress func(done, total int64)
}

// Finding is one thing that Check found.
type Finding struct {
	Kind    string      `json:"kind"`              // one of the words below
	Path    string      `json:"path,omitempty"`    // of the file, below the spool
	Offset  int64       `json:"offset,omitempty"`  // in a segment
	Length  int64       `json:"length,omitempty"`  // of the damage, in bytes
	ID      *message.ID `json:"id,omitempty"`      // of the message that it is about
	Message *Envelope   `json:"message,omitempty"` // what is still known of it
	Detail  string      `json:"detail"`            // what is wrong, for people
	Lost    bool        `json:"lost"`              // mail is lost by it
	Mended  bool        `json:"mended"`            // by Repair
}

// The kinds of findings.
const (
	FoundDamage   = "damaged record"   // a stretch of a segment that fails its checksums
	FoundMissing  = "missing segment"  // a file of the log that is not there
	FoundLost     = "lost message"     // a message whose records are not there any more
	FoundBody     = "damaged message"  // a live message whose envelope or body cannot be read
	FoundStray    = "stray file"       // a file that does not belong where it is
	FoundIndex    = "index"            // the index is not there, damaged, or disagrees with the log
	FoundOrders   = "orders"           // orders.db is not there, damaged, or disagrees with the log
	FoundFormat   = "format file"      // FORMAT is damaged or not there
	FoundAside    = "set aside"        // what an earlier recovery or repair put into damaged/
	FoundUnfinish = "unfinished order" // messages of an order that was cut short
)

// Envelope is what is still known of a message that is lost or damaged.
type Envelope struct {
	Queue      string         `json:"queue,omitempty"`
	Sender     mail.Address   `json:"sender"`
	Recipients []mail.Address `json:"recipients,omitempty"`
	Created    time.Time      `json:"created,omitzero"`
	Attempts   int            `json:"attempts,omitempty"`
	Size       int            `json:"size,omitempty"`
}

// Report is what Check found. The spool is sound when Problems is 0.
type Report struct {
	Dir      string         `json:"dir"`
	Held     bool           `json:"held"` // a daemon has the spool: what it writes meanwhile is not looked at
	Segments int            `json:"segments"`
	Bytes    int64          `json:"bytes"`
	Records  int64          `json:"records"`  // intact ones
	Live     int            `json:"live"`     // messages, the trash not counted
	OnHold   int            `json:"on_hold"`  // of Live
	Trashed  int            `json:"trashed"`  // messages in the trash
	Standing []Order        `json:"standing"` // orders of which something lasts
	Notes    int            `json:"notes"`    // records of verbs that the next daemon will log
	Torn     int64          `json:"torn"`     // bytes behind the last record, which were never acknowledged: no problem
	Indexed  int            `json:"indexed"`  // rows of the index
	Problems int            `json:"problems"` // findings that are not mended
	Lost     int            `json:"lost"`     // messages that are lost or cannot be delivered
	Counts   map[string]int `json:"counts"`   // findings by kind
	Findings []Finding      `json:"findings"` // at most CheckOptions.Named of each kind
	Took     time.Duration  `json:"took"`
}

// Sound reports that nothing is wrong, or that all that was is mended.
func (r *Report) Sound() bool { return r.Problems == 0 }

// Check verifies the spool in dir: every record of every segment, the bodies that messages share, the index against
// the log, orders.db, strays, and what was set aside. Without Repair it changes nothing and can run beside a daemon.
// What is wrong stands in the report; errors are ErrNoSpool, *HeldError, a newer format, and a disk that cannot be
// read.
func Check(ctx context.Context, dir string, o CheckOptions) (Report, error) {
	panic("skeleton")
}
