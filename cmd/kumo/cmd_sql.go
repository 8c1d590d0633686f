package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/spool"
)

// maxQuery bounds a query that is read from stdin.
const maxQuery = 1 << 20

func newSQL(c *cli.Console) *cobra.Command {
	f := &spoolFlags{console: c}
	cmd := &cobra.Command{
		Use:   "sql [QUERY]",
		Short: "Ask the spool with SQL",
		Long: `sql runs one SELECT over the views of the spool's index: messages, queues, attempts, orders and trash. kumo-spool(5)
describes them, with a query for each; sql without a query lists their columns. With - the query comes from stdin.

It works beside a running daemon (then it is at most a second behind) and without one, and it only reads: nothing but
SELECT is allowed, no other database, no PRAGMA and no extension. Rows are printed as they are found, and a reader that
takes its time does not hold the daemon up. A query may run for five minutes.

Times are seconds since 1970: datetime(due, 'unixepoch') shows one. A value that is not there is printed as -, with
--format json and jsonl as null; bytes are printed in hexadecimal.

Exit codes: 0 done, no rows included; 1 failed; 2 usage, a query that is wrong included; 10 there is no spool.`,
		Example: `  kumo sql
  kumo sql 'SELECT tenant, sum(messages) FROM queues GROUP BY tenant'
  kumo sql "SELECT id FROM messages WHERE last_response LIKE '%quota%'" --format jsonl | kumo queue hold -
  kumo sql - < report.sql`,
		Args: args(0, 1, "at most one query; put it in quotation marks"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Print(viewRows())
			}
			query, err := readQuery(c, args[0])
			if err != nil {
				return err
			}
			r, err := f.open(cmd.Context(), "sql")
			if err != nil {
				return err
			}
			defer r.Close()
			return runQuery(cmd.Context(), c, r, query)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.add(cmd)
	return cmd
}

// viewRow is one column of kumo sql without a query.
type viewRow struct {
	View   string `json:"view" col:"VIEW,keep"`
	Column string `json:"column" col:"COLUMN,keep"`
	About  string `json:"about" col:"ABOUT"`
}

func viewRows() []viewRow {
	var rows []viewRow
	for _, v := range spool.Views() {
		for _, col := range v.Columns {
			rows = append(rows, viewRow{v.Name, col.Name, col.Doc})
		}
	}
	return rows
}

func readQuery(c *cli.Console, arg string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	b, err := io.ReadAll(io.LimitReader(c.In, maxQuery+1))
	if err != nil {
		return "", cli.Failf("sql: read the query: %w", err)
	}
	if len(b) > maxQuery {
		return "", cli.Usagef("sql: the query on stdin is longer than %d bytes", maxQuery)
	}
	return string(b), nil
}

// runQuery prints the rows as they come.
func runQuery(ctx context.Context, c *cli.Console, r *spool.Reader, query string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows := make(chan []any, 64)
	heads := make(chan []string, 1)
	var failed error
	go func() {
		defer close(rows)
		defer close(heads)
		failed = r.Query(ctx, query, func(cols []string) error {
			heads <- cols
			return nil
		}, func(row []any) error {
			select {
			case rows <- row:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	var err error
	if cols, ok := <-heads; ok {
		err = cli.Grid(c, cols, queryRows(rows, &failed))
	}
	cancel()
	for range rows { // until Query has returned: it uses the reader
	}
	if err == nil {
		err = failed
	}
	return queryError(query, err)
}

func queryRows(rows <-chan []any, failed *error) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for row := range rows {
			if !yield(row, nil) {
				return
			}
		}
		if *failed != nil {
			yield(nil, *failed)
		}
	}
}

func queryError(query string, err error) error {
	var bad *spool.QueryError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &bad):
		e := cli.Usagef("sql: %s", bad.Msg)
		if strings.Contains(query, "`") || !strings.ContainsAny(query, " \n\t") {
			return e.WithHint("put the query in quotation marks, so that the shell leaves it alone; kumo sql lists the columns")
		}
		return e.WithHint("kumo sql lists the views and their columns")
	}
	return spoolError("sql", err)
}
