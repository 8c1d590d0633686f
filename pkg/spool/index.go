package spool

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// indexVersion is the layout of index.db. Another one is thrown away and rebuilt.
const indexVersion = 1

const indexSchema = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE queue (num INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE message (
  seq           INTEGER PRIMARY KEY,
  id            BLOB NOT NULL UNIQUE,
  queue         INTEGER NOT NULL,
  sender        TEXT NOT NULL,
  recipients    TEXT NOT NULL,    -- JSON list
  created       INTEGER NOT NULL, -- nanoseconds since 1970
  due           INTEGER NOT NULL, -- nanoseconds since 1970, 0: now
  attempts      INTEGER NOT NULL,
  size          INTEGER NOT NULL, -- bytes
  last_response TEXT NOT NULL,
  segment       INTEGER NOT NULL, -- where the accept record stands, and the length of its envelope
  offset        INTEGER NOT NULL,
  head          INTEGER NOT NULL,
  shared        INTEGER NOT NULL, -- 1: the body stands with another record
  up_segment    INTEGER NOT NULL, -- where the latest update record stands; 0: there is none
  up_offset     INTEGER NOT NULL
);
CREATE INDEX message_queue ON message(queue);
CREATE VIEW messages AS SELECT lower(hex(m.id)) AS id, q.name AS queue, m.sender, m.recipients,
  m.created / 1e9 AS created, nullif(m.due, 0) / 1e9 AS due, m.attempts, m.size, m.last_response
  FROM message m JOIN queue q ON q.num = m.queue;
CREATE VIEW queues AS SELECT q.name AS queue, count(*) AS messages, sum(m.size) AS bytes,
  min(m.created) / 1e9 AS oldest, min(m.due) / 1e9 AS next_due
  FROM message m JOIN queue q ON q.num = m.queue GROUP BY m.queue;
`

const (
	indexTick  = 450 * time.Millisecond // a message that is alive after one to two of them gets a row
	indexChunk = 1000                   // changes in one transaction
)

// index writes index.db. Nothing that mail waits for goes through it: it may be behind, fail, or be thrown away.
type index struct {
	s    *Spool
	path string
	log  *slog.Logger

	mu      sync.Mutex
	fresh   []message.ID // messages that came since the last tick
	changed []message.ID // indexed messages that changed or ended since the last tick
	seg     uint32       // where the log ends
	end     int64
	idle    bool // there is no database: nothing is gathered

	// Only the goroutine uses these.
	aging  indexWork // of the tick before
	db     *sql.DB
	queues map[uint32]int64 // number in names to number in table queue
	atSeg  uint32           // the checkpoint in the database
	atEnd  int64
	faults int       // in a row
	wait   time.Time // no new try before
}

// indexWork is what one tick gathered, and the end of the log then.
type indexWork struct {
	fresh   []message.ID
	changed []message.ID
	seg     uint32
	end     int64
}

// placed notes messages that were written and where the log now ends.
func (x *index) placed(added []entry, seg uint32, end int64) {
	if x == nil {
		return
	}
	x.mu.Lock()
	for i := range added {
		if x.idle {
			break
		}
		x.fresh = append(x.fresh, added[i].id)
	}
	x.seg, x.end = seg, end
	x.mu.Unlock()
}

// touch notes that an indexed message changed or ended.
func (x *index) touch(id message.ID) {
	if x == nil {
		return
	}
	x.mu.Lock()
	if !x.idle {
		x.changed = append(x.changed, id)
	}
	x.mu.Unlock()
}

// gather takes what came since the last tick.
func (x *index) gather() indexWork {
	x.mu.Lock()
	defer x.mu.Unlock()
	w := indexWork{fresh: x.fresh, changed: x.changed, seg: x.seg, end: x.end}
	x.fresh, x.changed = nil, nil
	return w
}

// run keeps index.db until the spool is closed.
func (x *index) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-x.s.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(indexTick)
	defer tick.Stop()
	for {
		if err := x.step(ctx); err != nil && ctx.Err() == nil {
			x.fault(err)
		}
		select {
		case <-ctx.Done():
			x.finish()
			return
		case <-tick.C:
		}
	}
}

// fault closes the database, and throws it away when it is damaged or failed twice; after a while it is opened and
// compared with the table, or built anew.
func (x *index) fault(err error) {
	if x.faults++; x.faults == 1 {
		x.log.Error("spool: index failed: mail is not affected, lists may be behind", "error", err)
	}
	x.wait = time.Now().Add(min(time.Duration(x.faults)*time.Second, 30*time.Second))
	x.mu.Lock()
	x.idle, x.fresh, x.changed = true, nil, nil
	x.mu.Unlock()
	x.closeDB()
	if isCorrupt(err) || x.faults > 1 {
		if err := removeDB(x.path); err != nil {
			x.log.Error("spool: remove index", "error", err)
		}
	}
}

func (x *index) closeDB() {
	if x.db != nil {
		_ = x.db.Close()
		x.db = nil
		x.atSeg, x.atEnd = 0, 0
	}
}

// step opens and reconciles the database if need be, and writes what is old enough.
func (x *index) step(ctx context.Context) error {
	if x.db == nil {
		if time.Now().Before(x.wait) {
			return nil
		}
		if err := x.open(ctx); err != nil {
			return err
		}
		if x.faults > 0 {
			x.log.Info("spool: index works again")
		}
		x.faults = 0
	}
	if _, err := os.Lstat(x.path); err != nil {
		return err // deleted under us
	}
	w := x.aging
	if err := x.write(ctx, w); err != nil {
		return err
	}
	x.aging = x.gather()
	return nil
}

// finish writes what a last tick can take, so that readers have little to replay.
func (x *index) finish() {
	defer x.closeDB()
	if x.db == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for range 2 {
		if err := x.write(ctx, x.aging); err != nil {
			return
		}
		x.aging = x.gather()
	}
}

// open opens the database and brings it to what the table says now.
func (x *index) open(ctx context.Context) error {
	x.mu.Lock()
	x.idle = false
	x.mu.Unlock()
	x.aging = x.gather() // reconcile sees all of these
	var err error
	if x.db, err = openDB(ctx, x.path, dbOptions{synchronous: "NORMAL"}); err != nil {
		return err
	}
	x.db.SetMaxOpenConns(2)
	fits, err := x.fits(ctx)
	if err != nil {
		return err
	}
	if !fits {
		x.closeDB()
		if err := removeDB(x.path); err != nil {
			return err
		}
		if x.db, err = openDB(ctx, x.path, dbOptions{synchronous: "NORMAL"}); err != nil {
			return err
		}
		if err := x.create(ctx); err != nil {
			return err
		}
	}
	if err := x.readQueues(ctx); err != nil {
		return err
	}
	w := x.aging
	if err := x.setMeta(ctx, "ready", "0"); err != nil {
		return err
	}
	if err := x.reconcile(ctx); err != nil {
		return err
	}
	if err := x.checkpoint(ctx, w); err != nil {
		return err
	}
	return x.setMeta(ctx, "ready", "1")
}

func (x *index) setMeta(ctx context.Context, name, value string) error {
	_, err := x.db.ExecContext(ctx, "INSERT OR REPLACE INTO meta VALUES(?, ?)", name, value)
	return err
}

// keyText names the spool that an index belongs to, without giving its key away to those who may read the index.
func keyText(k segment.Key) string {
	return fmt.Sprintf("%08x", segment.Checksum(fmt.Appendf(nil, "%08x%016x", k.Mark, k.Salt)))
}

// fits reports whether the database is one that this program wrote for this very spool.
func (x *index) fits(ctx context.Context) (bool, error) {
	var version int
	if err := x.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil || version != indexVersion {
		return false, err
	}
	var verdict string
	if err := x.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return false, err
	}
	key, err := readMeta(ctx, x.db, "key")
	if verdict != "ok" || err != nil || key != keyText(x.s.segs.key) {
		x.log.Warn("spool: index does not belong to the log or is damaged: it is rebuilt", "check", verdict)
		return false, nil
	}
	return true, nil
}

func (x *index) create(ctx context.Context) error {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, q := range []string{
		indexSchema,
		fmt.Sprintf("PRAGMA user_version = %d", indexVersion),
		fmt.Sprintf("INSERT INTO meta VALUES('key', '%s'), ('segment', '0'), ('offset', '0')", keyText(x.s.segs.key)),
	} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (x *index) readQueues(ctx context.Context) error {
	x.queues = make(map[uint32]int64)
	rows, err := x.db.QueryContext(ctx, "SELECT num, name FROM queue")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var num int64
		var name string
		if err := rows.Scan(&num, &name); err != nil {
			return err
		}
		x.queues[x.s.names.intern(name)] = num
	}
	return rows.Err()
}

// reconcile compares every row with the table: rows of messages that have ended go, rows that differ are written
// again, and messages without a row get one.
func (x *index) reconcile(ctx context.Context) error {
	x.s.unflag()
	after := int64(0)
	for {
		ids, next, err := x.stale(ctx, after)
		if err != nil {
			return err
		}
		if err := x.apply(ctx, ids, false); err != nil {
			return err
		}
		if next == after {
			break
		}
		after = next
	}
	var ids []message.ID
	var err error
	x.s.table.each(func(e entry) bool {
		if e.flags&flagIndexed != 0 {
			return true
		}
		if ids = append(ids, e.id); len(ids) == indexChunk {
			err = x.apply(ctx, ids, false)
			ids = ids[:0]
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	return x.apply(ctx, ids, false)
}

// stale reads a page of rows after seq, marks the messages that have a good one, and returns those of the others.
func (x *index) stale(ctx context.Context, after int64) (ids []message.ID, next int64, err error) {
	rows, err := x.db.QueryContext(ctx, `SELECT m.seq, m.id, q.name, m.due, m.attempts, m.size, m.segment, m.offset, m.up_segment, m.up_offset
		FROM message m LEFT JOIN queue q ON q.num = m.queue WHERE m.seq > ? ORDER BY m.seq LIMIT ?`, after, indexChunk)
	if err != nil {
		return nil, after, err
	}
	defer rows.Close()
	next = after
	for rows.Next() {
		var raw []byte
		var queue sql.NullString
		var due, attempts, size, seg, off, upSeg, upOff int64
		if err := rows.Scan(&next, &raw, &queue, &due, &attempts, &size, &seg, &off, &upSeg, &upOff); err != nil {
			return nil, after, err
		}
		var id message.ID
		copy(id[:], raw)
		name := x.s.names.intern(queue.String)
		good := false
		x.s.change(id, func(e *entry) {
			good = e.queue == name && e.due == due && int64(e.attempts) == attempts && int64(e.size) == size &&
				int64(e.seg) == seg && int64(e.off) == off && int64(e.upSeg) == upSeg && int64(e.upOff) == upOff
			if good {
				e.flags |= flagIndexed
			}
		})
		if !good {
			ids = append(ids, id)
		}
	}
	return ids, next, rows.Err()
}

// write brings w's messages into the database.
func (x *index) write(ctx context.Context, w indexWork) error {
	for part := range slices.Chunk(w.fresh, indexChunk) {
		if err := x.apply(ctx, part, true); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(w.changed, indexChunk) {
		if err := x.apply(ctx, part, false); err != nil {
			return err
		}
	}
	return x.checkpoint(ctx, w)
}

// checkpoint notes that everything in the log before w's end is in the database.
func (x *index) checkpoint(ctx context.Context, w indexWork) error {
	if w.seg == 0 || w.seg == x.atSeg && w.end == x.atEnd {
		return nil
	}
	_, err := x.db.ExecContext(ctx, "INSERT OR REPLACE INTO meta VALUES('segment', ?), ('offset', ?)",
		strconv.Itoa(int(w.seg)), strconv.FormatInt(w.end, 10))
	if err == nil {
		x.atSeg, x.atEnd = w.seg, w.end
	}
	return err
}

const putRow = `INSERT INTO message(id, queue, sender, recipients, created, due, attempts, size, last_response,
  segment, offset, head, shared, up_segment, up_offset) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
  ON CONFLICT(id) DO UPDATE SET queue = excluded.queue, sender = excluded.sender, recipients = excluded.recipients,
  created = excluded.created, due = excluded.due, attempts = excluded.attempts, size = excluded.size,
  last_response = excluded.last_response, segment = excluded.segment, offset = excluded.offset, head = excluded.head,
  shared = excluded.shared, up_segment = excluded.up_segment, up_offset = excluded.up_offset`

// apply writes or deletes the rows of ids, as the table says. fresh ids have no row yet.
func (x *index) apply(ctx context.Context, ids []message.ID, fresh bool) error {
	live := make([]entry, 0, len(ids))
	var gone []message.ID
	for _, id := range ids {
		e, ok, had := x.s.mark(id)
		switch {
		case ok && !(fresh && had):
			live = append(live, e)
		case !ok && !fresh:
			gone = append(gone, id)
		}
	}
	if len(live)+len(gone) == 0 {
		return nil
	}
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := x.put(ctx, tx, live); err != nil {
		return err
	}
	if err := x.remove(ctx, tx, gone); err != nil {
		return err
	}
	return tx.Commit()
}

func (x *index) put(ctx context.Context, tx *sql.Tx, live []entry) error {
	if len(live) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, putRow)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, e := range live {
		row, err := x.row(ctx, tx, e)
		if err != nil {
			return err
		}
		if _, err := stmt.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	return nil
}

func (x *index) remove(ctx context.Context, tx *sql.Tx, gone []message.ID) error {
	if len(gone) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, "DELETE FROM message WHERE id = ?")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i := range gone {
		if _, err := stmt.ExecContext(ctx, gone[i][:]); err != nil {
			return err
		}
	}
	return nil
}

// mark notes that the message's row is being written, and returns its entry and whether it was noted before.
func (s *Spool) mark(id message.ID) (e entry, live, had bool) {
	live = s.change(id, func(p *entry) {
		had = p.flags&flagIndexed != 0
		p.flags |= flagIndexed
		e = *p
	})
	return e, live, had
}

// unflag forgets which messages have rows.
func (s *Spool) unflag() {
	for i := range s.table.shard {
		shard := &s.table.shard[i]
		shard.Lock()
		for _, c := range shard.chunks {
			for k := range c {
				c[k].flags &^= flagIndexed
			}
		}
		shard.Unlock()
	}
}

// row is the values of e's row; nil when its envelope cannot be read just now.
func (x *index) row(ctx context.Context, tx *sql.Tx, e entry) ([]any, error) {
	m, err := x.s.segs.envelope(e.id, e.place())
	if err != nil {
		x.log.Warn("spool: message cannot be indexed", "id", e.id, "error", err)
		m = &message.Message{}
	}
	queue, err := x.queue(ctx, tx, e.queue)
	if err != nil {
		return nil, err
	}
	return []any{
		e.id[:], queue, m.Sender.String(), recipientsJSON(m), e.created, e.due, int64(e.attempts), int64(e.size), m.LastResponse,
		int64(e.seg), int64(e.off), int64(e.head), e.flags&flagShared != 0, int64(e.upSeg), int64(e.upOff),
	}, nil
}

func recipientsJSON(m *message.Message) string {
	list := make([]string, len(m.Recipients))
	for i, r := range m.Recipients {
		list[i] = r.String()
	}
	b, _ := json.Marshal(list)
	return string(b)
}

// queue is the number that the database has for a queue.
func (x *index) queue(ctx context.Context, tx *sql.Tx, num uint32) (int64, error) {
	if n, ok := x.queues[num]; ok {
		return n, nil
	}
	name := x.s.names.get(num)
	if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO queue(name) VALUES(?)", name); err != nil {
		return 0, err
	}
	var n int64
	if err := tx.QueryRowContext(ctx, "SELECT num FROM queue WHERE name = ?", name).Scan(&n); err != nil {
		return 0, err
	}
	x.queues[num] = n
	return n, nil
}

func readMeta(ctx context.Context, db *sql.DB, name string) (string, error) {
	var v string
	err := db.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", name).Scan(&v)
	return v, err
}

func indexPath(dir string) string { return filepath.Join(dir, indexName) }
