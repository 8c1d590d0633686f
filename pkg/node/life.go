package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// ErrUnknown is a message of which neither spool nor log know anything.
var ErrUnknown = errors.New("neither the spool nor the log know it")

// LifeOptions say where to look for the life of a message.
type LifeOptions struct {
	Spool string   // directory; "" if there is none to be looked into
	Logs  []string // directories of segments
	Now   time.Time
	Warn  func(error) // hears of damage that is passed over
}

// TellLife reads what spool and logs know of a message and accounts for its time. Errors: ErrUnknown, those of the
// spool, those of the disk.
func TellLife(ctx context.Context, id message.ID, o LifeOptions) (*Life, error) {
	f := facts{id: id, now: o.Now}
	if o.Spool != "" {
		if err := f.look(ctx, o.Spool); err != nil {
			return nil, err
		}
	}
	read := journal.ReadOptions{Dirs: o.Logs, IDs: []message.ID{id}, Warn: o.Warn}
	if made := id.Time(); made.Before(o.Now) { // a message has no record before it was made, if its clock was right
		read.Since = made.Add(-time.Hour)
	}
	for e, err := range journal.Read(ctx, read) {
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		f.add(e)
	}
	if len(f.records) == 0 && f.row == nil {
		return nil, ErrUnknown
	}
	return f.tell(), nil
}

// facts are everything that is known about a message.
type facts struct {
	id      message.ID
	now     time.Time
	records []journal.Entry
	row     *spool.Row    // nil: not in the spool
	held    bool          // a daemon runs
	runs    []Run         // nil: not known
	orders  []spool.Order // oldest first
	answer  *answer       // what the daemon adds; nil for nothing
	seen    map[string]bool
}

// add takes a record. Where several logs have it, it counts once.
func (f *facts) add(e journal.Entry) {
	key := fmt.Sprint(e.Type, e.Time().UnixNano(), e.Recipients, e.Session, e.Response.Code, e.Response.Content)
	if f.seen == nil {
		f.seen = make(map[string]bool)
	}
	if !f.seen[key] {
		f.seen[key] = true
		f.records = append(f.records, e)
	}
}

// maxLifeOrders is how many orders are looked at, from the latest on.
const maxLifeOrders = 10_000

// look takes what the spool knows.
func (f *facts) look(ctx context.Context, dir string) error {
	r, err := spool.OpenReader(ctx, dir)
	if err != nil {
		return err
	}
	defer r.Close()
	f.held = r.Held()
	switch row, err := r.Get(ctx, f.id); {
	case err == nil:
		f.row = &row
	case !errors.Is(err, spool.ErrGone):
		return err
	}
	if f.runs, err = Runs(dir, f.held); err != nil {
		return err
	}
	if f.orders, err = spool.ListOrders(ctx, dir, spool.OrderFilter{Limit: maxLifeOrders}); err != nil {
		return err
	}
	slices.Reverse(f.orders)
	f.ask(ctx, dir)
	return nil
}

// LogsOfSpool says where the logs are of the mail of a spool: where the spool remembers them, else where the policy puts
// them.
func LogsOfSpool(ctx context.Context, dir string, o Options) ([]string, error) {
	if dirs, err := spool.LogDirs(dir); err == nil && len(dirs) > 0 {
		return dirs, nil
	}
	return LogDirs(ctx, "", o)
}
