package spool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"kumo/pkg/option"
)

const (
	maxWhere   = 16 << 10         // bytes of a condition
	maxText    = 72 << 20         // bytes of a value in a condition; an envelope has at most 64 MiB
	maxPattern = 512              // bytes of a LIKE or GLOB pattern: their time grows with it
	whereTime  = 30 * time.Second // how long one query with a condition may take
)

// WhereError is a condition that SQLite does not take.
type WhereError struct {
	Where string
	Msg   string // names the column or the place
}

func (e *WhereError) Error() string { return "where " + e.Where + ": " + e.Msg }

// CheckWhere reports what is wrong with a condition over the columns of the view messages: a *WhereError, or nil.
func CheckWhere(ctx context.Context, where string) error {
	db, err := openPages(ctx)
	if err != nil {
		return err
	}
	defer db.close()
	return db.check(ctx, where)
}

// wellFormed finds out whether text can be nothing but one expression when parentheses are put around it: no
// statement, no comment, no parameter, and no parenthesis that closes more than it opened.
func wellFormed(text string) error {
	fail := func(msg string, a ...any) error { return &WhereError{Where: text, Msg: fmt.Sprintf(msg, a...)} }
	if strings.TrimSpace(text) == "" {
		return fail("there is no condition")
	}
	if len(text) > maxWhere {
		return &WhereError{Where: text[:64] + "…", Msg: fmt.Sprintf("is longer than %d bytes", maxWhere)}
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch c := text[i]; {
		case c == '\'' || c == '"' || c == '`' || c == '[':
			n := quoted(rest)
			if n < 0 {
				return fail("the quotation that begins at character %d does not end", i+1)
			}
			i += n - 1
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return fail("there is no ( for the ) at character %d", i+1)
			}
		case c == ';' || c == 0:
			return fail("a condition is one expression: there must be no %q", c)
		case strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "/*"):
			return fail("a condition has no comments (%s at character %d)", rest[:2], i+1)
		case strings.IndexByte("?:@$#", c) >= 0:
			return fail("a condition has no parameters (%c at character %d): text stands in '…'", c, i+1)
		}
	}
	if depth > 0 {
		return fail("%d of its ( are not closed", depth)
	}
	return nil
}

// quoted is the length of the quotation that s begins with, -1 if it does not end.
func quoted(s string) int {
	end := s[0]
	if end == '[' {
		end = ']'
	}
	for i := 1; i < len(s); i++ {
		if s[i] != end {
			continue
		}
		if end != ']' && i+1 < len(s) && s[i+1] == end {
			i++
			continue
		}
		return i + 1
	}
	return -1
}

// explainWhere turns what SQLite says about a condition into a *WhereError that helps. Other errors stay as they are.
func explainWhere(where string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	code := sqliteCode(err)
	if code != sqlite3.SQLITE_ERROR && code != sqlite3.SQLITE_AUTH && code != sqlite3.SQLITE_TOOBIG && code != sqlite3.SQLITE_MISMATCH {
		return err
	}
	msg := sqlMessage(err, "the columns are", MessageColumns())
	if name, ok := strings.CutPrefix(msg, "no such table: "); ok {
		msg = "a condition is about one message: it cannot read the table " + name
	} else if code == sqlite3.SQLITE_AUTH {
		msg = "a condition is about one message: it can read nothing else (" + msg + ")"
	}
	return &WhereError{Where: where, Msg: msg}
}

// sqlMessage is what SQLite says, without its wrapping, and with the names that there are when one is wrong.
func sqlMessage(err error, list string, names []string) string {
	msg := err.Error()
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		msg = e.Error()
	}
	msg = strings.TrimPrefix(msg, "SQL logic error: ")
	if i := strings.LastIndex(msg, " ("); i > 0 {
		msg = msg[:i]
	}
	name, ok := strings.CutPrefix(msg, "no such column: ")
	if !ok {
		return msg
	}
	hint := ""
	if inside, _, ok := strings.Cut(strings.TrimPrefix(name, `"`), `" - `); ok {
		name, hint = inside, " (text stands in '…')"
	} else if near := option.Suggest(name, names); near != "" {
		hint = ", did you mean " + near + "?"
	}
	return "there is no column " + name + hint + "; " + list + " " + strings.Join(names, ", ")
}

// pages is a database in memory that evaluates conditions for messages that the index does not have, a page of them
// at a time.
type pages struct {
	db   *sql.DB
	conn *sql.Conn
	put  *sql.Stmt
}

// pageTable is what the table of messages is called there: nothing that a condition could know.
const pageTable = "p_6d8fc1a2"

// pageColumns have the affinities that those of the view have.
const pageColumns = `(id, queue TEXT, domain TEXT, tenant TEXT, campaign TEXT, routing_domain TEXT, sender TEXT, recipients TEXT,
  created, due, attempts INTEGER, size INTEGER, last_response TEXT, state, held_by TEXT, n_6d8fc1a2 INTEGER)`

// openPages makes such a database. Nothing but a SELECT over its one table can be prepared in it.
func openPages(ctx context.Context) (*pages, error) {
	inner, err := sqlite.NewConnector("file::memory:?_dqs=0&_pragma=temp_store(2)")
	if err != nil {
		return nil, err
	}
	p := &pages{db: sql.OpenDB(connector{Connector: inner})}
	p.db.SetMaxOpenConns(1)
	if p.conn, err = p.db.Conn(ctx); err != nil {
		p.close()
		return nil, err
	}
	if _, err := p.conn.ExecContext(ctx, "CREATE TABLE "+pageTable+pageColumns); err != nil {
		p.close()
		return nil, err
	}
	if err := confine(p.conn, pageTable); err != nil {
		p.close()
		return nil, err
	}
	p.put, err = p.conn.PrepareContext(ctx, "INSERT INTO "+pageTable+" VALUES("+strings.Repeat("?,", len(MessageColumns()))+"?)")
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pages) close() {
	if p.put != nil {
		_ = p.put.Close()
	}
	if p.conn != nil {
		_ = p.conn.Close()
	}
	_ = p.db.Close()
}

// check prepares a condition without running it.
func (p *pages) check(ctx context.Context, where string) error {
	if err := wellFormed(where); err != nil {
		return err
	}
	stmt, err := p.conn.PrepareContext(ctx, "SELECT n_6d8fc1a2 FROM "+pageTable+" WHERE (\n"+where+"\n)")
	if err != nil {
		return explainWhere(where, err)
	}
	defer stmt.Close()
	return nil
}

// fitting returns the numbers of those rows for which the condition holds.
func (p *pages) fitting(ctx context.Context, cond sqlCond, rows [][]any) ([]int, error) {
	if err := p.fill(ctx, rows); err != nil {
		return nil, err
	}
	found, err := p.conn.QueryContext(ctx, "SELECT n_6d8fc1a2 FROM "+pageTable+" WHERE 1"+cond.and(), cond.args...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var out []int
	for found.Next() {
		var n int
		if err := found.Scan(&n); err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out, found.Err()
}

// fill makes rows all that is in the table.
func (p *pages) fill(ctx context.Context, rows [][]any) error {
	ctx, err := uncancelled(ctx)
	if err != nil {
		return err
	}
	for _, q := range []string{"DELETE FROM " + pageTable, "BEGIN"} {
		if _, err := p.conn.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	for i, row := range rows {
		if _, err := p.put.ExecContext(ctx, append(row, i)...); err != nil {
			_, _ = p.conn.ExecContext(ctx, "ROLLBACK")
			return err
		}
	}
	_, err = p.conn.ExecContext(ctx, "COMMIT")
	return err
}

// confine allows a connection nothing but work on one table, and bounds what a condition can ask for.
func confine(conn *sql.Conn, table string) error {
	if err := limit(conn); err != nil {
		return err
	}
	return conn.Raw(func(c any) error {
		r, ok := c.(sqlite.AuthorizerRegisterer)
		if !ok {
			return errors.New("the SQLite driver has no authorizer")
		}
		return r.RegisterAuthorizer(func(action sqlite.AuthorizerActionCode, arg1, _, _, _ string) sqlite.AuthorizerReturnCode {
			switch action {
			case sqlite.AuthSelect, sqlite.AuthTransaction:
				return sqlite.AuthorizerOK
			case sqlite.AuthFunction:
				return sqlite.AuthorizerOK
			case sqlite.AuthRead, sqlite.AuthInsert, sqlite.AuthDelete:
				if arg1 == table || action == sqlite.AuthRead && (arg1 == "json_each" || arg1 == "json_tree") {
					return sqlite.AuthorizerOK
				}
			}
			return sqlite.AuthorizerDeny
		})
	})
}

// limit bounds values, patterns and databases of a connection that runs conditions of people.
func limit(conn *sql.Conn) error {
	for id, n := range map[int]int{
		sqlite3.SQLITE_LIMIT_LENGTH:              maxText,
		sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: maxPattern,
		sqlite3.SQLITE_LIMIT_ATTACHED:            0,
		sqlite3.SQLITE_LIMIT_EXPR_DEPTH:          200,
		sqlite3.SQLITE_LIMIT_WORKER_THREADS:      0,
	} {
		if _, err := sqlite.Limit(conn, id, n); err != nil {
			return fmt.Errorf("bound SQLite: %w", err)
		}
	}
	return nil
}

var _ driver.Connector = connector{}
