package main

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/journal"
	"kumo/pkg/node"
)

func newLog(c *cli.Console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Read the log",
		Long: `The commands of log read the records that a policy's configure_local_logs had written: one for each fact about a
message.

Exit codes: 0 done; 1 failed; 2 usage.`,
		Example: `  kumo log tail
  kumo log tail -f --type Bounce`,
		Args: args(0, 0, "one of the commands that kumo log --help lists"),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLogTail(c))
	return cmd
}

// logFlags are what kumo log tail was asked for.
type logFlags struct {
	logs, policy, spool string
	follow, all         bool
	last                int
	types               []string
	queue, id           string
}

// logRow is one record as people read it; machines get the record as it stands in the log.
type logRow struct {
	journal.Entry

	Time      time.Time `json:"-" col:"TIME,keep"`
	Type      string    `json:"-" col:"TYPE,keep"`
	ID        string    `json:"-" col:"ID,keep"`
	Queue     string    `json:"-" col:"QUEUE"`
	Recipient string    `json:"-" col:"RECIPIENT"`
	Answer    string    `json:"-" col:"ANSWER"`
}

// MarshalJSON is the record alone.
func (r logRow) MarshalJSON() ([]byte, error) { return r.Entry.MarshalJSON() }

func newLogTail(c *cli.Console) *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{
		Use:   "tail [--follow] [--all | -n N]",
		Short: "Print log records, the newest last",
		Long: `tail prints records of the log, decompressed: one per line. Without flags it prints the last 10; --all prints every
record that is there, --follow waits for more until it is interrupted.

The log is found by --logs DIR, else by the spool, which remembers where its logs are (--spool DIR or KUMO_SPOOL), else
by the policy (--policy FILE or the default one). In a pipe, and with --format jsonl, each line is the record as KumoMTA
writes it.

Exit codes: 0 done; 1 there is no log, or it cannot be read; 2 usage; 130 interrupted.`,
		Example: `  kumo log tail -f
  kumo log tail --all --type Bounce,TransientFailure --format jsonl | jq -r .response.content
  kumo log tail --all --id 5d3f2c4ec60b11f1ad62525400a1b2c3`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error { return tailLog(cmd, c, f) },
	}
	cmd.Flags().StringVar(&f.logs, "logs", "", "log directory `DIR`; else the policy says")
	cmd.Flags().StringVar(&f.spool, "spool", "", "spool directory `DIR`, which remembers where its logs are; else $KUMO_SPOOL, unless there is --policy")
	cmd.Flags().StringVar(&f.policy, "policy", "", "policy `FILE` that says where the log is")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "wait for more records")
	cmd.Flags().BoolVar(&f.all, "all", false, "print every record that is there")
	cmd.Flags().IntVarP(&f.last, "last", "n", 10, "print the last `N` records")
	cmd.Flags().StringSliceVar(&f.types, "type", nil, "only records of these `TYPES`, comma separated")
	cmd.Flags().StringVar(&f.queue, "queue", "", "only records of the scheduled queue `NAME`")
	cmd.Flags().StringVar(&f.id, "id", "", "only records of the message `ID`")
	_ = cmd.MarkFlagDirname("logs")
	_ = cmd.MarkFlagDirname("spool")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(typeNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func typeNames() []string {
	var names []string
	for _, t := range journal.Types() {
		names = append(names, string(t))
	}
	return names
}

func tailLog(cmd *cobra.Command, c *cli.Console, f logFlags) error {
	for _, t := range f.types {
		if !slices.Contains(typeNames(), t) {
			return cli.Usagef("--type %s: no such record type", t).WithHint("the types are %s", strings.Join(typeNames(), ", "))
		}
	}
	if f.last < 0 {
		return cli.Usagef("-n %d: want 0 or more", f.last)
	}
	dirs, err := f.dirs(cmd.Context())
	if err != nil {
		return err
	}
	if len(dirs) > 1 {
		c.Note("the policy writes %d logs; this is %s (--logs DIR names another: %s)", len(dirs), dirs[0], strings.Join(dirs[1:], ", "))
	}
	if !cmd.Flags().Changed("format") && !c.OutTTY {
		c.Format = cli.JSONL // a stream's default in a pipe, but not for what goes wrong
		defer func() { c.Format = cli.Text }()
	}
	opts := journal.TailOptions{
		Dir: dirs[0], From: journal.FromOldest, Follow: f.follow, Match: f.match,
		Warn: func(err error) { c.Warn("%s", err) },
	}
	rows := journal.Tail(cmd.Context(), opts)
	if !f.all {
		rows, err = lastThenMore(cmd, opts, f)
		if err != nil {
			return logError(dirs[0], err)
		}
	}
	if f.follow && c.Format == cli.JSON {
		c.Format = cli.JSONL // a document that never ends would never be shown
	}
	err = cli.Rows(c, logRows(rows))
	if err == nil && cmd.Context().Err() != nil {
		return &cli.Exit{Code: cli.CodeInterrupted} // the user knows
	}
	return logError(dirs[0], err)
}

// dirs are where the logs are. A spool remembers them; it is asked where one is named and no policy is.
func (f logFlags) dirs(ctx context.Context) ([]string, error) {
	o := node.Options{Policy: f.policy, Version: version}
	dir := f.spool
	if dir == "" && f.policy == "" {
		dir = os.Getenv("KUMO_SPOOL")
	}
	if f.logs != "" || dir == "" {
		return node.LogDirs(ctx, f.logs, o)
	}
	return node.LogsOfSpool(ctx, dir, o)
}

func (f logFlags) match(e *journal.Entry) bool {
	return (len(f.types) == 0 || slices.Contains(f.types, string(e.Type))) &&
		(f.queue == "" || f.queue == e.Queue) && (f.id == "" || f.id == e.ID)
}

// lastThenMore counts what is there, and reads again from the start, past all but the last records: so nothing that
// is written meanwhile is missed.
func lastThenMore(cmd *cobra.Command, opts journal.TailOptions, f logFlags) (iter.Seq2[journal.Entry, error], error) {
	skip := -f.last
	count := opts
	count.Follow, count.Warn = false, nil
	for _, err := range journal.Tail(cmd.Context(), count) {
		if err != nil {
			return nil, err
		}
		skip++
	}
	return func(yield func(journal.Entry, error) bool) {
		for e, err := range journal.Tail(cmd.Context(), opts) {
			if skip--; err == nil && skip >= 0 {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}, nil
}

func logRows(entries iter.Seq2[journal.Entry, error]) iter.Seq2[logRow, error] {
	return func(yield func(logRow, error) bool) {
		for e, err := range entries {
			answer := e.Response.Content
			if e.Response.Code != 0 {
				answer = e.Response.Reply().String()
			}
			row := logRow{
				Entry: e, Time: e.Time(), Type: string(e.Type), ID: e.ID, Queue: e.Queue,
				Recipient: strings.Join(e.Recipients, ","), Answer: answer,
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

func logError(dir string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return cli.Failf("log: there is no directory %s", dir).WithHint("name it with --logs DIR, or the policy that writes it with --policy FILE")
	}
	return err
}
