package spool

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// ErrNoSpool is a directory without a spool. Verbs exit with 10.
var ErrNoSpool = errors.New("no spool here")

// Row is a live message as verbs list it.
type Row struct {
	ID           message.ID `json:"id"`
	Queue        string     `json:"queue"`
	Sender       string     `json:"sender"`
	Recipients   []string   `json:"recipients"`
	Created      time.Time  `json:"created"`
	Due          time.Time  `json:"due,omitzero"` // zero: now
	Attempts     int        `json:"attempts"`
	Size         int        `json:"size"`
	LastResponse string     `json:"last_response,omitempty"`

	at place
}

// Filter says which rows List wants. The zero value wants all.
type Filter struct {
	Queue string // scheduled queue name, "" for all
}

// QueueRow is one scheduled queue in a summary.
type QueueRow struct {
	Queue    string    `json:"queue"`
	Messages int       `json:"messages"`
	Bytes    int64     `json:"bytes"`
	Oldest   time.Time `json:"oldest"`   // reception of the oldest message
	NextDue  time.Time `json:"next_due"` // earliest next attempt; zero: now
}

// Reader looks at a spool, whether a daemon owns it or not, and changes nothing. Beside a daemon it is at most a
// second behind; without one it replays the end of the log in memory, so that nothing acknowledged is missing.
// It is for one goroutine.
type Reader struct {
	dir   string
	segs  *segments
	names names
	held  bool
	db    *sql.DB   // nil when the index cannot be used
	conn  *sql.Conn // holds temp.hidden

	// What the index does not know yet, or not any more.
	extra  table
	hidden map[message.ID]bool // rows of the index that do not count
	found  Recovery
}

// rowPage is how many rows are read at a time. No transaction is open between pages, so that a reader that somebody
// paused does not make the WAL grow.
const rowPage = 1000

// OpenReader opens the spool in dir for reading. Errors: ErrNoSpool, a newer format, those of the disk.
func OpenReader(ctx context.Context, dir string) (*Reader, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := &Reader{dir: dir, hidden: make(map[message.ID]bool)}
	if err := r.open(ctx); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("read spool %s: %w", dir, err)
	}
	return r, nil
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
	key, err := parseFormat(string(b))
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
	seg, off := r.openIndex(ctx)
	if r.db == nil || !r.held {
		if err := r.replay(ctx, seg, off); err != nil {
			return err
		}
	}
	r.segs.discover = true
	return r.hide(ctx)
}

// openIndex opens the index and returns its checkpoint. An index that cannot be used is as good as none.
func (r *Reader) openIndex(ctx context.Context) (seg uint32, off int64) {
	db, err := openDB(ctx, filepath.Join(r.dir, indexName), dbOptions{readOnly: true})
	if err != nil {
		return 0, 0
	}
	conn, err := db.Conn(ctx)
	if err == nil {
		seg, off, err = r.checkpoint(ctx, db)
	}
	if err != nil || seg == 0 {
		if conn != nil {
			_ = conn.Close()
		}
		_ = db.Close()
		return 0, 0
	}
	r.db, r.conn = db, conn
	return seg, off
}

func (r *Reader) checkpoint(ctx context.Context, db *sql.DB) (seg uint32, off int64, err error) {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil || version != indexVersion {
		return 0, 0, err
	}
	key, err := readMeta(ctx, db, "key")
	if err != nil || key != keyText(r.segs.key) {
		return 0, 0, err
	}
	ready, err := readMeta(ctx, db, "ready")
	if err != nil || ready != "1" {
		return 0, 0, err
	}
	s, err := readMeta(ctx, db, "segment")
	if err != nil {
		return 0, 0, err
	}
	o, err := readMeta(ctx, db, "offset")
	if err != nil {
		return 0, 0, err
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, 0, err
	}
	off, err = strconv.ParseInt(o, 10, 64)
	return uint32(n), off, err
}

// replay reads the log behind the checkpoint, all of it when there is none.
func (r *Reader) replay(ctx context.Context, seg uint32, off int64) error {
	files, _, err := listLog(OS{}, r.segs.dir)
	if err != nil {
		return explain(err, r.dir)
	}
	if err := readHeaders(OS{}, r.segs, files); err != nil {
		return explain(err, r.dir)
	}
	changed := make(map[message.ID]entry)
	rp := &replayer{
		fsys: OS{}, dir: r.segs.dir, key: r.segs.key, log: slog.New(slog.DiscardHandler), table: &r.extra, names: &r.names,
		segs: r.segs, found: &r.found, done: make(map[string]*doneOrder), fromSeg: seg, fromOff: off,
	}
	if seg > 0 {
		rp.orphan = func(kind segment.Kind, id message.ID, e entry) {
			r.hidden[id] = true
			old, had := changed[id]
			switch {
			case kind == segment.End:
				delete(changed, id)
				return
			case kind == segment.Reschedule && had:
				old.due, old.attempts = e.due, e.attempts
				e = old
			case kind == segment.Reschedule:
				e.flags = flagPartial
			}
			changed[id] = e
		}
	}
	if err := rp.run(ctx, files); err != nil {
		return explain(err, r.dir)
	}
	rp.settle()
	return r.merge(ctx, changed)
}

// flagPartial marks the entry of a changed message of which only due and attempts are known.
const flagPartial uint8 = 0x80

// merge brings the rows of messages that changed after the checkpoint up to date.
func (r *Reader) merge(ctx context.Context, changed map[message.ID]entry) error {
	for id, c := range changed {
		row, err := r.row(ctx, id)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return err
		}
		e := entry{
			id: id, created: nanos(row.Created), due: c.due, attempts: c.attempts, seg: row.at.seg, off: row.at.off,
			head: row.at.head, size: row.at.size, queue: c.queue, upSeg: c.upSeg, upOff: c.upOff,
		}
		if c.flags == flagPartial {
			e.queue, e.upSeg, e.upOff = r.names.intern(row.Queue), row.at.upSeg, row.at.upOff
		}
		if row.at.shared {
			e.flags |= flagShared
		}
		shard, h := r.extra.lock(id)
		if shard.get(id, h) == nil {
			shard.put(e, h)
		}
		shard.Unlock()
	}
	return nil
}

// hide tells SQLite which rows do not count: those that ended or changed, and those that the log's end has too.
func (r *Reader) hide(ctx context.Context) error {
	if r.db == nil {
		return nil
	}
	if _, err := r.conn.ExecContext(ctx, "PRAGMA query_only(0)"); err != nil {
		return err
	}
	if _, err := r.conn.ExecContext(ctx, "CREATE TEMP TABLE hidden(id BLOB PRIMARY KEY) WITHOUT ROWID"); err != nil {
		return err
	}
	r.extra.each(func(e entry) bool {
		r.hidden[e.id] = true
		return true
	})
	tx, err := r.conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for id := range r.hidden {
		if _, err := tx.ExecContext(ctx, "INSERT INTO temp.hidden VALUES(?)", id[:]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Held reports whether a process owned the spool when the reader was opened.
func (r *Reader) Held() bool { return r.held }

// Close ends reading.
func (r *Reader) Close() error {
	var err error
	if r.conn != nil {
		err = r.conn.Close()
	}
	if r.db != nil {
		err = errors.Join(err, r.db.Close())
	}
	if r.segs != nil {
		r.segs.close(slog.New(slog.DiscardHandler))
	}
	return err
}

const rowColumns = `m.seq, m.id, q.name, m.sender, m.recipients, m.created, m.due, m.attempts, m.size, m.last_response,
  m.segment, m.offset, m.head, m.shared, m.up_segment, m.up_offset
  FROM message m JOIN queue q ON q.num = m.queue `

func scanRow(rows interface{ Scan(...any) error }) (Row, int64, error) {
	var r Row
	var seq, created, due int64
	var id []byte
	var recipients string
	err := rows.Scan(&seq, &id, &r.Queue, &r.Sender, &recipients, &created, &due, &r.Attempts, &r.Size, &r.LastResponse,
		&r.at.seg, &r.at.off, &r.at.head, &r.at.shared, &r.at.upSeg, &r.at.upOff)
	if err != nil {
		return r, 0, err
	}
	copy(r.ID[:], id)
	r.Created, r.Due, r.at.size = fromNanos(created), fromNanos(due), uint32(r.Size)
	return r, seq, json.Unmarshal([]byte(recipients), &r.Recipients)
}

// List calls f for every live message that the filter wants, those of the index in the order of their coming. An
// error of f ends it and is returned.
func (r *Reader) List(ctx context.Context, want Filter, f func(Row) error) error {
	if r.db != nil {
		if err := r.listIndex(ctx, want, f); err != nil {
			return err
		}
	}
	var err error
	r.extra.each(func(e entry) bool {
		if want.Queue != "" && r.names.get(e.queue) != want.Queue {
			return true
		}
		var row Row
		if row, err = r.extraRow(&e); errors.Is(err, ErrGone) {
			err = nil
			return true
		}
		if err == nil {
			err = f(row)
		}
		return err == nil
	})
	return err
}

func (r *Reader) listIndex(ctx context.Context, want Filter, f func(Row) error) error {
	query := "SELECT " + rowColumns + "WHERE m.seq > ? AND m.id NOT IN (SELECT id FROM temp.hidden) ORDER BY m.seq LIMIT ?"
	args := []any{int64(0), rowPage}
	if want.Queue != "" {
		query = "SELECT " + rowColumns + `WHERE m.queue = (SELECT num FROM queue WHERE name = ?) AND m.seq > ?
			AND m.id NOT IN (SELECT id FROM temp.hidden) ORDER BY m.seq LIMIT ?`
		args = []any{want.Queue, int64(0), rowPage}
	}
	page := make([]Row, 0, rowPage)
	for {
		var err error
		var last int64
		if page, last, err = r.page(ctx, page[:0], query, args); err != nil {
			return fmt.Errorf("list messages: %w", err)
		}
		for _, row := range page {
			if err := f(row); err != nil {
				return err
			}
		}
		if len(page) < rowPage {
			return nil
		}
		args[len(args)-2] = last
	}
}

func (r *Reader) page(ctx context.Context, page []Row, query string, args []any) ([]Row, int64, error) {
	rows, err := r.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return page, 0, err
	}
	defer rows.Close()
	last := int64(0)
	for rows.Next() {
		row, seq, err := scanRow(rows)
		if err != nil {
			return page, last, err
		}
		page, last = append(page, row), seq
	}
	return page, last, rows.Err()
}

// row reads a row of the index.
func (r *Reader) row(ctx context.Context, id message.ID) (Row, error) {
	if r.db == nil {
		return Row{}, ErrGone
	}
	row, _, err := scanRow(r.conn.QueryRowContext(ctx, "SELECT "+rowColumns+"WHERE m.id = ?", id[:]))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrGone
	}
	return row, err
}

// extraRow makes a row of a message that the index does not have.
func (r *Reader) extraRow(e *entry) (Row, error) {
	m, err := r.segs.envelope(e.id, e.place())
	if err != nil {
		return Row{}, r.gone(err)
	}
	row := Row{
		ID: e.id, Queue: r.names.get(e.queue), Sender: m.Sender.String(), Created: fromNanos(e.created), Due: fromNanos(e.due),
		Attempts: int(e.attempts), Size: int(e.size), LastResponse: m.LastResponse, at: e.place(),
		Recipients: make([]string, len(m.Recipients)),
	}
	for i, a := range m.Recipients {
		row.Recipients[i] = a.String()
	}
	return row, nil
}

// gone turns "the segment is not there" into ErrGone: the owner deleted it because its mail has ended.
func (r *Reader) gone(err error) error {
	if isMissing(err) {
		return ErrGone
	}
	return err
}

// Get returns the row of a live message. Errors: ErrGone.
func (r *Reader) Get(ctx context.Context, id message.ID) (Row, error) {
	shard, h := r.extra.lock(id)
	e := shard.get(id, h)
	var found entry
	if e != nil {
		found = *e
	}
	shard.Unlock()
	if e != nil {
		return r.extraRow(&found)
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
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", id, r.gone(err))
	}
	m.Queue, m.Due, m.Attempts = row.Queue, row.Due, row.Attempts
	m.SetLoader(readerBody{r, row.at})
	return m, nil
}

// readerBody loads the body of one message.
type readerBody struct {
	r  *Reader
	at place
}

// Body implements message.Body.
func (b readerBody) Body(id message.ID) ([]byte, error) {
	body, err := b.r.segs.body(id, b.at)
	if err != nil {
		return nil, fmt.Errorf("body of message %s: %w", id, b.r.gone(err))
	}
	return body, nil
}

// Queues sums up the scheduled queues that have messages, by name.
func (r *Reader) Queues(ctx context.Context) ([]QueueRow, error) {
	sums := make(map[string]*QueueRow)
	if r.db != nil {
		if err := r.sumIndex(ctx, sums); err != nil {
			return nil, fmt.Errorf("summarise queues: %w", err)
		}
	}
	r.extra.each(func(e entry) bool {
		addQueue(sums, r.names.get(e.queue), 1, int64(e.size), e.created, e.due)
		return true
	})
	return sortQueues(sums), nil
}

func (r *Reader) sumIndex(ctx context.Context, sums map[string]*QueueRow) error {
	rows, err := r.conn.QueryContext(ctx, `SELECT q.name, count(*), sum(m.size), min(m.created), min(m.due) FROM message m
		JOIN queue q ON q.num = m.queue WHERE m.id NOT IN (SELECT id FROM temp.hidden) GROUP BY m.queue`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var n int
		var size, created, due int64
		if err := rows.Scan(&name, &n, &size, &created, &due); err != nil {
			return err
		}
		addQueue(sums, name, n, size, created, due)
	}
	return rows.Err()
}
