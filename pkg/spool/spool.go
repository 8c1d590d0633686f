package spool

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/option"
)

// Ending says why a message leaves the spool.
type Ending uint8

// The endings. Delivered covers every hand-over to somebody who took responsibility.
const (
	EndDelivered Ending = iota + 1
	EndBounced
	EndExpired
	EndAdminBounced
	EndDiscarded
	EndUndone // part of an order that was not completed before a crash, and that will be carried out again
)

// Entry is a live message as the spool's table knows it, without its envelope and body.
type Entry struct {
	ID       message.ID
	Queue    string
	Created  time.Time
	Due      time.Time // zero: now
	Attempts int
	Size     int // bytes of the body
	State    State
	Order    string // that an OnHold or Trashed message obeys
}

// Config is what Open needs to know.
type Config struct {
	Dir string // the path of the spool named "data"; made if it does not exist

	FS          FS    // where the log is; nil is OS{}
	SegmentSize int64 // a segment that reached it gets no more records; 0 is 64 MiB
	Reserve     int64 // bytes kept back for the records that empty a full disk; 0 is 1 MiB, negative none

	// Refuse new mail below so much free space (Space); the zero values never do.
	MinFreeSpace  option.Amount
	MinFreeInodes option.Amount

	// TrashKeep is how long a bounce can be undone; 0 is an hour, negative: bounces end their messages at once.
	TrashKeep time.Duration

	// LogDirs is where the log records about the spool's mail are, absolute; the spool remembers it for verbs (LogDirs).
	// nil leaves what it remembers.
	LogDirs []string

	// NoIndex leaves out index.db and orders.db, for tests whose FS they do not go through.
	NoIndex bool

	repair bool // somebody who repairs opens it, and is told of mail that is lost

	Log *slog.Logger     // nil is slog.Default()
	Now func() time.Time // nil is time.Now

	// Owned, if not nil, is called once the spool belongs to this process, before anything is recovered. Its error
	// ends Open.
	Owned func() error

	// Progress, if not nil, is told during recovery how many bytes of how many have been read.
	Progress func(done, total int64)
}

// Spool is the open spool of the one process that owns it. Its methods may be called from many goroutines.
type Spool struct {
	cfg    Config
	log    *slog.Logger
	locks  []io.Closer
	table  table
	names  names
	marks  marks
	segs   *segments
	commit *committer
	health *health
	index  *index // nil when there is none
	orders *Orders
	stats  counters
	works  sync.Pool // of *work
	found  Recovery
	active atomic.Uint32 // number of the segment in use
	inode  uint64        // of the log's directory
	run    string        // random, of this ownership; readers tell by it whose index they look at

	ordersMu  sync.Mutex
	done      map[string]*doneOrder
	standing  map[string]*standing
	notes     []note
	noteSeq   uint64 // of the latest note
	notesRead []note // by the latest Notes

	compacting turn // held while mail is copied
	compactor  compactor
	short      atomic.Bool // less room than min_free_space wants
	emptied    time.Time   // when the trash was last emptied for want of room

	applying  turn // held while the record of a change is on its way to the disk
	beginning turn // held while an order is begun

	closed chan struct{}
	keeper sync.WaitGroup
}

// doneOrder is an order whose order-done record is in the log. seg 0 means that it is being written.
type doneOrder struct {
	ids []message.ID
	seg uint32
}

// counters of a spool since it was opened.
type counters struct {
	accepted, ended, syncs, failures atomic.Int64
	bytes                            atomic.Int64
	endings                          [EndUndone + 1]atomic.Int64
	retried                          atomic.Int64 // attempts that failed for the time being

	copies, copiedBytes, compacted atomic.Int64
}

// Stats are figures for metrics and `spool stats`.
type Stats struct {
	Live     int   `json:"live"`     // messages, those held and trashed included
	Held     int   `json:"held"`     // messages on hold
	Trashed  int   `json:"trashed"`  // messages in the trash
	Segments int   `json:"segments"` // files of the log
	Bytes    int64 `json:"bytes"`    // of the log
	Accepted int64 `json:"accepted"` // messages since the start
	Ended    int64 `json:"ended"`    // messages since the start
	Syncs    int64 `json:"syncs"`    // of the log since the start
	Failures int64 `json:"failures"` // writes and syncs that failed since the start
	Written  int64 `json:"written"`  // bytes appended since the start

	LiveBytes  int64      `json:"live_bytes"` // of the log that live mail needs, about
	Compaction Compaction `json:"compaction"`
	Endings    Endings    `json:"endings"` // of messages since the start, by kind

	// Busy is how long the write or sync that goes on now has taken, for a watchdog.
	Busy time.Duration `json:"busy"`
}

// Compaction is what was copied so that old segments could go, since the start.
type Compaction struct {
	Messages int64 `json:"messages"` // records copied
	Bytes    int64 `json:"bytes"`    // written for it, contained in Stats.Written
	Segments int64 `json:"segments"` // emptied by it
}

// Endings counts messages by how they ended.
type Endings struct {
	Delivered    int64 `json:"delivered"`
	Bounced      int64 `json:"bounced"`
	Expired      int64 `json:"expired"`
	AdminBounced int64 `json:"admin_bounced"` // by orders, without those that wait in the trash
	Discarded    int64 `json:"discarded"`
}

// Stats returns the spool's figures.
func (s *Spool) Stats() Stats {
	n, size := s.segs.count()
	held, trashed := s.marks.count()
	return Stats{
		Live: s.table.len(), Held: held, Trashed: trashed, Segments: n, Bytes: size,
		Accepted: s.stats.accepted.Load(), Ended: s.stats.ended.Load(), Syncs: s.stats.syncs.Load(),
		Failures: s.stats.failures.Load(), Written: s.stats.bytes.Load(),
		Busy: s.commit.busy(), LiveBytes: s.segs.usage().mail,
		Compaction: Compaction{
			Messages: s.stats.copies.Load(), Bytes: s.stats.copiedBytes.Load(), Segments: s.stats.compacted.Load(),
		},
		Endings: Endings{
			Delivered: s.ends(EndDelivered), Bounced: s.ends(EndBounced), Expired: s.ends(EndExpired),
			AdminBounced: s.ends(EndAdminBounced), Discarded: s.ends(EndDiscarded),
		},
	}
}

func (s *Spool) ends(why Ending) int64 { return s.stats.endings[why].Load() }

// Recovery says what Open found.
func (s *Spool) Recovery() Recovery { return s.found }

// Len is the number of live messages.
func (s *Spool) Len() int { return s.table.len() }

// Live calls f for every live message, OnHold and Trashed ones included, in no order, until f returns false.
func (s *Spool) Live(f func(Entry) bool) {
	s.table.each(func(e entry) bool {
		return f(s.entry(&e))
	})
}

// LiveShare is Live for one of so many parts of the messages, so that several goroutines can share the work.
func (s *Spool) LiveShare(part, parts int, f func(Entry) bool) {
	s.table.share(part, parts, func(e entry) bool { return f(s.entry(&e)) })
}

// entry is what others may know of e.
func (s *Spool) entry(e *entry) Entry {
	return Entry{
		ID: e.id, Queue: s.names.get(e.queue), Created: fromNanos(e.created), Due: fromNanos(e.due),
		Attempts: int(e.attempts), Size: int(e.size), State: e.state(), Order: s.marks.order(e),
	}
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}
