package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/node"
	"kumo/pkg/spool"
)

// orderRow is one order of kumo queue orders.
type orderRow struct {
	Order   string         `json:"order" col:"ORDER,keep"`
	Kind    string         `json:"kind" col:"KIND"`
	State   orderState     `json:"state" col:"STATE"`
	Created time.Time      `json:"created" col:"CREATED"`
	Author  string         `json:"author" col:"AUTHOR"`
	Matched int            `json:"matched" col:"MATCHED"`
	Done    int            `json:"done" col:"DONE"`
	Busy    int            `json:"busy" col:"BUSY,wide"`
	Expires time.Time      `json:"expires,omitzero" col:"EXPIRES"`
	Match   string         `json:"match" col:"MATCH"`
	Reason  string         `json:"reason,omitempty" col:"REASON"`
	Error   string         `json:"error,omitempty"`
	Command *spool.Command `json:"command,omitempty"`
	Ended   time.Time      `json:"finished,omitzero"`
	Sample  []string       `json:"sample,omitempty"`
}

// orderState is how far an order is.
type orderState string

// The states of an order in a list, beside those of spool.
const (
	orderStands  orderState = "standing" // done, and something of it lasts: a suspension, a hold, a trash
	orderWaiting orderState = spool.OrderWaiting
	orderFailed  orderState = spool.OrderFailed
)

// Style makes those stand out that matter now.
func (s orderState) Style() cli.Style {
	switch s {
	case orderStands, orderWaiting:
		return cli.Warning
	case orderFailed:
		return cli.Bad
	}
	return cli.Plain
}

// WriteText prints one order with everything that is known of it.
func (o orderRow) WriteText(c *cli.Console, w io.Writer) error {
	fields := [][2]string{
		{"order", o.Order},
		{"kind", o.Kind},
		{"state", string(o.State)},
		{"author", o.Author},
		{"created", c.Time(o.Created)},
		{"finished", c.Time(o.Ended)},
		{"match", o.Match},
		{"reason", o.Reason},
		{"expires", c.Time(o.Expires)},
		{"error", o.Error},
	}
	if o.State != orderWaiting && o.State != orderFailed {
		fields = append(fields, [2]string{"matched", grouped(int64(o.Matched))}, [2]string{"done", grouped(int64(o.Done))}, [2]string{"busy", grouped(int64(o.Busy))})
	}
	if o.Command != nil {
		for _, k := range slices.Sorted(maps.Keys(o.Command.Set)) {
			fields = append(fields, [2]string{"set " + k, o.Command.Set[k]})
		}
		fields = append(fields, [2]string{"of order", o.Command.Order})
	}
	for _, id := range o.Sample {
		fields = append(fields, [2]string{"message", id})
	}
	return writePairs(c, w, fields)
}

func newQueueOrders(c *cli.Console, f *spoolFlags) *cobra.Command {
	var standing bool
	cmd := &cobra.Command{
		Use:   "orders [ORDER]",
		Short: "List the orders that were given, the newest first",
		Long: `orders prints one row for each order that somebody gave about messages in the last 30 days, the newest first: its id,
what it was, its state, when and by whom it was given, how many messages it matched, was done to and found busy, when it
expires, which messages it was about, and why. With ORDER it prints all that is known of one; the first digits of its id
are enough.

The states: waiting, not carried out yet; failed; done; standing, done and something of it lasts: queues that are
suspended, messages that are held, a trash that kumo queue undo can bring back.

Exit codes: 0 done; 1 failed, there is no such order; 2 usage; 10 there is no spool.`,
		Example: `  kumo queue orders
  kumo queue orders --standing
  kumo queue orders 5d3f2c4ec60b11f1ad62525400a1b2c3
  kumo queue orders --format jsonl | jq -r 'select(.kind == "bounce") | .reason'`,
		Args: args(0, 1, "at most one order"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rows, err := orderRows(cmd.Context(), f, "queue orders")
			if err != nil {
				return err
			}
			if len(args) > 0 {
				row, err := findOrder(rows, "queue orders", args[0])
				if err != nil {
					return err
				}
				return c.Print(row)
			}
			if standing {
				kept := make([]orderRow, 0, len(rows))
				for _, r := range rows {
					if r.State == orderStands {
						kept = append(kept, r)
					}
				}
				rows = kept
			}
			return c.Print(rows)
		},
		ValidArgsFunction: completeOrder(f),
	}
	cmd.Flags().BoolVar(&standing, "standing", false, "only orders of which something lasts")
	return cmd
}

func completeOrder(f *spoolFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return someOrders(cmd.Context(), f), cobra.ShellCompDirectiveNoFileComp
	}
}

// someOrders are the newest orders, for completion.
func someOrders(ctx context.Context, f *spoolFlags) []string {
	rows, err := orderRows(ctx, f, "queue orders")
	if err != nil {
		return nil
	}
	words := make([]string, 0, len(rows))
	for _, r := range rows[:min(len(rows), 100)] {
		words = append(words, strings.TrimSpace(r.Order+"\t"+r.Kind+" "+r.Match+" "+r.Reason))
	}
	return words
}

// findOrder finds an order by its id or the first digits of it.
func findOrder(rows []orderRow, verb, id string) (*orderRow, error) {
	id = strings.ToLower(id)
	var found *orderRow
	for i := range rows {
		if rows[i].Order == id {
			return &rows[i], nil
		}
		if len(id) < minOrderPrefix || !strings.HasPrefix(rows[i].Order, id) {
			continue
		}
		if found != nil {
			return nil, cli.Failf("%s: more than one order begins with %s", verb, id).WithHint("kumo queue orders lists them")
		}
		found = &rows[i]
	}
	if found == nil {
		return nil, cli.Failf("%s: there is no order %s", verb, id).WithHint("kumo queue orders lists them; they are kept for 30 days")
	}
	return found, nil
}

// minOrderPrefix is how many digits of an order's id are needed.
const minOrderPrefix = 4

func newQueueUndo(c *cli.Console, spools *spoolFlags) *cobra.Command {
	f := &massFlags{spools: spools}
	cmd := &cobra.Command{
		Use:   "undo ORDER",
		Short: "Take an order back",
		Long: `undo takes an order back: a bounce, whose messages come back from the trash as they were, for as long as they are there
(define_spool's trash_keep, 1 hour by default); a hold, whose messages are released; a suspension, which ends. An
AdminUndo record that names the order is logged for what comes back from the trash. Other orders cannot be undone.

The first digits of the order's id are enough. undo does not ask; --dry-run only says how many messages there are, and
shows the first of them.

Exit codes: 0 done; 1 failed, there is no such order, or it cannot be undone; 2 usage; 10 there is no spool; 12 the
daemon does not answer; 130 interrupted.`,
		Example: `  kumo queue undo 5d3f2c4ec60b11f1ad62525400a1b2c3
  kumo queue undo 5d3f --dry-run`,
		Args:              args(1, 1, "one order"),
		RunE:              func(cmd *cobra.Command, args []string) error { return undo(cmd.Context(), c, f, args[0]) },
		ValidArgsFunction: completeOrder(spools),
	}
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for those who look at kumo queue orders: `TEXT`")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only say how many messages there are, and show the first of them")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "taken for the sake of scripts: undo never asks")
	return cmd
}

func undo(ctx context.Context, c *cli.Console, f *massFlags, id string) error {
	const verb = "queue undo"
	if strings.TrimSpace(id) == "" {
		return cli.Usagef("%s: the order's id is empty", verb).WithHint("kumo queue orders lists orders")
	}
	rows, err := orderRows(ctx, f.spools, verb)
	if err != nil {
		return err
	}
	o, err := findOrder(rows, verb, id)
	if err != nil {
		return err
	}
	if !undoable(o.Kind) {
		return cli.Failf("%s: order %s is a %s, and that cannot be undone", verb, o.Order, o.Kind).WithHint("a bounce, a hold and a suspension can")
	}
	run := &massRun{
		ctx: ctx, c: c, v: massVerb{kind: spool.OrderUndo}, verb: verb, f: f,
		command: spool.Command{Order: o.Order, Reason: f.reason},
	}
	if f.dryRun {
		return run.preview()
	}
	return run.give()
}

// undoable reports the kinds of orders that can be taken back.
func undoable(kind string) bool {
	return kind == spool.OrderBounce || kind == spool.OrderHold || kind == spool.OrderSuspend
}

// maxOrders is how many orders are listed at most.
const maxOrders = 10_000

// orderRows lists the orders of a spool, the newest first.
func orderRows(ctx context.Context, f *spoolFlags, verb string) ([]orderRow, error) {
	dir, err := node.SpoolDir(ctx, f.spool, node.Options{Policy: f.policy, Version: version})
	if err != nil {
		return nil, spoolError(verb, err)
	}
	orders, err := spool.ListOrders(ctx, dir, spool.OrderFilter{Limit: maxOrders})
	if err != nil {
		return nil, spoolError(verb, err)
	}
	standing, err := standingOrders(ctx, dir)
	if err != nil {
		return nil, spoolError(verb, err)
	}
	rows := make([]orderRow, 0, len(orders))
	for i := range orders {
		row := orderRowOf(&orders[i])
		if _, stands := standing[row.Order]; stands {
			row.State = orderStands
			delete(standing, row.Order)
		}
		rows = append(rows, row)
	}
	for _, row := range standing { // orders.db was lost
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b orderRow) int { return b.Created.Compare(a.Created) })
	return rows, nil
}

// standingOrders are the orders of which something lasts, by their ids, as the log knows them.
func standingOrders(ctx context.Context, dir string) (map[string]orderRow, error) {
	r, err := spool.OpenReader(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := make(map[string]orderRow)
	err = r.Query(ctx, "SELECT id, kind, author, created, reason, match, expires FROM orders WHERE standing",
		func([]string) error { return nil },
		func(v []any) error {
			text := func(i int) string { s, _ := v[i].(string); return s }
			var m spool.Match
			_ = json.Unmarshal([]byte(text(5)), &m) // an order that says nothing is shown all the same
			row := orderRow{
				Order: text(0), Kind: text(1), State: orderStands, Author: text(2), Created: unixTime(v[3]),
				Match: matchText(&m, 0), Reason: text(4), Expires: unixTime(v[6]),
			}
			if row.Kind != spool.OrderSuspend || row.Expires.IsZero() || row.Expires.After(time.Now()) {
				out[row.Order] = row
			}
			return nil
		})
	return out, err
}

// unixTime is a time of the index: seconds since 1970.
func unixTime(v any) time.Time {
	switch x := v.(type) {
	case int64:
		return time.Unix(x, 0)
	case float64:
		whole, part := math.Modf(x)
		return time.Unix(int64(whole), int64(part*1e9))
	}
	return time.Time{}
}

func orderRowOf(o *spool.Order) orderRow {
	row := orderRow{
		Order: o.ID, Kind: o.Kind, State: orderState(o.State), Created: o.Created, Author: o.Author, Error: o.Error, Ended: o.Finished,
	}
	if n := o.Counts; n != nil {
		row.Matched, row.Done, row.Busy = n.Matched, n.Done, n.Busy
		for _, id := range n.Sample {
			row.Sample = append(row.Sample, id.String())
		}
	}
	command, ids, err := o.Command()
	if err != nil {
		return row
	}
	row.Command, row.Reason, row.Expires, row.Match = &command, command.Reason, command.Expires, matchText(&command.Match, len(ids))
	if command.Order != "" {
		row.Match = strings.TrimSpace("--order " + command.Order + " " + row.Match)
	}
	return row
}
