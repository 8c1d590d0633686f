package spool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// query is what a reader's Query says, in the form of ask.
func query(t testing.TB, dir, q string) string {
	t.Helper()
	r, err := spool.OpenReader(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []string
	err = r.Query(context.Background(), q, func([]string) error { return nil }, func(row []any) error {
		cells := make([]string, len(row))
		for i := range row {
			cells[i] = fmt.Sprint(row[i])
		}
		out = append(out, strings.Join(cells, "|"))
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return strings.Join(out, "\n")
}

// bustling is a spool in which every view has something to show.
func bustling(t testing.TB, dir string) (*spool.Spool, []message.ID) {
	t.Helper()
	ctx := context.Background()
	s := openIndexed(t, dir)
	ids, _ := assorted(t, s, 12)
	for i, id := range ids[:6] {
		m, err := s.Load(id)
		if err != nil {
			t.Fatal(err)
		}
		for k := range 2 {
			m.Attempts++
			m.Tried(message.Try{At: time.Now(), Response: fmt.Sprintf("4%d%d later", i, k), Source: "ip-1", Peer: "mx.test [192.0.2.1]"})
		}
		m.LastResponse = m.History[1].Response
		if err := s.Update(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		s.Give(id)
	}
	orders, err := s.Orders().Append(ctx, command(t, spool.OrderHold, spool.Command{Match: spool.Match{Tenant: "acme"}, Reason: "look", Expires: time.Unix(2e9, 5)}),
		command(t, spool.OrderBounce, spool.Command{Match: spool.Match{All: true}}))
	if err != nil {
		t.Fatal(err)
	}
	hold, err := s.Orders().Get(ctx, orders[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.BeginOrder(ctx, hold); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(ctx, orders[0], spool.ChangeHold, time.Time{}, ids[:3]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(ctx, orders[1], spool.ChangeTrash, time.Time{}, ids[2:4]); err != nil {
		t.Fatal(err)
	}
	return s, ids
}

// TestViewsSayTheSameToEverybody: through Query beside the owner, without one, without an index; and to anybody who has
// SQLite, be it as old as Debian's.
func TestViewsSayTheSameToEverybody(t *testing.T) {
	dir := t.TempDir()
	s, _ := bustling(t, dir)
	queries := []string{"SELECT kind, author, state, standing, reason, match, expires, matched FROM orders ORDER BY kind"}
	for _, v := range spool.Views() {
		cols := make([]string, len(v.Columns))
		for i, c := range v.Columns {
			cols[i] = c.Name
		}
		list := strings.Join(cols, ", ")
		queries = append(queries, v.Example, "SELECT "+list+" FROM "+v.Name+" ORDER BY "+list)
		if got := ask(t, dir, "SELECT group_concat(name, ', ') FROM pragma_table_info('"+v.Name+"')"); got != list {
			eventually(t, "view "+v.Name+" has columns "+list, func() bool {
				return ask(t, dir, "SELECT group_concat(name, ', ') FROM pragma_table_info('"+v.Name+"')") == list
			})
		}
	}
	written(t, dir, 10)
	eventually(t, "states and orders", func() bool {
		return ask(t, dir, "SELECT (SELECT count(*) FROM trash), (SELECT sum(held) FROM queues), (SELECT count(*) FROM attempts), (SELECT sum(standing) FROM orders), (SELECT count(*) FROM orders)") == "2|2|8|1|2"
	})
	var want []string
	for _, q := range queries {
		got := ask(t, dir, q)
		if got == "" || strings.Contains(got, "SQL") {
			t.Errorf("%s\ngives %q", q, got)
		}
		want = append(want, got)
		if got := query(t, dir, q); got != want[len(want)-1] {
			t.Errorf("%s\nbeside the owner it gives\n%s\nwant\n%s", q, got, want[len(want)-1])
		}
		plain, err := sqlite3(t, filepath.Join(dir, "index.db"), q)
		if plain = strings.TrimSpace(plain); err != nil || strings.Count(plain, "\n") != strings.Count(want[len(want)-1], "\n") {
			t.Errorf("%s\nDebian's sqlite3 gives\n%s\nwant\n%s\n%v", q, plain, want[len(want)-1], err)
		}
	}
	_ = s.Close()
	same := func(when string) {
		t.Helper()
		for i, q := range queries {
			if got := query(t, dir, q); got != want[i] {
				t.Errorf("%s\n%s it gives\n%s\nwant\n%s", q, when, got, want[i])
			}
		}
	}
	same("stopped")
	if err := os.WriteFile(filepath.Join(dir, "index.db"), []byte("no database is in this file, none at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	remove(t, dir, "index.db-wal", "index.db-shm")
	same("without an index")
}

// TestQueryOnlyReads: whatever else SQL can do is refused, and nothing is changed or made.
func TestQueryOnlyReads(t *testing.T) {
	for _, owned := range []bool{true, false} {
		dir := t.TempDir()
		s, ids := bustling(t, dir)
		written(t, dir, 10)
		if !owned {
			_ = s.Close()
		}
		before, _ := filepath.Glob(filepath.Join(dir, "*[^lm]"))
		other := filepath.Join(t.TempDir(), "other.db")
		for q, want := range map[string]string{
			"":                                "there is no query",
			" ; ":                             "there is no query",
			"SELECT 1;;":                      "",
			"-- what?\nSELECT /* ; */ 1 -- ;": "",
			"WITH x(n) AS (SELECT 1) SELECT n FROM x":  "",
			"VALUES (1), (2)":                          "",
			"SELECT 1; DELETE FROM message":            "more than one statement",
			"SELECT ';' ; SELECT 2":                    "more than one statement",
			"DELETE FROM message":                      "only SELECT",
			"WITH x AS (SELECT 1) DELETE FROM message": "only SELECT",
			"UPDATE queue SET messages = 0":            "only SELECT",
			"INSERT INTO meta VALUES('x', 'y')":        "only SELECT",
			"CREATE TABLE x(y)":                        "only SELECT",
			"CREATE TEMP TABLE x(y)":                   "only SELECT",
			"DROP VIEW messages":                       "only SELECT",
			"ATTACH '" + other + "' AS x":              "only SELECT",
			"VACUUM INTO '" + other + "'":              "only SELECT",
			"PRAGMA query_only(0)":                     "only SELECT",
			"PRAGMA journal_mode = DELETE":             "only SELECT",
			"BEGIN IMMEDIATE":                          "only SELECT",
			"SELECT load_extension('x')":               "only SELECT",
			"SELECT nosuch FROM messages":              "there is no column nosuch",
			"SELECT sendr FROM messages":               "there is no column sendr",
			"SELECT \"x\"":                             "there is no column x",
			"SELECT 1 FROM mesages":                    "no view mesages; the views are messages, queues",
			"SELEC 1":                                  "syntax error",
			"SELECT 'x":                                "does not end",
			"SELECT length(zeroblob(100000000))":       "too big",
			"SELECT length(printf('%100000000s', ''))": "too big",
		} {
			got := query(t, dir, q)
			if want != "" && !strings.Contains(got, want) || want == "" && !strings.HasPrefix(got, "1") {
				t.Errorf("owned %v: %s\ngives %s, want %q", owned, q, got, want)
			}
		}
		if after, _ := filepath.Glob(filepath.Join(dir, "*[^lm]")); !slices.Equal(before, after) {
			t.Errorf("files were %q, are %q", before, after)
		}
		if _, err := os.Stat(other); !os.IsNotExist(err) {
			t.Errorf("another database was made: %v", err)
		}
		if n := ask(t, dir, "SELECT count(*) FROM message"); n != fmt.Sprint(len(ids)) {
			t.Errorf("%s messages are left", n)
		}
		if owned {
			_ = s.Close()
		}
	}
}

// TestASlowReaderGetsAllRows although the query has ended long before: rows wait in a file.
func TestASlowReaderGetsAllRows(t *testing.T) {
	dir := t.TempDir()
	s, _ := bustling(t, dir)
	written(t, dir, 10)
	defer s.Close()
	r, err := spool.OpenReader(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const q = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 20000) SELECT n, 'x', NULL, x'ff', 1.5, '' FROM c"
	var n int64
	err = r.Query(context.Background(), q, func([]string) error { return nil }, func(row []any) error {
		if n++; row[0] != n || row[1] != "x" || row[2] != nil || string(row[3].([]byte)) != "\xff" || row[4] != 1.5 || row[5] != "" {
			return fmt.Errorf("row %d is %v", n, row)
		}
		if n == 1 {
			time.Sleep(1200 * time.Millisecond) // somebody looks at the first page
		}
		return nil
	})
	if err != nil || n != 20000 {
		t.Errorf("%d rows, %v", n, err)
	}
	enough := errors.New("enough")
	n = 0
	err = r.Query(context.Background(), q, func([]string) error { return nil }, func([]any) error {
		if n++; n == 300 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 300 {
		t.Errorf("%d rows, %v", n, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = r.Query(ctx, "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c) SELECT n FROM c", func([]string) error { return nil }, func([]any) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a query without an end: %v", err)
	}
	if _, err := r.Get(context.Background(), message.ID{1}); !errors.Is(err, spool.ErrGone) {
		t.Errorf("the reader is of no more use: %v", err)
	}
}
