package spool

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"kumo/pkg/message"
)

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

// rowPage is how many rows are read at a time. No transaction is open between pages, so that a reader that somebody
// paused does not make the WAL grow.
const rowPage = 1000

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

// addQueue counts n messages into the sum of queue name.
func addQueue(sums map[string]*QueueRow, name string, n int, size, created, due int64) {
	q := sums[name]
	if q == nil {
		sums[name] = &QueueRow{Queue: name, Messages: n, Bytes: size, Oldest: fromNanos(created), NextDue: fromNanos(due)}
		return
	}
	q.Messages += n
	q.Bytes += size
	if created < nanos(q.Oldest) {
		q.Oldest = fromNanos(created)
	}
	if due < nanos(q.NextDue) {
		q.NextDue = fromNanos(due)
	}
}

func sortQueues(sums map[string]*QueueRow) []QueueRow {
	out := make([]QueueRow, 0, len(sums))
	for _, q := range sums {
		out = append(out, *q)
	}
	slices.SortFunc(out, func(a, b QueueRow) int { return cmp.Compare(a.Queue, b.Queue) })
	return out
}
