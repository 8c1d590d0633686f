package spool

import (
	"context"
	"database/sql"
	"path/filepath"
	"time"
)

// Figures are what `kumo top` shows of a spool. The counts are cumulative: they go on over restarts, and begin anew
// only with a new index.
type Figures struct {
	At           time.Time `json:"at"`            // of the reading; nothing happened since
	Accepted     int64     `json:"accepted"`      // messages taken in
	Delivered    int64     `json:"delivered"`     // handed over to somebody who took responsibility
	Bounced      int64     `json:"bounced"`       // refused for good
	Expired      int64     `json:"expired"`       // became too old
	AdminBounced int64     `json:"admin_bounced"` // ended by an operator
	Discarded    int64     `json:"discarded"`     // ended by policy
	Retried      int64     `json:"retried"`       // attempts that failed for the time being
	Live         int64     `json:"live"`          // messages that are there, held ones included, trashed ones not
	Held         int64     `json:"held"`          // messages that an order holds
	Trashed      int64     `json:"trashed"`       // messages that can be brought back
	LogBytes     int64     `json:"log_bytes"`     // of the segments
}

// fields are the figures by the names that they have in the index.
func (f *Figures) fields() map[string]*int64 {
	return map[string]*int64{
		"accepted": &f.Accepted, "delivered": &f.Delivered, "bounced": &f.Bounced, "expired": &f.Expired,
		"admin_bounced": &f.AdminBounced, "discarded": &f.Discarded, "retried": &f.Retried,
		"live": &f.Live, "held": &f.Held, "trashed": &f.Trashed, "log_bytes": &f.LogBytes,
	}
}

// figures are those of the spool since it was opened.
func (s *Spool) figures() Figures {
	st := s.Stats()
	ended := func(why Ending) int64 { return s.stats.endings[why].Load() }
	return Figures{
		Accepted: st.Accepted, Delivered: ended(EndDelivered), Bounced: ended(EndBounced), Expired: ended(EndExpired),
		AdminBounced: ended(EndAdminBounced), Discarded: ended(EndDiscarded), Retried: s.stats.retried.Load(),
		Live: int64(st.Live - st.Trashed), Held: int64(st.Held), Trashed: int64(st.Trashed), LogBytes: st.Bytes,
	}
}

// over are f's cumulative counts on top of those of earlier runs.
func (f Figures) over(base *Figures) Figures {
	f.Accepted += base.Accepted
	f.Delivered += base.Delivered
	f.Bounced += base.Bounced
	f.Expired += base.Expired
	f.AdminBounced += base.AdminBounced
	f.Discarded += base.Discarded
	f.Retried += base.Retried
	return f
}

// figureEvery is how often the owner writes its figures, if they changed.
const figureEvery = time.Second

// putFigures writes the figures if they changed since the last time.
func (x *index) putFigures(ctx context.Context, tx *sql.Tx) error {
	if time.Now().Before(x.figureAgain) {
		return nil
	}
	x.figureAgain = time.Now().Add(figureEvery)
	now := x.s.figures().over(&x.base)
	if now == x.told {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, "INSERT OR REPLACE INTO figure VALUES(?, ?)")
	if err != nil {
		return err
	}
	defer stmt.Close()
	was := x.told.fields()
	for name, n := range now.fields() {
		if *n == *was[name] && x.told != (Figures{}) {
			continue
		}
		if _, err := stmt.ExecContext(ctx, name, *n); err != nil {
			return err
		}
	}
	x.told = now
	_, err = stmt.ExecContext(ctx, "at", x.s.cfg.Now().UnixNano())
	return err
}

// readBase takes over what earlier runs counted, once.
func (x *index) readBase(ctx context.Context) error {
	x.told = Figures{}
	if x.based {
		return nil
	}
	if err := x.base.read(ctx, x.db); err != nil {
		return err
	}
	x.based = true
	return nil
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (f *Figures) read(ctx context.Context, db querier) error {
	rows, err := db.QueryContext(ctx, "SELECT name, value FROM figure")
	if err != nil {
		return err
	}
	defer rows.Close()
	fields := f.fields()
	for rows.Next() {
		var name string
		var n int64
		if err := rows.Scan(&name, &n); err != nil {
			return err
		}
		if p := fields[name]; p != nil {
			*p = n
		} else if name == "at" {
			f.At = fromNanos(n)
		}
	}
	return rows.Err()
}

// Figures are the latest that the owner wrote, at most two seconds ago if anything happened. Without an owner the
// messages that are there are counted; the cumulative counts lack what happened in the second before it died.
func (r *Reader) Figures(ctx context.Context) (Figures, error) {
	var f Figures
	if r.db != nil {
		if err := f.read(ctx, r.conn); err != nil {
			return f, err
		}
	}
	if r.db == nil || len(r.hidden) > 0 {
		if err := r.recount(ctx, &f); err != nil {
			return f, err
		}
	}
	if _, n, err := sizes(filepath.Join(r.dir, logName)); err == nil {
		f.LogBytes = n
	}
	return f, nil
}

// recount counts the messages that are there.
func (r *Reader) recount(ctx context.Context, f *Figures) error {
	sums, err := r.Summary(ctx, Filter{})
	if err != nil {
		return err
	}
	f.Live, f.Held, f.Trashed = 0, 0, 0
	for _, q := range sums {
		f.Live += int64(q.Messages)
		f.Held += int64(q.Held)
	}
	if sums, err = r.Summary(ctx, Filter{State: StateTrashed}); err != nil {
		return err
	}
	for _, q := range sums {
		f.Trashed += int64(q.Messages)
	}
	return nil
}
