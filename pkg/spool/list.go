package spool

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
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
	State        string     `json:"state"`             // StateScheduled, StateHeld or StateTrashed
	Order        string     `json:"held_by,omitempty"` // that holds or trashed it
	Trashed      time.Time  `json:"trashed,omitzero"`  // when that was

	at   place
	hold string // the order that holds it, also when it is trashed
}

// is is what orders have made of the message.
func (r *Row) is() (is segment.Standing) {
	is.Hold, is.TrashedAt = r.hold, nanos(r.Trashed)
	if r.State == StateTrashed {
		is.Trash = r.Order
	}
	return is
}

// rowPage is how many rows are read at a time. No transaction is open between pages, so that a reader that somebody
// paused does not make the WAL grow.
const rowPage = 1000

// rowSource are the rows of the index: the columns of the view messages, which conditions speak of, and behind them
// what makes a Row.
const rowSource = ` FROM (SELECT ` + viewColumns + `, m.seq AS seq_, m.id AS id_, m.queue AS queue_, m.created AS created_,
  m.due AS due_, m.state AS state_, m.hold AS hold_, m.trash AS trash_, m.trashed_at AS trashed_at_, m.segment AS segment_, m.offset AS offset_, m.head AS head_, m.shared AS shared_,
  m.up_segment AS up_segment_, m.up_offset AS up_offset_ FROM message m CROSS JOIN queue q ON q.num = m.queue) `

// listColumns are what a listing needs, with as few values as can be: reading them is most of its time.
const listColumns = `SELECT seq_, id_, queue, sender, recipients, created_, due_, attempts, size, last_response, state_,
  iif(state_, held_by, NULL), nullif(trashed_at_, 0)` + rowSource

// rowColumns are all of a row.
const rowColumns = `SELECT seq_, id_, queue, sender, recipients, created_, due_, attempts, size, last_response, state_,
  iif(state_, held_by, NULL), nullif(trashed_at_, 0), hold_,
  segment_, offset_, head_, shared_, up_segment_, up_offset_` + rowSource

// scanRow reads a row of listColumns, or with whole set one of rowColumns.
func scanRow(rows *sql.Rows, whole bool) (Row, int64, error) {
	var r Row
	var seq, created, due, state int64
	var trashed sql.NullInt64
	var order sql.NullString
	var id, recipients sql.RawBytes
	at := [20]any{
		&seq, &id, &r.Queue, &r.Sender, &recipients, &created, &due, &r.Attempts, &r.Size, &r.LastResponse, &state, &order, &trashed,
		&r.hold, &r.at.seg, &r.at.off, &r.at.head, &r.at.shared, &r.at.upSeg, &r.at.upOff,
	}
	n := len(at)
	if !whole {
		n = 13
	}
	if err := rows.Scan(at[:n]...); err != nil {
		return r, 0, err
	}
	copy(r.ID[:], id)
	r.Created, r.Due, r.State, r.Order, r.Trashed = fromNanos(created), fromNanos(due), stateWord(state), order.String, fromNanos(trashed.Int64)
	r.at.size = uint32(r.Size)
	var err error
	r.Recipients, err = parseList(recipients)
	return r, seq, err
}

// parseList reads a JSON list of texts. Hardly any has a character that is escaped.
func parseList(b []byte) ([]string, error) {
	if len(b) < 4 || bytes.IndexByte(b, '\\') >= 0 {
		var list []string
		err := json.Unmarshal(b, &list)
		return list, err
	}
	text := string(b[2 : len(b)-2]) // without [" and "]
	if !strings.Contains(text, `","`) {
		return []string{text}, nil
	}
	return strings.Split(text, `","`), nil
}

// List calls f for every message that the filter wants: those of the index in the order of their coming, queue by
// queue if the filter names queues, and then those that the index does not have yet. An error of f ends it and is
// returned. Errors: *WhereError.
func (r *Reader) List(ctx context.Context, want Filter, f func(Row) error) error {
	x, err := r.matcher(ctx, &want)
	if err != nil {
		return err
	}
	if r.db != nil {
		err := r.listIndex(ctx, &want, x, f)
		if err != nil && x.m.Where != "" {
			err = explainWhere(x.m.Where, err)
		}
		if err != nil {
			return err
		}
	}
	return r.listExtra(ctx, &want, x, f)
}

// matcher checks and compiles the filter's match.
func (r *Reader) matcher(ctx context.Context, want *Filter) (*matcher, error) {
	m := want.Match
	if want.Queue != "" && len(m.Queues) == 0 {
		m.Queues = []string{want.Queue}
	}
	x := newMatcher(m, want.IDs, time.Now())
	x.only = want.Queue
	if !x.deep {
		return x, nil
	}
	var err error
	if r.pages == nil {
		if r.pages, err = openPages(ctx); err != nil {
			return nil, fmt.Errorf("list messages: %w", err)
		}
	}
	if m.Where != "" {
		err = r.pages.check(ctx, m.Where)
	}
	return x, err
}

// listIndex goes through the rows of the index.
func (r *Reader) listIndex(ctx context.Context, want *Filter, x *matcher, f func(Row) error) error {
	if x.ids != nil {
		return r.listByID(ctx, want, x, f)
	}
	var nums []int64
	if x.queued() {
		var err error
		if nums, err = r.queueNums(ctx, x); err != nil {
			return fmt.Errorf("list messages: %w", err)
		}
	}
	query, args := want.from(listColumns)+"WHERE "+want.cond()+x.cond.and(), x.cond.args
	byQueue := x.queued() && len(nums) <= manyQueues
	if byQueue {
		query, args = listColumns+"WHERE "+want.cond()+x.rest.and()+" AND queue_ = ?", x.rest.args
	}
	stmt, err := r.conn.PrepareContext(ctx, query+" AND seq_ > ? ORDER BY seq_ LIMIT ?")
	if err != nil {
		return fmt.Errorf("list messages: %w", err)
	}
	defer stmt.Close()
	if !byQueue {
		return r.listPages(ctx, stmt, slices.Clone(args), f)
	}
	for _, num := range nums {
		if err := r.listPages(ctx, stmt, append(slices.Clone(args), num), f); err != nil {
			return err
		}
	}
	return nil
}

// manyQueues are so many that it is faster to look at all rows than to go through them queue by queue.
const manyQueues = 2000

// queueNums are the numbers that the index has for the queues that fit.
func (r *Reader) queueNums(ctx context.Context, x *matcher) ([]int64, error) {
	rows, err := r.conn.QueryContext(ctx, "SELECT num, name FROM queue ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var nums []int64
	for rows.Next() {
		var num int64
		var name string
		if err := rows.Scan(&num, &name); err != nil {
			return nil, err
		}
		if x.queue(name) {
			nums = append(nums, num)
		}
	}
	return nums, rows.Err()
}

// listPages runs a query whose last two parameters are the row to begin after and the number of rows.
func (r *Reader) listPages(ctx context.Context, stmt *sql.Stmt, args []any, f func(Row) error) error {
	args = append(args, int64(0), rowPage)
	var err error
	page := r.spare
	r.spare = nil // f may list, too
	defer func() { r.spare = page }()
	for {
		n, last := 0, int64(0)
		if page, n, last, err = r.page(ctx, page[:0], stmt, args); err != nil {
			return fmt.Errorf("list messages: %w", err)
		}
		for i := range page {
			if err := f(page[i]); err != nil {
				return err
			}
		}
		if n < rowPage {
			return nil
		}
		args[len(args)-2] = last
	}
}

// page reads the next rows; n counts those that are hidden, too.
func (r *Reader) page(ctx context.Context, page []Row, stmt *sql.Stmt, args []any) (_ []Row, n int, last int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, whereTime)
	defer cancel()
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return page, 0, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		row, seq, err := scanRow(rows, false)
		if err != nil {
			return page, n, last, err
		}
		if !r.hidden[row.ID] {
			page = append(page, row)
		}
		last = seq
		n++
	}
	return page, n, last, rows.Err()
}

// row reads a row of the index.
func (r *Reader) row(ctx context.Context, id message.ID) (Row, error) {
	if r.db == nil {
		return Row{}, ErrGone
	}
	rows, err := r.conn.QueryContext(ctx, rowColumns+"WHERE id_ = ?", id[:])
	if err != nil {
		return Row{}, err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return Row{}, err
		}
		return Row{}, ErrGone
	}
	row, _, err := scanRow(rows, true)
	return row, err
}

// listByID looks at each message that the filter names.
func (r *Reader) listByID(ctx context.Context, want *Filter, x *matcher, f func(Row) error) error {
	stmt, err := r.conn.PrepareContext(ctx, listColumns+"WHERE id_ = ? AND "+want.cond()+x.cond.and())
	if err != nil {
		return fmt.Errorf("list messages: %w", err)
	}
	defer stmt.Close()
	args := append([]any{nil}, x.cond.args...)
	page := make([]Row, 0, 1)
	for id := range x.ids {
		args[0] = id[:]
		page, _, _, err = r.page(ctx, page[:0], stmt, args)
		if err != nil {
			return fmt.Errorf("list messages: %w", err)
		}
		for i := range page {
			if err := f(page[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// listExtra goes through the messages that the index does not have.
func (r *Reader) listExtra(ctx context.Context, want *Filter, x *matcher, f func(Row) error) error {
	low, high := want.states()
	pass := func(e Entry) error {
		row, err := r.extraRow(&e)
		if errors.Is(err, ErrGone) {
			return nil
		}
		if err != nil {
			return err
		}
		return f(row)
	}
	return r.eachExtra(ctx, low, high, x, pass)
}

// eachExtra calls pass for the messages that the index does not have and that fit.
func (r *Reader) eachExtra(ctx context.Context, low, high int64, x *matcher, pass func(Entry) error) error {
	s := &sieve{x: x, pages: r.pages, load: r.extraEnvelope, pass: pass}
	var err error
	r.extra.each(func(in entry) bool {
		e := r.entry(&in)
		if st := rowState(e.State); st < low || st > high || !x.entry(in.id, e.Queue, in.created) {
			return true
		}
		if x.deep {
			err = s.add(ctx, e)
		} else {
			err = pass(e)
		}
		return err == nil
	})
	if err == nil && x.deep {
		err = s.flush(ctx)
	}
	return err
}

// entry is what the log's end says of a message.
func (r *Reader) entry(e *entry) Entry {
	return Entry{
		ID: e.id, Queue: r.names.get(e.queue), Created: fromNanos(e.created), Due: fromNanos(e.due),
		Attempts: int(e.attempts), Size: int(e.size), State: e.state(), Order: r.marks.order(e),
	}
}

// extraPlace is where a message stands that the index does not have, and what orders have made of it.
func (r *Reader) extraPlace(id message.ID) (place, segment.Standing, error) {
	shard, h := r.extra.lock(id)
	defer shard.Unlock()
	e := shard.get(id, h)
	if e == nil {
		return place{}, segment.Standing{}, ErrGone
	}
	return e.place(), r.marks.get(e.markNumber()), nil
}

func (r *Reader) extraEnvelope(e *Entry) (*message.Message, error) {
	at, _, err := r.extraPlace(e.ID)
	if err != nil {
		return nil, err
	}
	m, err := r.segs.envelope(e.ID, at)
	return m, r.gone(err)
}

// extraRow makes a row of a message that the index does not have.
func (r *Reader) extraRow(e *Entry) (Row, error) {
	at, is, err := r.extraPlace(e.ID)
	if err != nil {
		return Row{}, err
	}
	m, err := r.segs.envelope(e.ID, at)
	if err != nil {
		return Row{}, r.gone(err)
	}
	row := Row{
		ID: e.ID, Queue: e.Queue, Sender: m.Sender.String(), Created: e.Created, Due: e.Due,
		Attempts: e.Attempts, Size: e.Size, LastResponse: m.LastResponse, at: at,
		State: stateWord(rowState(e.State)), Order: e.Order, Trashed: fromNanos(is.TrashedAt), hold: is.Hold,
		Recipients: make([]string, len(m.Recipients)),
	}
	for i, a := range m.Recipients {
		row.Recipients[i] = a.String()
	}
	return row, nil
}
