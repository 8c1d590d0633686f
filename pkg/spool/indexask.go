package spool

import (
	"context"
	"database/sql"

	"kumo/pkg/message"
)

// answerPage is how many ids the index's answer holds in one piece.
const answerPage = 10_000

// ask finds the rows that a deep match wants, and says which messages the index cannot answer for. All of them, if
// there is no index, or it fails: an order must not depend on it. Errors are those of the condition, and ctx's.
func (x *index) ask(ctx context.Context, m *matcher) (found [][]message.ID, doubt func(message.ID) bool, err error) {
	all := func(message.ID) bool { return true }
	if x == nil {
		return nil, all, nil
	}
	db, err := openDB(ctx, x.path, dbOptions{readOnly: true})
	if err != nil {
		return nil, all, ctx.Err()
	}
	defer db.Close()
	tx, doubt, err := x.snapshot(ctx, db)
	if err != nil || tx == nil {
		return nil, all, ctx.Err()
	}
	defer func() { _ = tx.Rollback() }()
	found, err = x.search(ctx, tx, m)
	switch bad := explainWhere(m.m.Where, err); {
	case err == nil:
		return found, doubt, nil
	case bad != err || ctx.Err() != nil:
		return nil, all, bad
	}
	x.log.Warn("spool: index cannot be asked: messages are matched one by one", "error", err)
	return nil, all, nil
}

// snapshot begins to read at a moment at which it is known which rows are up to date: all but those of the messages
// that wait to be written.
func (x *index) snapshot(ctx context.Context, db *sql.DB) (*sql.Tx, func(message.ID) bool, error) {
	x.writing.Lock()
	defer x.writing.Unlock()
	if !x.ready {
		return nil, nil, nil
	}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, nil, err
	}
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM meta").Scan(&n); err != nil { // the snapshot is taken now
		_ = tx.Rollback()
		return nil, nil, err
	}
	late := make(map[message.ID]struct{})
	x.mu.Lock()
	if x.flood || x.aging.flood {
		x.mu.Unlock()
		_ = tx.Rollback()
		return nil, nil, nil
	}
	for _, ids := range [][]message.ID{x.fresh, x.changed, x.aging.fresh, x.aging.changed, x.young} {
		for _, id := range ids {
			late[id] = struct{}{}
		}
	}
	x.mu.Unlock()
	return tx, func(id message.ID) bool {
		if _, is := late[id]; is {
			return true
		}
		shard, h := x.s.table.lock(id)
		defer shard.Unlock()
		e := shard.get(id, h)
		return e != nil && e.flags&flagIndexed == 0
	}, nil
}

func (x *index) search(ctx context.Context, tx *sql.Tx, m *matcher) ([][]message.ID, error) {
	ctx, cancel := context.WithTimeout(ctx, whereTime)
	defer cancel()
	rows, err := tx.QueryContext(ctx, "SELECT id_"+rowSource+"WHERE state_ < 2"+m.cond.and(), m.cond.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found [][]message.ID
	page := make([]message.ID, 0, answerPage)
	for rows.Next() {
		var raw sql.RawBytes
		if err := rows.Scan(&raw); err != nil {
			return nil, err
		}
		var id message.ID
		copy(id[:], raw)
		if page = append(page, id); len(page) == answerPage {
			found = append(found, page)
			page = make([]message.ID, 0, answerPage)
		}
	}
	return append(found, page), rows.Err()
}
