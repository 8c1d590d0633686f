package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/spool"
)

// summaryRow is one scheduled queue.
type summaryRow struct {
	Queue    string    `json:"queue" col:"QUEUE"`
	Messages int       `json:"messages" col:"MESSAGES"`
	Bytes    int64     `json:"bytes" col:"BYTES"`
	Oldest   time.Time `json:"oldest,omitzero" col:"OLDEST"`
	NextDue  time.Time `json:"next_due,omitzero" col:"NEXT DUE"`
	Held     int       `json:"held" col:"HELD"`
	Attempts int64     `json:"attempts"` // made so far for these messages, together
	Bar      bar       `json:"-" col:"DEPTH,terminal"`
}

func newQueueSummary(c *cli.Console, f *spoolFlags) *cobra.Command {
	var m matchFlags
	cmd := &cobra.Command{
		Use:   "summary [QUEUE]…",
		Short: "Sum up the scheduled queues, one row each",
		Long: `summary prints one row for each scheduled queue that has messages, the longest first: how many messages, their bytes,
when the oldest was taken in, when the next one is due, and how many of them an order holds. On a terminal a bar shows
how the queues compare.

It works beside a running daemon (then it is at most a second behind) and without one. With flags that say which
messages it counts those alone.

` + matchHelp + `

Exit codes: 0 done; 1 failed; 2 usage; 10 there is no spool.`,
		Example: `  kumo queue summary
  kumo queue summary --tenant acme
  kumo queue summary --where 'attempts > 5'
  kumo queue summary --format json | jq '[.[].messages] | add'`,
		Args: args(0, -1, "names of queues"),
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := listFilter(&m, "", args)
			if err != nil {
				return err
			}
			r, err := f.open(cmd.Context(), "queue summary")
			if err != nil {
				return err
			}
			defer r.Close()
			queues, err := r.Summary(cmd.Context(), want)
			if err != nil {
				return spoolError("queue summary", err)
			}
			return printSummary(c, queues)
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return queueWords(cmd.Context(), f, func(name string) string { return name }), cobra.ShellCompDirectiveNoFileComp
		},
	}
	m.add(cmd, f)
	return cmd
}

// printSummary prints the longest queue first, and on a terminal what all of them come to.
func printSummary(c *cli.Console, queues []spool.QueueRow) error {
	rows := make([]summaryRow, 0, len(queues))
	for _, q := range queues {
		rows = append(rows, summaryRow{Queue: q.Queue, Messages: q.Messages, Bytes: q.Bytes, Oldest: q.Oldest, NextDue: q.NextDue, Held: q.Held, Attempts: q.Attempts})
	}
	slices.SortFunc(rows, func(a, b summaryRow) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Queue, b.Queue))
	})
	total := summaryRow{}
	for i := range rows {
		total.Messages += rows[i].Messages
		total.Bytes += rows[i].Bytes
		total.Held += rows[i].Held
		rows[i].Bar = bar{rows[i].Messages, rows[0].Messages}
	}
	if err := c.Print(rows); err != nil {
		return err
	}
	if !c.OutTTY || c.Format != cli.Text {
		return nil
	}
	text := counted(total.Messages, "message") + " in " + counted(len(rows), "queue")
	if len(rows) == 0 {
		text = "nothing waits"
	} else {
		text += ", " + size(total.Bytes)
	}
	if total.Held > 0 {
		text += "; " + grouped(int64(total.Held)) + " held"
	}
	c.Note("%s", text)
	return nil
}

// bar is part of a whole, drawn in eighths of a character.
type bar struct{ part, whole int }

const barWidth = 12

// String draws it; the smallest part that is there shows.
func (b bar) String() string {
	if b.whole <= 0 || b.part <= 0 {
		return ""
	}
	eighths := max(1, b.part*barWidth*8/b.whole)
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return text
}
