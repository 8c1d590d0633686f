package spool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// ErrNoSpool is a directory without a spool. Verbs exit with 10.
var ErrNoSpool = errors.New("no spool here")

// Reader looks at a spool, whether a daemon owns it or not, and changes nothing. Beside a daemon it is at most a
// second behind; without one it replays the end of the log in memory, so that nothing acknowledged is missing.
// It is for one goroutine.
type Reader struct {
	dir   string
	segs  *segments
	names names
	held  bool
	late  bool      // the log's end was replayed: what happens from now on is not seen
	db    *sql.DB   // nil when the index cannot be used
	conn  *sql.Conn // one, so that what is temporary can be found

	// What the index does not know yet, or not any more.
	extra  table
	marks  marks
	hidden map[message.ID]bool // rows of the index that do not count
	// Orders that the end of the log says something lasts of, and those of which nothing lasts any more (nil).
	standing map[string]*Order
	found    Recovery
	pages    *pages // made when a match needs it
	veiled   bool   // temp.hidden is there

	blind bool    // the index is not asked
	again *Reader // blind, see anew

	progress func(done, total int64) // may be nil
	spare    []Row                   // memory of a page that nobody uses now

	shadowed bool    // temporary views are there
	blank    *sql.DB // in place of an index that cannot be used
}

// ReaderOptions are what OpenReader need not be told.
type ReaderOptions struct {
	// Progress, if not nil, is told how many bytes of how many of the log have been read, where it must be read: without
	// an owner its end, without an index that can be used all of it.
	Progress func(done, total int64)
}

// OpenReader opens the spool in dir for reading. Errors: ErrNoSpool, a newer format, those of the disk.
func OpenReader(ctx context.Context, dir string, options ...ReaderOptions) (*Reader, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := newReader(dir)
	for _, o := range options {
		r.progress = o.Progress
	}
	if err := r.open(ctx); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("read spool %s: %w", dir, err)
	}
	return r, nil
}

func newReader(dir string) *Reader {
	return &Reader{dir: dir, hidden: make(map[message.ID]bool), standing: make(map[string]*Order)}
}

func (r *Reader) open(ctx context.Context) error {
	b, err := readSmall(OS{}, filepath.Join(r.dir, formatName))
	if isMissing(err) {
		return fmt.Errorf("%w: there is no %s", ErrNoSpool, formatName)
	}
	if err != nil {
		return explain(err, r.dir)
	}
	logDir := filepath.Join(r.dir, logName)
	key, _, err := parseFormat(string(b))
	if errors.Is(err, segment.ErrHeader) {
		key, err = keyFromLog(OS{}, logDir)
	}
	if err != nil {
		return err
	}
	r.segs = newSegments(OS{}, logDir, key)
	r.held, err = OS{}.Locked(filepath.Join(r.dir, lockName))
	if err != nil && !isMissing(err) {
		return explain(err, r.dir)
	}
	seg, off, run := uint32(0), int64(0), ""
	if !r.blind {
		seg, off, run = r.openIndex(ctx)
	}
	_, owner := lockOwner(OS{}, filepath.Join(r.dir, lockName))
	if r.db == nil || !r.held || run != owner { // nobody keeps the index up to date, or not yet
		r.late = true
		if r.db != nil && r.outlived(seg) {
			r.closeIndex()
			seg, off = 0, 0
		}
		if err := r.catchUp(ctx, seg, off); err != nil {
			return err
		}
	}
	r.segs.discover = true
	r.extra.each(func(e entry) bool {
		r.hidden[e.id] = true
		return true
	})
	return nil
}

// outlived reports that the log has been compacted beyond the checkpoint of an index that nobody kept up to date, such as
// one restored from a backup. What ended since is told by nothing any more; but what is alive stands in the log.
func (r *Reader) outlived(seg uint32) bool {
	_, err := OS{}.Stat(r.segs.path(seg))
	return isMissing(err)
}

func (r *Reader) closeIndex() {
	_ = r.conn.Close()
	_ = r.db.Close()
	r.conn, r.db = nil, nil
}

// openIndex opens the index and returns its checkpoint, and the run of the owner that made it ready. An index that
// cannot be used is as good as none.
func (r *Reader) openIndex(ctx context.Context) (seg uint32, off int64, run string) {
	db, err := openDB(ctx, filepath.Join(r.dir, indexName), dbOptions{readOnly: true})
	if err != nil {
		return 0, 0, ""
	}
	conn, err := db.Conn(ctx)
	if err == nil {
		seg, off, run, err = r.checkpoint(ctx, db)
	}
	if err != nil || seg == 0 {
		if conn != nil {
			_ = conn.Close()
		}
		_ = db.Close()
		return 0, 0, ""
	}
	r.db, r.conn = db, conn
	return seg, off, run
}

func (r *Reader) checkpoint(ctx context.Context, db *sql.DB) (seg uint32, off int64, run string, err error) {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil || version != indexVersion {
		return 0, 0, "", err
	}
	var v [4]string
	for i, name := range []string{"key", "ready", "segment", "offset"} {
		if v[i], err = readMeta(ctx, db, name); err != nil {
			return 0, 0, "", err
		}
	}
	if v[0] != keyText(r.segs.key) || v[1] == "0" {
		return 0, 0, "", nil
	}
	n, err := strconv.ParseUint(v[2], 10, 32)
	if err != nil {
		return 0, 0, "", err
	}
	off, err = strconv.ParseInt(v[3], 10, 64)
	return uint32(n), off, v[1], err
}

// Held reports whether a process owned the spool when the reader was opened.
func (r *Reader) Held() bool { return r.held }

// Live reports that the reader follows what the owner of the spool does. Otherwise it goes on to say what there was
// when it was opened.
func (r *Reader) Live() bool { return !r.late }

// Close ends reading.
func (r *Reader) Close() error {
	var err error
	if r.conn != nil {
		err = r.conn.Close()
	}
	if r.db != nil {
		err = errors.Join(err, r.db.Close())
	}
	if r.again != nil {
		err = errors.Join(err, r.again.Close())
	}
	if r.blank != nil {
		err = errors.Join(err, r.blank.Close())
	}
	if r.pages != nil {
		r.pages.close()
	}
	if r.segs != nil {
		r.segs.close(slog.New(slog.DiscardHandler))
	}
	return err
}

// gone turns "the segment is not there" into ErrGone: the owner deleted it because its mail has ended.
func (r *Reader) gone(err error) error {
	if isMissing(err) {
		return ErrGone
	}
	return err
}

// Get returns the row of a live message, also of one that is held or trashed. Errors: ErrGone.
func (r *Reader) Get(ctx context.Context, id message.ID) (Row, error) {
	shard, h := r.extra.lock(id)
	e := shard.get(id, h)
	var found entry
	if e != nil {
		found = *e
	}
	shard.Unlock()
	if e != nil {
		known := r.entry(&found)
		return r.extraRow(&known)
	}
	if r.hidden[id] {
		return Row{}, fmt.Errorf("message %s: %w", id, ErrGone)
	}
	row, err := r.row(ctx, id)
	if err != nil {
		return Row{}, fmt.Errorf("message %s: %w", id, err)
	}
	return row, nil
}

// Message returns a live message with its metadata; its body is read from the log when asked for. Errors: ErrGone,
// ErrDamaged.
func (r *Reader) Message(ctx context.Context, id message.ID) (*message.Message, error) {
	row, err := r.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	m, err := r.segs.envelope(id, row.at)
	if isMissing(err) && !r.blind {
		if anew, err := r.anew(ctx); err == nil {
			return anew.Message(ctx, id)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", id, r.gone(err))
	}
	m.Queue, m.Due, m.Attempts = row.Queue, row.Due, row.Attempts
	m.SetLoader(readerBody{ctx, r, row.at})
	return m, nil
}

// anew reads the whole log: the segment of a message is gone although the index says that it is alive. Either it has
// ended a moment ago, or it was copied to the end of the log and the index does not know yet.
func (r *Reader) anew(ctx context.Context) (*Reader, error) {
	if r.again == nil {
		again := newReader(r.dir)
		again.blind, again.progress = true, r.progress
		if err := again.open(ctx); err != nil {
			return nil, errors.Join(err, again.Close())
		}
		r.again = again
	}
	return r.again, nil
}

// readerBody loads the body of one message.
type readerBody struct {
	ctx context.Context // of the call that asked for the message
	r   *Reader
	at  place
}

// Body implements message.Body.
func (b readerBody) Body(id message.ID) ([]byte, error) {
	body, err := b.r.segs.body(id, b.at)
	if isMissing(err) && !b.r.blind {
		if anew, err := b.r.anew(b.ctx); err == nil {
			if m, err := anew.Message(b.ctx, id); err == nil {
				return m.Data()
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("body of message %s: %w", id, b.r.gone(err))
	}
	return body, nil
}
