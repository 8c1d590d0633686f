package spool

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"kumo/pkg/message"
)

// indexWait is how long a daemon's index may be behind its log.
const indexWait = 1500 * time.Millisecond

// openOrders opens orders.db for looking; nil when it is not there or damaged.
func (c *checker) openOrders(ctx context.Context) *Orders {
	db := c.openDB(ctx, ordersName, FoundOrders, "orders that are waiting in it are lost when the next start sets it aside")
	if db == nil {
		return nil
	}
	return &Orders{db: db}
}

// openIndex opens the index for looking; nil when it cannot be used.
func (c *checker) openIndex(ctx context.Context) *sql.DB {
	if _, err := os.Lstat(filepath.Join(c.dir, indexName)); isMissing(err) {
		c.add(Finding{Kind: FoundIndex, Path: indexName, Harmless: true, Detail: "it is not there: the next start makes it from the log"})
		return nil
	}
	db := c.openDB(ctx, indexName, FoundIndex, "the next start makes it anew from the log")
	if db == nil {
		return nil
	}
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil || version != indexVersion {
		c.add(Finding{
			Kind: FoundIndex, Path: indexName, Harmless: true,
			Detail: fmt.Sprintf("it has layout %d and not %d: the next start makes it anew from the log", version, indexVersion),
		})
		_ = db.Close()
		return nil
	}
	return db
}

// openDB opens a database that exists and is whole.
func (c *checker) openDB(ctx context.Context, name, kind, then string) *sql.DB {
	path := filepath.Join(c.dir, name)
	if _, err := os.Lstat(path); err != nil {
		return nil
	}
	db, err := openDB(ctx, path, dbOptions{readOnly: true})
	if err == nil {
		var verdict string
		if err = db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err == nil && verdict != "ok" {
			err = errors.New(verdict)
		}
		if err == nil {
			return db
		}
		_ = db.Close()
	}
	c.add(Finding{Kind: kind, Path: name, Detail: fmt.Sprintf("it cannot be read: %v; %s", err, then)})
	return nil
}

// indexRow is what the index says about where a message stands.
type indexRow struct {
	seq          int64
	id           message.ID
	queue        string
	due          int64
	attempts     int64
	seg, off     int64
	upSeg, upOff int64
}

// checkIndex compares the index with the log, and finds messages of which only the index knows.
func (c *checker) checkIndex(ctx context.Context, db *sql.DB) error {
	if db == nil {
		return nil
	}
	x := &indexCheck{c: c, db: db, lost: make(map[message.ID]indexRow), gone: make(map[int64]bool)}
	for _, l := range c.log.files {
		x.files = append(x.files, int64(l.num))
	}
	if err := x.current(ctx); err != nil {
		return err
	}
	for next := int64(0); ; {
		rows, err := x.page(ctx, next)
		if err != nil {
			return fmt.Errorf("read the index: %w", err)
		}
		if len(rows) == 0 {
			break
		}
		next = rows[len(rows)-1].seq
		c.Indexed += len(rows)
		for i := range rows {
			x.row(&rows[i])
		}
	}
	if x.exact && x.good < c.log.table.len() {
		x.odd += c.log.table.len() - x.good
	}
	if x.odd > 0 {
		c.add(Finding{Kind: FoundIndex, Path: indexName, Detail: fmt.Sprintf("%d messages stand in it otherwise than in the log: lists are wrong, mail is not affected", x.odd)})
	}
	return x.tellLost(ctx)
}

// indexCheck is a comparison of index and log.
type indexCheck struct {
	c     *checker
	db    *sql.DB
	files []int64
	exact bool // the index should say just what the log says
	good  int
	odd   int
	lost  map[message.ID]indexRow // perhaps
	gone  map[int64]bool          // segments in which the index knows messages
}

// current finds out whether the index was brought up to the end of the log when the last owner left.
func (x *indexCheck) current(ctx context.Context) error {
	var v [3]string
	for i, name := range []string{"key", "segment", "offset"} {
		var err error
		if v[i], err = readMeta(ctx, x.db, name); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read the index: %w", err)
		}
	}
	if v[0] != keyText(x.c.log.segs.key) {
		x.c.add(Finding{Kind: FoundIndex, Path: indexName, Harmless: true, Detail: "it belongs to another spool: the next start makes it anew from the log"})
		return nil
	}
	seg, _ := strconv.ParseUint(v[1], 10, 32)
	off, _ := strconv.ParseInt(v[2], 10, 64)
	last := x.c.log.last()
	x.exact = !x.c.Held && last != 0 && uint32(seg) == last && off == x.c.log.segs.byNum[last].end
	return nil
}

func (x *indexCheck) page(ctx context.Context, after int64) ([]indexRow, error) {
	rows, err := x.db.QueryContext(ctx, `SELECT m.seq, m.id, q.name, m.due, m.attempts, m.segment, m.offset, m.up_segment, m.up_offset
		FROM message m LEFT JOIN queue q ON q.num = m.queue WHERE m.seq > ? ORDER BY m.seq LIMIT ?`, after, indexChunk)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []indexRow
	for rows.Next() {
		var r indexRow
		var raw []byte
		var queue sql.NullString
		if err := rows.Scan(&r.seq, &raw, &queue, &r.due, &r.attempts, &r.seg, &r.off, &r.upSeg, &r.upOff); err != nil {
			return nil, err
		}
		copy(r.id[:], raw)
		r.queue = queue.String
		out = append(out, r)
	}
	return out, rows.Err()
}

// row compares one row with the log.
func (x *indexCheck) row(r *indexRow) {
	shard, h := x.c.log.table.lock(r.id)
	e := shard.get(r.id, h)
	var live entry
	if e != nil {
		live = *e
	}
	shard.Unlock()
	switch {
	case e == nil && (x.missing(r.seg) || x.damaged(r)):
		x.lost[r.id] = *r
	case e == nil:
		x.odd += x.wrong()
	case x.exact && x.c.log.names.get(live.queue) == r.queue && live.due == r.due && int64(live.attempts) == r.attempts &&
		int64(live.seg) == r.seg && int64(live.off) == r.off && int64(live.upSeg) == r.upSeg && int64(live.upOff) == r.upOff:
		x.good++
	case r.upSeg != 0 && x.missing(r.upSeg) && int64(live.seg) == r.seg && int64(live.off) == r.off: // not moved since
		x.good++
		x.gone[r.upSeg] = true
		x.c.add(Finding{
			Kind: FoundMissing, ID: &r.id, Path: filepath.Join(logName, segName(uint32(r.upSeg))),
			Detail: "the latest state of a message stood in it: recipients that were served already may be served again",
		})
	}
}

// wrong is 1 where a difference counts.
func (x *indexCheck) wrong() int {
	if x.exact {
		return 1
	}
	return 0
}

func (x *indexCheck) missing(seg int64) bool {
	_, ok := slices.BinarySearch(x.files, seg)
	return !ok
}

// damaged reports that the row's message stands where the log cannot be read.
func (x *indexCheck) damaged(r *indexRow) bool {
	return slices.ContainsFunc(x.c.parts, func(d DamagedPart) bool {
		return int64(d.Segment) == r.seg && r.off >= d.Offset && r.off < d.Offset+d.Length
	})
}

// tellLost tells of the messages that the index alone knows and that have not ended.
func (x *indexCheck) tellLost(ctx context.Context) error {
	if len(x.lost) == 0 {
		return nil
	}
	known := func(id message.ID) bool { _, ok := x.lost[id]; return ok }
	err := x.c.log.endings(ctx, known, func(id message.ID, _ Ending) { delete(x.lost, id) })
	if err != nil {
		return err
	}
	if x.c.Held && len(x.lost) > 0 { // the daemon may just be about to forget their rows
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(indexWait):
		}
	}
	list := make([]indexRow, 0, len(x.lost))
	for _, r := range x.lost {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b indexRow) int { return cmp.Or(cmp.Compare(a.seg, b.seg), cmp.Compare(a.off, b.off)) })
	for _, r := range list {
		m, still, err := x.envelope(ctx, &r)
		if err != nil {
			return fmt.Errorf("read the index: %w", err)
		}
		if !still {
			continue
		}
		if x.c.told[r.id] {
			x.c.remember(r.id, m)
			continue
		}
		f := Finding{
			Kind: FoundLost, ID: &r.id, Message: m, Lost: true, Path: filepath.Join(logName, segName(uint32(r.seg))), Offset: r.off,
			Detail: "its record cannot be read",
		}
		if x.missing(r.seg) {
			f.Detail = "its segment is not there"
			x.tellGone(r.seg)
		}
		x.c.add(f)
	}
	return nil
}

// tellGone tells once of a missing segment that no other segment remembers.
func (x *indexCheck) tellGone(seg int64) {
	if x.gone[seg] || slices.Contains(x.c.log.found.Missing, uint32(seg)) {
		return
	}
	x.gone[seg] = true
	x.c.missing(uint32(seg))
}

// envelope is what the index knows of a message; false when it has forgotten it meanwhile, or knows another place.
func (x *indexCheck) envelope(ctx context.Context, r *indexRow) (*Envelope, bool, error) {
	var sender, rcpts string
	var created, size, attempts int64
	err := x.db.QueryRowContext(ctx, "SELECT sender, recipients, created, size, attempts FROM message WHERE id = ? AND segment = ? AND offset = ?",
		r.id[:], r.seg, r.off).Scan(&sender, &rcpts, &created, &size, &attempts)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	e := &Envelope{Queue: r.queue, Sender: sender, Created: fromNanos(created), Size: int(size), Attempts: int(attempts)}
	_ = json.Unmarshal([]byte(rcpts), &e.Recipients) // a damaged list is no reason to say nothing
	return e, true, nil
}
