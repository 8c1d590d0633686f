package spool

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
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
	Kind     string      `json:"kind"`              // one of the words below
	Path     string      `json:"path,omitempty"`    // of the file, below the spool
	Offset   int64       `json:"offset,omitempty"`  // in a segment
	Length   int64       `json:"length,omitempty"`  // of the damage, in bytes
	ID       *message.ID `json:"id,omitempty"`      // of the message that it is about
	Message  *Envelope   `json:"message,omitempty"` // what is still known of it
	Detail   string      `json:"detail"`            // what is wrong, for people
	Lost     bool        `json:"lost"`              // mail is lost by it
	Harmless bool        `json:"harmless"`          // worth knowing, and no problem
	Mended   bool        `json:"mended"`            // by Repair: another Check will not find it
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
	Queue      string    `json:"queue,omitempty"`
	Sender     string    `json:"sender"`               // wire form, "" for the null sender
	Recipients []string  `json:"recipients,omitempty"` // wire form
	Created    time.Time `json:"created,omitzero"`
	Attempts   int       `json:"attempts,omitempty"`
	Size       int       `json:"size,omitempty"`
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
	Problems int            `json:"problems"` // findings that are neither harmless nor mended
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
	began := time.Now()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Report{}, err
	}
	if o.Named <= 0 {
		o.Named = 1000
	}
	r, err := check(ctx, dir, o)
	if err == nil && o.Repair {
		r, err = repair(ctx, dir, o, r)
	}
	r.Took = time.Since(began)
	if err != nil {
		return r, fmt.Errorf("check spool %s: %w", dir, err)
	}
	return r, nil
}

// checker fills a report.
type checker struct {
	Report
	dir   string
	named int
	log   *logView
	parts []DamagedPart       // that count
	told  map[message.ID]bool // messages of which damage was told
}

func check(ctx context.Context, dir string, o CheckOptions) (Report, error) {
	c := &checker{Report: Report{Dir: dir, Counts: map[string]int{}}, dir: dir, named: o.Named}
	switch there, err := Exists(dir); {
	case err != nil:
		return c.Report, err
	case !there:
		return c.Report, ErrNoSpool
	}
	if pid, _ := Owner(dir); pid != 0 && o.Repair {
		return c.Report, &HeldError{Dir: dir, PID: pid}
	}
	err := c.run(ctx, o)
	return c.Report, err
}

func (c *checker) run(ctx context.Context, o CheckOptions) error {
	orders := c.openOrders(ctx)
	if orders != nil {
		defer orders.Close()
	}
	index := c.openIndex(ctx) // before the log: what it knows is older than what is read
	if index != nil {
		defer index.Close()
	}
	var err error
	if c.log, err = readLog(ctx, c.dir, orders, o.Progress); err != nil {
		return err
	}
	defer c.log.close()
	c.sum()
	c.tellFormat()
	if err := c.tellDamage(ctx); err != nil {
		return err
	}
	if err := c.checkIndex(ctx, index); err != nil {
		return err
	}
	if err := c.checkMessages(ctx); err != nil {
		return err
	}
	if err := c.tellKept(ctx); err != nil {
		return err
	}
	c.tellUnfinished()
	c.tellOrphans()
	c.tellStrays()
	return nil
}

// sum copies the figures of the log.
func (c *checker) sum() {
	l := c.log
	c.Held, c.Segments, c.Bytes, c.Records, c.Torn = l.held, l.found.Segments, l.found.Bytes, l.found.Records, l.found.Torn
	c.OnHold, c.Trashed = l.marks.count()
	c.Live = l.table.len() - c.Trashed
	c.Notes = len(l.notes)
	for _, st := range l.standing {
		c.Standing = append(c.Standing, st.order)
	}
	slices.SortFunc(c.Standing, func(a, b Order) int { return a.Created.Compare(b.Created) })
}

// add counts a finding, and lists it where there is room for more of its kind.
func (c *checker) add(f Finding) {
	c.Counts[f.Kind]++
	if !f.Harmless {
		c.Problems++
	}
	if f.Lost {
		c.Lost++
	}
	if c.Counts[f.Kind] <= c.named {
		c.Findings = append(c.Findings, f)
	}
}

// remember adds what the index knows of a message to the findings about it.
func (c *checker) remember(id message.ID, m *Envelope) {
	for i := range c.Findings {
		if f := &c.Findings[i]; f.ID != nil && *f.ID == id && f.Message == nil {
			f.Message = m
		}
	}
}

func (c *checker) tellFormat() {
	if c.log.format != nil {
		c.add(Finding{Kind: FoundFormat, Path: formatName, Detail: c.log.format.Error() + ": the next start makes it again from a segment"})
	}
}

// tellUnfinished tells of orders that brought mail in and were cut short. A daemon is just doing its own.
func (c *checker) tellUnfinished() {
	if n := c.log.found.Undone; n > 0 && !c.Held {
		c.add(Finding{Kind: FoundUnfinish, Harmless: true, Detail: fmt.Sprintf("%d messages belong to orders that were cut short: the next start carries these out anew", n)})
	}
}

// tellOrphans tells of messages that obey an order which the log has forgotten: its record was damaged or is missing.
func (c *checker) tellOrphans() {
	told := make(map[string]bool)
	for n := range c.log.marks.which(func(segment.Standing) bool { return true }) {
		is := c.log.marks.get(n)
		for _, order := range []string{is.Hold, is.Trash} {
			if order == "" || c.log.standing[order] != nil || told[order] {
				continue
			}
			told[order] = true
			c.add(Finding{
				Kind: FoundOrders, Harmless: true,
				Detail: "messages are held or in the trash by order " + order + ", which the log has forgotten: release and undo find them all the same",
			})
		}
	}
}

// known are the names below a spool that belong there.
var known = []string{
	formatName, formatName + ".new", lockName, logName, damagedName, reserveName, indexName, indexName + "-wal", indexName + "-shm",
	ordersName, ordersName + "-wal", ordersName + "-shm", logDirsName, logDirsName + ".new", "runs", "runs.new",
}

func (c *checker) tellStrays() {
	stray := func(path string) {
		c.add(Finding{Kind: FoundStray, Path: path, Harmless: true, Detail: "it does not belong here and is ignored"})
	}
	for _, name := range c.log.strays {
		stray(filepath.Join(logName, name))
	}
	entries, err := OS{}.ReadDir(c.dir)
	if err != nil {
		return // it has just been read
	}
	slices.SortFunc(entries, func(a, b Dirent) int { return strings.Compare(a.Name, b.Name) })
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name, ordersName+".damaged"):
			c.add(Finding{Kind: FoundAside, Path: e.Name, Harmless: true, Detail: "orders that could not be read"})
		case !slices.Contains(known, e.Name):
			stray(e.Name)
		}
	}
	c.tellAside()
}

func (c *checker) tellAside() {
	entries, err := OS{}.ReadDir(filepath.Join(c.dir, damagedName))
	if err != nil {
		return // there is nothing
	}
	slices.SortFunc(entries, func(a, b Dirent) int { return strings.Compare(a.Name, b.Name) })
	for _, e := range entries {
		c.add(Finding{Kind: FoundAside, Path: filepath.Join(damagedName, e.Name), Harmless: true, Detail: "kept for somebody to look at; nothing needs it"})
	}
}
