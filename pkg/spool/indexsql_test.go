package spool_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// ask is what a query of index.db says, as anybody with SQLite could ask it: columns with | between them, one row a line.
func ask(t testing.TB, dir, query string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "index.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		return err.Error()
	}
	defer rows.Close()
	cols, _ := rows.Columns()
	var out []string
	for rows.Next() {
		vals := make([]any, len(cols))
		for i := range vals {
			vals[i] = new(any)
		}
		if err := rows.Scan(vals...); err != nil {
			return err.Error()
		}
		cells := make([]string, len(cols))
		for i := range vals {
			cells[i] = fmt.Sprint(*vals[i].(*any))
		}
		out = append(out, strings.Join(cells, "|"))
	}
	if err := rows.Err(); err != nil {
		return err.Error()
	}
	return strings.Join(out, "\n")
}

// written waits until the index has n messages that are not trashed, and is ready.
func written(t testing.TB, dir string, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " rows in the index"), func() bool {
		return ask(t, dir, "SELECT (SELECT count(*) FROM messages), (SELECT sum(messages) FROM queues), (SELECT min(value <> '0') FROM meta WHERE name IN ('ready', 'segment'))") == fmt.Sprintf("%d|%d|1", n, n)
	})
}
