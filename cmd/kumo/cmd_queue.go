package main

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/node"
	"kumo/pkg/spool"
)

// spoolFlags say which spool a verb works on.
type spoolFlags struct {
	spool, policy string
	console       *cli.Console // for progress; may be nil
}

func (f *spoolFlags) add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&f.spool, "spool", "", "spool directory `DIR`; else $KUMO_SPOOL, else the policy says")
	cmd.PersistentFlags().StringVar(&f.policy, "policy", "", "policy `FILE` that says where the spool is")
	_ = cmd.MarkPersistentFlagDirname("spool")
	_ = cmd.MarkPersistentFlagFilename("policy", "lua")
}

func (f *spoolFlags) open(ctx context.Context, verb string) (*spool.Reader, error) {
	r, err := node.OpenReader(ctx, f.spool, node.Options{Policy: f.policy, Version: version, Reading: f.reading(verb)})
	if err != nil {
		return nil, spoolError(verb, err)
	}
	return r, nil
}

// reading shows how much of the log has been read, where the index is not enough and that takes a while.
func (f *spoolFlags) reading(verb string) func(done, total int64) {
	if f.console == nil {
		return nil
	}
	began, tell := time.Now(), progressBytes(f.console, verb+": read the log")
	return func(done, total int64) {
		if time.Since(began) > readingTick {
			tell(done, total)
		}
	}
}

// readingTick is how long a command reads the log before it says so.
const readingTick = 300 * time.Millisecond

func newQueue(c *cli.Console) *cobra.Command {
	f := &spoolFlags{console: c}
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "See what waits in the spool, and give orders about it",
		Long: `The commands of queue look at the messages that wait in the spool, and give orders about them: beside a running daemon,
which then carries the orders out, or without one.

Exit codes: 0 done, if only for no messages; 1 failed; 2 usage; 3 partly done; 10 there is no spool; 12 the daemon does
not answer; 130 interrupted.`,
		Example: `  kumo queue summary
  kumo queue list --domain example.org
  kumo queue show 5d3f2c4ec60b11f1ad62525400a1b2c3
  kumo queue bounce --campaign spring --dry-run`,
		Args: args(0, 0, "one of the commands that kumo queue --help lists"),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.add(cmd)
	cmd.AddCommand(newQueueSummary(c, f), newQueueList(c, f), newQueueShow(c, f))
	cmd.AddCommand(newMassVerbs(c, f)...)
	cmd.AddCommand(newQueueUndo(c, f), newQueueOrders(c, f))
	return cmd
}

// queueRow is one message of kumo queue list.
type queueRow struct {
	ID         string    `json:"id" col:"ID,keep"`
	Queue      string    `json:"queue" col:"QUEUE"`
	Sender     string    `json:"sender" col:"SENDER,wide"`
	Recipients []string  `json:"recipients" col:"RECIPIENT"`
	Created    time.Time `json:"created" col:"CREATED"`
	Due        time.Time `json:"due,omitzero" col:"DUE"`
	Attempts   int       `json:"attempts" col:"TRIES"`
	Size       int       `json:"size" col:"BYTES"`
	Last       string    `json:"last_response,omitempty" col:"LAST ANSWER"`
	State      rowState  `json:"state" col:"STATE"`
	HeldBy     string    `json:"held_by,omitempty"` // the order
}

// rowState is where a message stands.
type rowState string

// Style makes those stand out that nobody tries.
func (s rowState) Style() cli.Style {
	if s == spool.StateScheduled {
		return cli.Plain
	}
	return cli.Warning
}

func rowOf(r spool.Row) queueRow {
	return queueRow{
		ID: r.ID.String(), Queue: r.Queue, Sender: r.Sender, Recipients: r.Recipients,
		Created: r.Created, Due: r.Due, Attempts: r.Attempts, Size: r.Size, Last: r.LastResponse,
		State: rowState(r.State), HeldBy: r.Order,
	}
}

func newQueueList(c *cli.Console, f *spoolFlags) *cobra.Command {
	var m matchFlags
	var state string
	cmd := &cobra.Command{
		Use:   "list [QUEUE]",
		Short: "List waiting messages, one row each",
		Long: `list prints one row for each message in the spool, or in the scheduled queue QUEUE, or that fits the flags: its id,
queue, recipients, when it was taken in, when it is tried next, how often it was tried, its size in bytes, the last
answer that it got, and its state: scheduled, held (kumo queue hold) or trashed (kumo queue bounce). Those in the trash
are listed with --state trash alone.

It works beside a running daemon (then it is at most a second behind) and without one. Nothing to list is not an error.

` + matchHelp + `

Exit codes: 0 done; 1 failed; 2 usage; 10 there is no spool.`,
		Example: `  kumo queue list
  kumo queue list acme@example.org
  kumo queue list --domain example.org --where "attempts > 3 and last_response like '4%'"
  kumo queue list --state held
  kumo queue list --format jsonl | jq -r .id`,
		Args: args(0, 1, "at most one queue"),
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := listFilter(&m, state, args)
			if err != nil {
				return err
			}
			r, err := f.open(cmd.Context(), "queue list")
			if err != nil {
				return err
			}
			defer r.Close()
			return cli.Rows(c, listRows(cmd.Context(), r, want))
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return queueWords(cmd.Context(), f, func(name string) string { return name }), cobra.ShellCompDirectiveNoFileComp
		},
	}
	m.add(cmd, f)
	cmd.Flags().StringVar(&state, "state", "", "messages in this `STATE`: scheduled, held or trash")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"scheduled", "held", "trash"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// listFilter is what kumo queue list was asked for.
func listFilter(f *matchFlags, state string, args []string) (spool.Filter, error) {
	m, ids, err := f.read("queue list")
	if err != nil {
		return spool.Filter{}, err
	}
	m.Queues = append(m.Queues, args...)
	m.All = m.IsZero()
	want := spool.Filter{Match: m, IDs: ids}
	switch state {
	case "", spool.StateScheduled, spool.StateHeld, spool.StateTrashed:
		want.State = state
	case "trash":
		want.State = spool.StateTrashed
	default:
		return want, cli.Usagef("queue list: --state %s: want scheduled, held or trash", state)
	}
	return want, nil
}

// errEnough stops a listing that nobody reads any more.
var errEnough = errors.New("enough")

func listRows(ctx context.Context, r *spool.Reader, want spool.Filter) iter.Seq2[queueRow, error] {
	return func(yield func(queueRow, error) bool) {
		err := r.List(ctx, want, func(row spool.Row) error {
			if !yield(rowOf(row), nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(queueRow{}, spoolError("queue list", err))
		}
	}
}

// someIDs are the first ids of the spool, for completion.
func someIDs(ctx context.Context, f *spoolFlags) []string {
	r, err := f.open(ctx, "queue show")
	if err != nil {
		return nil
	}
	defer r.Close()
	var ids []string
	_ = r.List(ctx, spool.Filter{}, func(row spool.Row) error {
		ids = append(ids, row.ID.String()+"\t"+row.Queue)
		if len(ids) == 100 {
			return errEnough
		}
		return nil
	})
	return ids
}
