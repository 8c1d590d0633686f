package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/node"
	"kumo/pkg/spool"
)

// spoolFlags say which spool a verb works on.
type spoolFlags struct{ spool, policy string }

func (f *spoolFlags) add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&f.spool, "spool", "", "spool directory `DIR`; else $KUMO_SPOOL, else the policy says")
	cmd.PersistentFlags().StringVar(&f.policy, "policy", "", "policy `FILE` that says where the spool is")
	_ = cmd.MarkPersistentFlagDirname("spool")
	_ = cmd.MarkPersistentFlagFilename("policy", "lua")
}

func (f *spoolFlags) open(ctx context.Context, verb string) (*spool.Reader, error) {
	r, err := node.OpenReader(ctx, f.spool, node.Options{Policy: f.policy, Version: version})
	if err != nil {
		return nil, spoolError(verb, err)
	}
	return r, nil
}

func newQueue(c *cli.Console) *cobra.Command {
	f := &spoolFlags{}
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "See what waits in the spool",
		Long: `The commands of queue look at the messages that wait in the spool, beside a running daemon or without one.

Exit codes: 0 done; 1 failed; 2 usage; 10 there is no spool.`,
		Example: `  kumo queue list
  kumo queue show 5d3f2c4ec60b11f1ad62525400a1b2c3`,
		Args: args(0, 0, "one of the commands that kumo queue --help lists"),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.add(cmd)
	cmd.AddCommand(newQueueList(c, f), newQueueShow(c, f))
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
}

func rowOf(r spool.Row) queueRow {
	return queueRow{
		ID: r.ID.String(), Queue: r.Queue, Sender: r.Sender, Recipients: r.Recipients,
		Created: r.Created, Due: r.Due, Attempts: r.Attempts, Size: r.Size, Last: r.LastResponse,
	}
}

func newQueueList(c *cli.Console, f *spoolFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list [QUEUE]",
		Short: "List waiting messages, one row each",
		Long: `list prints one row for each message in the spool, or in the scheduled queue QUEUE: its id, queue, recipients, when it
was taken in, when it is tried next, how often it was tried, its size in bytes and the last answer that it got.

It works beside a running daemon (then it is at most a second behind) and without one. Nothing to list is not an error.

Exit codes: 0 done; 1 failed; 2 usage; 10 there is no spool.`,
		Example: `  kumo queue list
  kumo queue list acme@example.org
  kumo queue list --format jsonl | jq -r .id`,
		Args: args(0, 1, "at most one queue"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var want spool.Filter
			if len(args) > 0 {
				want.Queue = args[0]
			}
			r, err := f.open(cmd.Context(), "queue list")
			if err != nil {
				return err
			}
			defer r.Close()
			return cli.Rows(c, listRows(cmd.Context(), r, want))
		},
	}
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

// queueMessage is what kumo queue show prints.
type queueMessage struct {
	queueRow

	Meta map[string]any `json:"meta"`
	Head []string       `json:"headers"`
}

// WriteText prints the envelope, the metadata and the header.
func (m queueMessage) WriteText(c *cli.Console, w io.Writer) error {
	row := m.queueRow
	fields := [][2]string{
		{"id", row.ID},
		{"queue", row.Queue},
		{"sender", "<" + row.Sender + ">"},
		{"recipients", "<" + strings.Join(row.Recipients, ">, <") + ">"},
		{"created", c.Time(row.Created)},
		{"due", c.Time(row.Due)},
		{"tries", fmt.Sprint(row.Attempts)},
		{"size", fmt.Sprintf("%d bytes", row.Size)},
		{"last answer", row.Last},
	}
	for _, k := range sortedKeys(m.Meta) {
		fields = append(fields, [2]string{"meta " + k, fmt.Sprint(m.Meta[k])})
	}
	for _, h := range m.Head {
		fields = append(fields, [2]string{"header", h})
	}
	return writePairs(c, w, fields)
}

// writePairs prints names and values: under each other on a terminal, with a tab between them elsewhere.
func writePairs(c *cli.Console, w io.Writer, pairs [][2]string) error {
	wide := 0
	for _, p := range pairs {
		wide = max(wide, utf8.RuneCountInString(cli.Tame(p[0])))
	}
	var b strings.Builder
	for _, p := range pairs {
		name, value := cli.Tame(p[0]), cli.Tame(p[1])
		switch {
		case value == "":
		case c.OutTTY:
			fmt.Fprintf(&b, "%-*s  %s\n", wide, name, value)
		default:
			b.WriteString(name + "\t" + value + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func newQueueShow(c *cli.Console, f *spoolFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one waiting message: envelope, metadata, header",
		Long: `show prints what the spool knows of one message: envelope, queue, times, metadata, the last answer, and the header as
it is stored.

Exit codes: 0 done; 1 there is no such message, or it cannot be read; 2 usage; 10 there is no spool.`,
		Example: `  kumo queue show 5d3f2c4ec60b11f1ad62525400a1b2c3
  kumo queue show 5d3f2c4ec60b11f1ad62525400a1b2c3 --format json`,
		Args: args(1, 1, "one id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := message.ParseID(args[0])
			if err != nil {
				return cli.Usagef("queue show: %w", err).WithHint("kumo queue list shows ids")
			}
			r, err := f.open(cmd.Context(), "queue show")
			if err != nil {
				return err
			}
			defer r.Close()
			v, err := showMessage(cmd.Context(), r, id)
			if errors.Is(err, spool.ErrGone) {
				return cli.Failf("queue show: message %s is not in the spool", id).WithHint("if it has ended, kumo log tail --all --id %s says how", id)
			}
			if err != nil {
				return spoolError("queue show", err)
			}
			return c.Print(v)
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return someIDs(cmd.Context(), f), cobra.ShellCompDirectiveNoFileComp
		},
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

func showMessage(ctx context.Context, r *spool.Reader, id message.ID) (*queueMessage, error) {
	row, err := r.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	m, err := r.Message(ctx, id)
	if err != nil {
		return nil, err
	}
	v := &queueMessage{queueRow: rowOf(row), Meta: m.Meta.All()}
	data, err := m.Data()
	if err != nil {
		return nil, err
	}
	for f := range mail.Fields(data) {
		v.Head = append(v.Head, string(f.Name)+": "+f.Decoded())
	}
	return v, nil
}
