package spool

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

const (
	indexTick   = 450 * time.Millisecond // a message that is alive after one to two of them gets a row
	indexChunk  = 1000                   // changes in one transaction
	maxGathered = 1 << 18                // changes that wait, 16 bytes each
)

// index writes index.db. Nothing that mail waits for goes through it: it may be behind, fail, or be thrown away.
type index struct {
	s     *Spool
	path  string
	log   *slog.Logger
	found uint32 // the last segment that the start found, 0 for none

	mu      sync.Mutex
	fresh   []message.ID // messages that came since the last tick
	changed []message.ID // indexed messages that changed or ended since the last tick
	seg     uint32       // where the log ends
	end     int64
	idle    bool // there is no database: nothing is gathered
	flood   bool // so much came that nothing is gathered until all rows have been compared

	writing sync.Mutex   // held while rows are written
	ready   bool         // with writing: rows are right but for messages in the lists above and in aging
	aging   indexWork    // with writing: messages that came in the tick before, and where the log ended then
	young   []message.ID // with writing: messages that came in this tick, while it writes

	// Only the goroutine uses these.
	db       *sql.DB
	queues   map[uint32]int64 // number in names to number in table queue
	atSeg    uint32           // the checkpoint in the database
	atEnd    int64
	odd      int                  // rows whose segment is gone, at the last comparison
	suspects map[message.ID]int64 // of them, those that are still to be judged, with their segments
	faults   int                  // in a row
	summed   []queueSum           // what table queue has, by number in names
	uneven   bool                 // rows changed since
	sumAgain time.Time

	orders      mirror
	base        Figures // of earlier runs
	based       bool    // base was read
	told        Figures // what the database has
	figureAgain time.Time
	wait        time.Time // no new try before
	files       [3]uint64 // inodes of the database, its WAL and its shared memory
	probe       probe
}

// indexWork is what one tick gathered, and the end of the log then.
type indexWork struct {
	fresh   []message.ID
	changed []message.ID
	flood   bool
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
		if x.idle || x.flood {
			break
		}
		x.fresh = x.gathered(x.fresh, added[i].id)
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
	if !x.idle && !x.flood {
		x.changed = x.gathered(x.changed, id)
	}
	x.mu.Unlock()
}

// gathered is list with id behind it. A list that is too long is given up: it is cheaper to compare all rows then.
func (x *index) gathered(list []message.ID, id message.ID) []message.ID {
	if len(x.fresh)+len(x.changed) < maxGathered {
		return append(list, id)
	}
	x.flood, x.fresh, x.changed = true, nil, nil
	return nil
}

// gather takes what came since the last tick.
func (x *index) gather() indexWork {
	x.mu.Lock()
	defer x.mu.Unlock()
	w := indexWork{fresh: x.fresh, changed: x.changed, seg: x.seg, end: x.end, flood: x.flood}
	x.fresh, x.changed, x.flood = nil, nil, false
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
	x.closeDB()
	x.mu.Lock()
	x.idle, x.fresh, x.changed, x.flood = true, nil, nil, false
	x.mu.Unlock()
	if isCorrupt(err) || x.faults > 1 {
		if err := removeDB(x.path); err != nil {
			x.log.Error("spool: remove index", "error", err)
		}
	}
}

func (x *index) closeDB() {
	x.writing.Lock()
	x.ready = false
	x.writing.Unlock()
	if x.db != nil {
		x.probe.end()
		_ = x.db.Close()
		x.db = nil
		x.orders.close()
		x.atSeg, x.atEnd = 0, 0
		x.summed, x.uneven, x.sumAgain = nil, false, time.Time{}
	}
}

// step opens and reconciles the database if need be, and writes what is old enough.
func (x *index) step(ctx context.Context) error {
	if x.db == nil {
		if time.Now().Before(x.wait) {
			return nil
		}
		if err := x.open(ctx); err != nil {
			x.closeDB() // what is half open, because the spool is being closed, must not be written to
			return err
		}
		if x.faults > 0 {
			x.log.Info("spool: index works again")
		}
		x.faults = 0
	}
	if now := inodes(x.path); now != x.files {
		return fmt.Errorf("%w: somebody removed or replaced its files while they were in use", errTorn)
	}
	if err := x.probe.verdict(); err != nil {
		return err
	}
	return x.turn(ctx)
}

// inodes tell the files of a database apart from others of the same names: whoever deletes a WAL that is in use has two
// of them, one that we write to and one that others read. 0 is none.
func inodes(path string) (n [3]uint64) {
	for i, suffix := range []string{"", "-wal", "-shm"} {
		if st, err := (OS{}).Stat(path + suffix); err == nil {
			n[i] = st.Inode
		}
	}
	return n
}

// turn writes what changed since the last tick, and what came in the tick before it and is still there.
func (x *index) turn(ctx context.Context) error {
	x.writing.Lock()
	w := x.gather()
	// What a turn that was cut short has left undone is still there.
	w.fresh = append(x.young, w.fresh...)
	x.young = w.fresh
	x.aging.changed, x.aging.flood = append(x.aging.changed, w.changed...), x.aging.flood || w.flood
	x.writing.Unlock()
	due := x.aging
	if due.flood { // that sees everything
		if err := x.reconcile(ctx); err != nil {
			return err
		}
		due = indexWork{seg: w.seg, end: w.end}
	}
	if err := x.write(ctx, due); err != nil {
		return err
	}
	x.writing.Lock()
	x.aging, x.young = indexWork{fresh: w.fresh, seg: w.seg, end: w.end}, nil
	x.writing.Unlock()
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
		x.sumAgain, x.figureAgain = time.Time{}, time.Time{}
		if err := x.turn(ctx); err != nil {
			return
		}
	}
}

// open opens the database and brings it to what the table says now.
func (x *index) open(ctx context.Context) error {
	x.mu.Lock()
	x.idle = false
	x.mu.Unlock()
	x.writing.Lock()
	x.aging, x.young = x.gather(), nil // reconcile sees all of these
	x.writing.Unlock()
	if err := x.openFile(ctx); err != nil {
		return err
	}
	fits, err := x.fits(ctx)
	if err != nil {
		return err
	}
	if !fits {
		x.closeDB()
		if err := removeDB(x.path); err != nil {
			return err
		}
		if err := x.openFile(ctx); err != nil {
			return err
		}
		if err := x.create(ctx); err != nil {
			return err
		}
	}
	if err := x.readQueues(ctx); err != nil {
		return err
	}
	if err := x.readBase(ctx); err != nil {
		return err
	}
	w := x.aging
	if err := x.setMeta(ctx, "ready", "0"); err != nil {
		return err
	}
	if err := x.reconcile(ctx); err != nil {
		return err
	}
	x.uneven = true
	if err := x.checkpoint(ctx, w); err != nil {
		return err
	}
	if err := x.setMeta(ctx, "ready", x.s.run); err != nil {
		return err
	}
	if fits {
		x.probe.begin(ctx, x)
	}
	x.files = inodes(x.path)
	x.writing.Lock()
	x.ready = true
	x.writing.Unlock()
	return nil
}

// openFile opens the database, whatever is in it. A rebuild inserts ids at random places, which is what the cache is for.
func (x *index) openFile(ctx context.Context) error {
	db, err := openDB(ctx, x.path, dbOptions{synchronous: "NORMAL", cache: 12_000})
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(2) // writing, and the probe
	x.db = db
	return nil
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
	if err := x.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return false, err
	}
	if n := x.s.Len(); version != indexVersion {
		switch {
		case version != 0:
			x.log.Info("spool: index is of another version: it is rebuilt", "is", version, "want", indexVersion, "messages", n)
		case n > 0:
			x.log.Info("spool: there is no index: it is built from the log", "messages", n)
		}
		return false, nil
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
		indexTables + indexViews,
		fmt.Sprintf("PRAGMA user_version = %d", indexVersion),
		fmt.Sprintf("INSERT INTO meta VALUES('key', '%s'), ('segment', '0'), ('offset', '0')", keyText(x.s.segs.key)),
	} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return tx.Commit()
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

// checkpoint notes that everything in the log before w's end is in the database, and brings sums, orders and figures
// up to date.
func (x *index) checkpoint(ctx context.Context, w indexWork) error {
	tx, err := x.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // deferred: most often there is nothing to write
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	moved := w.seg != 0 && (w.seg != x.atSeg || w.end != x.atEnd)
	if moved {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO meta VALUES('segment', ?), ('offset', ?)",
			strconv.Itoa(int(w.seg)), strconv.FormatInt(w.end, 10))
		if err != nil {
			return err
		}
	}
	for _, part := range []func(context.Context, *sql.Tx) error{x.sums, x.mirrorOrders, x.putFigures} {
		if err := part(ctx, tx); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if moved {
		x.atSeg, x.atEnd = w.seg, w.end
	}
	return nil
}

func readMeta(ctx context.Context, db *sql.DB, name string) (string, error) {
	var v string
	err := db.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", name).Scan(&v)
	return v, err
}

func indexPath(dir string) string { return filepath.Join(dir, indexName) }
