package spool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"kumo/pkg/message"
)

// queryTime is how long a query of Query may run. It can hold the WAL so long.
const queryTime = 5 * time.Minute

// QueryError is a query that SQLite does not take, or that would do more than read.
type QueryError struct {
	Msg string
}

func (e *QueryError) Error() string { return e.Msg }

// Query runs one SELECT over the views of the index (Views), and tells head the names of the columns and then row one
// row after the other; row may keep its values, which are nil, int64, float64, string or []byte. Nothing but reading is
// allowed: no other database, no PRAGMA, no extension. Without an owner the views show what the end of the log says,
// too. However slowly row is, the query does not hold up the owner: rows wait in a temporary file then. Errors:
// *QueryError, those of head and row.
func (r *Reader) Query(ctx context.Context, query string, head func([]string) error, row func([]any) error) error {
	if err := single(query); err != nil {
		return err
	}
	if err := r.shadow(ctx); err != nil {
		return fmt.Errorf("query: %w", err)
	}
	if err := readOnly(r.conn); err != nil {
		return fmt.Errorf("query: %w", err)
	}
	defer func() { _ = authorize(r.conn, nil) }()
	ctx, cancel := context.WithTimeoutCause(ctx, queryTime, fmt.Errorf("query: it ran for more than %s", queryTime))
	defer cancel()
	err := r.run(ctx, query, head, row)
	if err != nil && errors.Is(err, context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}

func (r *Reader) run(ctx context.Context, query string, head func([]string) error, row func([]any) error) error {
	rows, err := r.conn.QueryContext(ctx, query)
	if err != nil {
		return explainQuery(err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		return err
	}
	if err := head(cols); err != nil {
		return err
	}
	return explainQuery(relay(ctx, rows, len(cols), row))
}

// single refuses more than one statement: the driver would run them all.
func single(query string) error {
	ended := false
	for i := 0; i < len(query); i++ {
		switch c, rest := query[i], query[i:]; {
		case strings.HasPrefix(rest, "--"):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest) - 1
			}
			i += n
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest[2:], "*/")
			if n < 0 {
				return &QueryError{Msg: "a comment does not end"}
			}
			i += n + 3
		case c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f':
		case c == ';':
			ended = true
		case ended:
			return &QueryError{Msg: "there is more than one statement"}
		case c == '\'' || c == '"' || c == '`' || c == '[':
			n := quoted(rest)
			if n < 0 {
				return &QueryError{Msg: fmt.Sprintf("the quotation that begins at character %d does not end", i+1)}
			}
			i += n - 1
		}
	}
	if strings.Trim(query, " \n\t\r\f;") == "" {
		return &QueryError{Msg: "there is no query"}
	}
	return nil
}

func explainQuery(err error) error {
	switch code := sqliteCode(err); {
	case code == 0 || errors.As(err, new(*QueryError)):
		return err
	case code == sqlite3.SQLITE_AUTH:
		return &QueryError{Msg: "only SELECT is allowed: " + sqlMessage(err, "", nil)}
	case code == sqlite3.SQLITE_READONLY:
		return &QueryError{Msg: "only SELECT is allowed"}
	case code == sqlite3.SQLITE_ERROR || code == sqlite3.SQLITE_TOOBIG || code == sqlite3.SQLITE_MISMATCH:
		names := make([]string, 0, 5)
		for _, v := range Views() {
			names = append(names, v.Name)
		}
		msg := sqlMessage(err, "kumo-spool(5) lists those of", names)
		if strings.HasPrefix(msg, "not authorized") || strings.HasPrefix(msg, "cannot modify") {
			return &QueryError{Msg: "only SELECT is allowed: " + msg}
		}
		if name, ok := strings.CutPrefix(msg, "no such table: "); ok {
			msg = "there is no view " + name + "; the views are " + strings.Join(names, ", ")
		}
		return &QueryError{Msg: msg}
	}
	return err
}

// readOnly allows the connection nothing but to read, until authorize takes that back.
func readOnly(conn *sql.Conn) error {
	for id, n := range map[int]int{
		sqlite3.SQLITE_LIMIT_ATTACHED: 0,
		sqlite3.SQLITE_LIMIT_LENGTH:   maxText,
	} {
		if _, err := sqlite.Limit(conn, id, n); err != nil {
			return err
		}
	}
	return authorize(conn, func(action sqlite.AuthorizerActionCode, _, arg2, _, _ string) sqlite.AuthorizerReturnCode {
		switch action {
		case sqlite.AuthSelect, sqlite.AuthRead, sqlite.AuthRecursive:
			return sqlite.AuthorizerOK
		case sqlite.AuthFunction:
			if !strings.EqualFold(arg2, "load_extension") {
				return sqlite.AuthorizerOK
			}
		}
		return sqlite.AuthorizerDeny
	})
}

func authorize(conn *sql.Conn, f sqlite.AuthorizerFn) error {
	return conn.Raw(func(c any) error {
		r, ok := c.(sqlite.AuthorizerRegisterer)
		if !ok {
			return errors.New("the SQLite driver has no authorizer")
		}
		return r.RegisterAuthorizer(f)
	})
}

// shadow makes temporary views of the same names where the index does not say everything that the reader knows.
func (r *Reader) shadow(ctx context.Context) error {
	if r.shadowed || r.conn != nil && !r.late {
		return nil
	}
	if r.conn == nil {
		if err := r.empty(ctx); err != nil {
			return err
		}
	}
	if err := r.hide(ctx); err != nil {
		return err
	}
	if _, err := r.conn.ExecContext(ctx, "PRAGMA query_only(0)"); err != nil {
		return err
	}
	if _, err := r.conn.ExecContext(ctx, shadowTables+createViews("CREATE TEMP VIEW", queueCounts)); err != nil {
		return err
	}
	tx, err := r.conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := r.shadowRows(ctx, tx); err != nil {
		return err
	}
	if err := r.shadowOrders(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	r.shadowed = true
	_, err = r.conn.ExecContext(ctx, "PRAGMA query_only(1)")
	return err
}

const shadowTables = `
CREATE TEMP TABLE late_message AS SELECT * FROM main.message LIMIT 0;
CREATE TEMP TABLE late_queue AS SELECT * FROM main.queue LIMIT 0;
CREATE TEMP TABLE late_command AS SELECT * FROM main.command LIMIT 0;
CREATE TEMP VIEW message AS SELECT * FROM main.message WHERE id NOT IN (SELECT id FROM temp.hidden)
  UNION ALL SELECT * FROM temp.late_message;
CREATE TEMP VIEW queue AS SELECT * FROM main.queue UNION ALL SELECT * FROM temp.late_queue;
CREATE TEMP VIEW command AS SELECT * FROM main.command WHERE id NOT IN (SELECT id FROM temp.late_command)
  UNION ALL SELECT * FROM temp.late_command;
`

// empty stands in for an index that cannot be used.
func (r *Reader) empty(ctx context.Context) error {
	var err error
	if r.blank, err = sql.Open("sqlite", "file::memory:?_dqs=0"); err != nil {
		return err
	}
	if r.conn, err = r.blank.Conn(ctx); err != nil {
		return err
	}
	_, err = r.conn.ExecContext(ctx, indexTables+indexViews)
	return err
}

// shadowRows gives the messages that the index does not have rows.
func (r *Reader) shadowRows(ctx context.Context, tx *sql.Tx) error {
	nums := make(map[string]int64)
	var most int64
	if err := tx.QueryRowContext(ctx, "SELECT ifnull(max(num), 0) FROM main.queue").Scan(&most); err != nil {
		return err
	}
	put, err := tx.PrepareContext(ctx, "INSERT INTO temp.late_message VALUES(NULL"+strings.Repeat(",?", 20)+")")
	if err != nil {
		return err
	}
	defer put.Close()
	r.extra.each(func(e entry) bool {
		var m *message.Message
		m, err = r.segs.envelope(e.id, e.place())
		if isMissing(err) {
			err = nil
			return true
		}
		if err != nil { // it cannot be read: what the table knows is shown
			m = &message.Message{}
		}
		var num int64
		if num, err = shadowQueue(ctx, tx, r.names.get(e.queue), nums, &most); err != nil {
			return false
		}
		_, err = put.ExecContext(ctx, rowValues(&e, num, m, r.marks.get(e.markNumber()))...)
		return err == nil
	})
	return err
}

// shadowQueue is the number of a queue, which gets one if the index has none for it.
func shadowQueue(ctx context.Context, tx *sql.Tx, name string, nums map[string]int64, most *int64) (int64, error) {
	if n, ok := nums[name]; ok {
		return n, nil
	}
	var n int64
	err := tx.QueryRowContext(ctx, "SELECT num FROM main.queue WHERE name = ?", name).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		*most++
		n = *most
		q := message.ParseQueueName(name)
		_, err = tx.ExecContext(ctx, "INSERT INTO temp.late_queue VALUES(?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, -1)",
			n, name, q.Domain, q.Tenant, q.Campaign, q.RoutingDomain)
	}
	nums[name] = n
	return n, err
}

// shadowOrders shows the orders as orders.db has them.
func (r *Reader) shadowOrders(ctx context.Context, tx *sql.Tx) error {
	orders, err := ListOrders(ctx, r.dir, OrderFilter{Limit: 100_000})
	if err != nil {
		return err
	}
	for i := range orders {
		if err := putCommand(ctx, tx, "temp.late_command", &orders[i]); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE temp.late_command SET standing =
		(SELECT standing FROM main.command c WHERE c.id = late_command.id) WHERE id IN (SELECT id FROM main.command)`)
	if err != nil {
		return err
	}
	for id, o := range r.standing {
		if err := shadowStanding(ctx, tx, id, o); err != nil {
			return err
		}
	}
	return nil
}

// shadowStanding notes whether something of an order lasts.
func shadowStanding(ctx context.Context, tx *sql.Tx, id string, o *Order) error {
	for _, q := range []string{
		`INSERT INTO temp.late_command SELECT * FROM main.command WHERE id = ?1 AND id NOT IN (SELECT id FROM temp.late_command)`,
		`UPDATE temp.late_command SET standing = ?2 WHERE id = ?1`,
	} {
		if _, err := tx.ExecContext(ctx, q, id, o != nil); err != nil {
			return err
		}
	}
	if o == nil {
		return nil
	}
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM temp.late_command WHERE id = ?", id).Scan(&n); err != nil || n > 0 {
		return err
	}
	_, err := tx.ExecContext(ctx, lostCommand("temp.late_command"), id, o.Kind, o.Author, nanos(o.Created), validJSON(o.Payload))
	return err
}

// lostCommand inserts an order into table that stands and that orders.db does not have.
func lostCommand(table string) string {
	return "INSERT INTO " + table + " VALUES(?, ?, ?, ?, 0, 'done', 1, ?, '{}', '')"
}
