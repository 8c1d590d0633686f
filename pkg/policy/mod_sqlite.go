package policy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/luahost"
)

// maxRows bounds what one query gives.
const maxRows = 200_000

var sqliteModule = luahost.Module{
	Name: "sqlite",
	Doc:  "SQLite databases.",
	Funcs: []luahost.Func{
		{Name: "open", Args: "(path [, busy_ms])", Returns: "sqlite_conn", Doc: "Opens a database, and makes it if it is not there. busy_ms (500) is how long to wait while somebody else writes. :memory: is a database of its own in memory.", Example: `local sqlite = require 'sqlite'
local db = sqlite.open ':memory:'
db:close()`, Go: sqliteOpen},
	},
}

var sqliteType = luahost.Type{
	Name: "sqlite_conn",
	Doc:  "A connection to an SQLite database.",
	Methods: []luahost.Func{
		{Name: "execute", Args: "(sql, …) or (sql, { name = value, … })", Returns: "list or number", Doc: "Runs one statement with values for ? or :name. A query of one column gives a list of values, of several a list of tables; a statement without rows gives how many it changed.", Example: `local db = require('sqlite').open ':memory:'
db:execute 'CREATE TABLE people (name, age)'
db:execute('INSERT INTO people VALUES (?, ?)', 'fred', 32)
assert(db:execute('SELECT age FROM people WHERE name = :name', { name = 'fred' })[1] == 32)
db:close()`, Go: sqliteExecute},
		{Name: "close", Args: "()", Since: "2024.09.02-c5476b89", Doc: "Closes the database.", Example: `require('sqlite').open(':memory:'):close()`, Go: func(l *lua.LState) int {
			if err := luahost.Check[*sql.DB](l, 1, "an sqlite_conn").Close(); err != nil {
				luahost.Fail(l, fmt.Errorf("sqlite_conn:close: %w", err))
			}
			return 0
		}},
	},
}

func sqliteOpen(l *lua.LState) int {
	path, busy := l.CheckString(1), l.OptInt(2, 500)
	if busy < 0 || busy > 600_000 {
		l.ArgError(2, "a number of milliseconds from 0 to 600000 expected")
	}
	q := url.Values{"_pragma": {"busy_timeout(" + strconv.Itoa(busy) + ")"}}
	name := (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
	if path == ":memory:" {
		name = "file::memory:?" + q.Encode()
	}
	db, err := sql.Open("sqlite", name) // the spool brings the driver
	if err == nil {
		db.SetMaxOpenConns(1) // one connection, as the manual says; a database in memory is that connection
		err = db.PingContext(luahost.From(l).Context())
	}
	if err != nil {
		luahost.Fail(l, fmt.Errorf("sqlite.open %s: %w", path, err))
	}
	l.Push(luahost.From(l).NewUserData(&sqliteType, db))
	return 1
}

func sqliteExecute(l *lua.LState) int {
	db, s := luahost.Check[*sql.DB](l, 1, "an sqlite_conn"), luahost.From(l)
	ctx, cancel := context.WithDeadline(s.Context(), s.Deadline())
	defer cancel()
	v, err := query(ctx, db, l.CheckString(2), sqlArgs(l))
	if err != nil {
		luahost.Fail(l, fmt.Errorf("sqlite_conn:execute: %w", err))
	}
	l.Push(luahost.ToLua(l, v))
	return 1
}

// sqlArgs are the values for a statement: by position, or by the names of a table.
func sqlArgs(l *lua.LState) []any {
	if t, ok := l.Get(3).(*lua.LTable); ok && l.GetTop() == 3 {
		var out []any
		t.ForEach(func(k, v lua.LValue) {
			if k.Type() == lua.LTNumber {
				out = append(out, sqlValue(l, 3, v))
				return
			}
			out = append(out, sql.Named(k.String(), sqlValue(l, 3, v)))
		})
		return out
	}
	var out []any
	for i := 3; i <= l.GetTop(); i++ {
		out = append(out, sqlValue(l, i, l.Get(i)))
	}
	return out
}

func sqlValue(l *lua.LState, n int, v lua.LValue) any {
	switch v.(type) {
	case *lua.LNilType, lua.LBool, lua.LNumber, lua.LString, *lua.LUserData:
		x, err := luahost.ToGo(v)
		if err == nil {
			return x
		}
	}
	l.ArgError(n, "nil, a boolean, a number or a string expected, got a "+v.Type().String())
	return nil
}

var errTooManyRows = fmt.Errorf("more than %d rows: add a LIMIT", maxRows)

// query runs a statement and reads all of its rows.
func query(ctx context.Context, db *sql.DB, statement string, args []any) (any, error) {
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out []any
	for rows.Next() {
		if len(out) == maxRows {
			return nil, errTooManyRows
		}
		row, err := scanned(rows, columns)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	if len(columns) > 0 {
		return out, nil
	}
	var changed int64
	err = db.QueryRowContext(ctx, "SELECT changes()").Scan(&changed)
	return changed, err
}

// scanned is one row: its value when there is one column, else a table by name.
func scanned(rows *sql.Rows, columns []string) (any, error) {
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	for i, v := range values {
		switch x := v.(type) {
		case []byte:
			values[i] = string(x)
		case time.Time:
			values[i] = x.Format(time.RFC3339Nano)
		}
	}
	if len(columns) == 1 {
		return values[0], nil
	}
	row := make(map[string]any, len(columns))
	for i, c := range columns {
		row[c] = values[i]
	}
	return row, nil
}
