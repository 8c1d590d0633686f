package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"kumo/cmd/kumo/top"
	"kumo/pkg/cli"
	"kumo/pkg/node"
	"kumo/pkg/spool"
)

// topFlags are what kumo top was asked for.
type topFlags struct {
	spoolFlags

	once     bool
	interval time.Duration
	order    string
	filter   string
}

// Bounds of --interval: the spool's figures are at most a second old, and a view that hardly moves is a list.
const (
	minInterval = 100 * time.Millisecond
	maxInterval = time.Hour
)

func newTop(c *cli.Console) *cobra.Command {
	f := &topFlags{}
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the queues: rates in and out, depth and age",
		Long: `top shows on the whole terminal what goes through the spool and what waits in it: messages in and out per second, and
the scheduled queues, the deepest first. Enter opens the queue under the cursor and shows its messages; the keys stand
in the last line, ? shows all of them. It works beside a running daemon (then it is at most a second behind) and without
one, and holds nothing up.

With --once, with --format json or jsonl, or when the output is no terminal, it prints one picture and ends. Beside a
daemon it looks twice for that, --interval apart, because a rate takes two looks.

Exit codes: 0 done; 1 failed; 2 usage; 10 there is no spool.`,
		Example: `  kumo top
  kumo top --sort age --filter gmail
  kumo top --once --format json | jq .in_per_second`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error { return runTop(cmd, c, f) },
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.once, "once", false, "print one picture and end")
	cmd.Flags().DurationVar(&f.interval, "interval", time.Second, "`TIME` between two looks, from 100ms to 1h")
	cmd.Flags().StringVar(&f.order, "sort", string(top.ByDepth), "first `ORDER` of the queues: depth, age, next or name")
	cmd.Flags().StringVar(&f.filter, "filter", "", "only queues with `TEXT` in their name")
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions([]string{"depth", "age", "next", "name"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runTop(cmd *cobra.Command, c *cli.Console, f *topFlags) error {
	order, err := top.ParseOrder(f.order)
	if err != nil {
		return cli.Usagef("--sort: %w", err)
	}
	if f.interval < minInterval || f.interval > maxInterval {
		return cli.Usagef("--interval %s: want a time from %s to %s", f.interval, minInterval, maxInterval)
	}
	ctx := cmd.Context()
	dir, err := node.SpoolDir(ctx, f.spool, node.Options{Policy: f.policy, Version: version})
	if err != nil {
		return spoolError("top", err)
	}
	s := &topSource{dir: dir}
	defer s.close()
	if err := s.open(ctx); err != nil { // said where everything else is said, not in a view that goes away
		return spoolError("top", err)
	}
	if f.once || !c.OutTTY || c.Format != cli.Text {
		p, err := picture(ctx, s, f.interval)
		if err != nil {
			return spoolError("top", err)
		}
		p.Queues = top.Arrange(p.Queues, order, false, f.filter)
		return c.Print(p)
	}
	return top.Run(ctx, top.Options{
		Source: s, Interval: f.interval, Order: order, Filter: f.filter, Color: c.Color, Now: time.Now,
	}, os.Stdin, os.Stdout)
}

// topPicture is what kumo top --once prints.
type topPicture struct {
	Time     time.Time   `json:"time" col:"TIME"`
	Spool    string      `json:"spool" col:"SPOOL"`
	PID      int         `json:"pid,omitempty" col:"PID"` // of the daemon
	In       *float64    `json:"in_per_second" col:"IN/S"`
	Out      *float64    `json:"out_per_second" col:"OUT/S"`
	Messages int         `json:"messages" col:"MESSAGES"`
	Bytes    int64       `json:"bytes" col:"BYTES"`
	Oldest   time.Time   `json:"oldest,omitzero" col:"OLDEST"`
	Queues   []top.Queue `json:"queues" col:"QUEUES"`

	// Figures count what went through the spool since it was made, as far as its index knows.
	Figures spool.Figures `json:"figures"`
}

// picture looks at the spool, twice if somebody is at work in it.
func picture(ctx context.Context, s *topSource, interval time.Duration) (*topPicture, error) {
	l, err := s.Look(ctx)
	if err != nil {
		return nil, err
	}
	first := l.Count
	for end := time.Now().Add(interval + 2*figuresAge); l.Owner > 0 && !first.At.IsZero() && time.Now().Before(end); interval = minInterval {
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if l, err = s.Look(ctx); err != nil {
			return nil, err
		}
		if _, _, ok := l.Count.Since(first); ok { // else the owner has not counted again yet
			break
		}
	}
	p := &topPicture{Time: l.Time, Spool: l.Spool, PID: l.Owner, Queues: l.Queues, Figures: s.figures}
	if in, out, ok := l.Count.Since(first); ok {
		p.In, p.Out = &in, &out
	}
	for _, q := range l.Queues {
		p.Messages += q.Messages
		p.Bytes += q.Bytes
		if p.Oldest.IsZero() || q.Oldest.Before(p.Oldest) {
			p.Oldest = q.Oldest
		}
	}
	return p, nil
}

// topSource is a spool as kumo top looks at it. Beside an owner it reads what the index says now; without one it
// keeps what it read once, until somebody has been at the spool.
type topSource struct {
	dir    string
	reader *spool.Reader
	opened time.Time
	owner  int
	run    string

	figures spool.Figures // of the last look
}

// figuresAge is how old the figures of a busy owner may be.
const figuresAge = 2 * time.Second

// How often a spool is read anew whose owner is not ready to be followed yet, which can mean the whole log; and one whose
// owner is, in case it had to make its index again.
const (
	patience = 5 * time.Second
	trust    = time.Minute
)

// open makes a reader, a new one if the spool has changed hands.
func (s *topSource) open(ctx context.Context) error {
	owner, run := spool.Owner(s.dir)
	if s.reader != nil && owner == s.owner && run == s.run &&
		(owner == 0 || time.Since(s.opened) < patience || s.reader.Live() && time.Since(s.opened) < trust) {
		return nil
	}
	s.close()
	r, err := spool.OpenReader(ctx, s.dir)
	if err != nil {
		return err
	}
	s.reader, s.owner, s.run, s.opened = r, owner, run, time.Now()
	return nil
}

func (s *topSource) close() {
	if s.reader != nil {
		_ = s.reader.Close()
		s.reader = nil
	}
}

// Look implements top.Source.
func (s *topSource) Look(ctx context.Context) (*top.Look, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	rows, err := s.reader.Summary(ctx, spool.Filter{})
	if err != nil {
		s.close() // the next look begins anew
		return nil, err
	}
	f, err := s.reader.Figures(ctx)
	if err != nil {
		s.close()
		return nil, err
	}
	l := &top.Look{Time: time.Now(), Spool: s.dir, Owner: s.owner, Queues: make([]top.Queue, len(rows))}
	s.figures = f
	if s.owner > 0 && !f.At.IsZero() {
		l.Count = top.Count{
			At: f.At, Run: s.run, In: f.Accepted,
			Out: f.Delivered + f.Bounced + f.Expired + f.AdminBounced + f.Discarded,
		}
		// Where nothing happens nothing is written: then the figures are as good as new.
		if still := l.Time.Add(-figuresAge); f.At.Before(still) {
			l.Count.At = still
		}
	}
	for i, r := range rows {
		l.Queues[i] = top.Queue{Name: r.Queue, Messages: r.Messages, Held: r.Held, Bytes: r.Bytes, Oldest: r.Oldest, NextDue: r.NextDue}
	}
	return l, nil
}

// Messages implements top.Source.
func (s *topSource) Messages(ctx context.Context, queue string, most int) ([]top.Message, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	var out []top.Message
	err := s.reader.List(ctx, spool.Filter{Queue: queue}, func(r spool.Row) error {
		out = append(out, top.Message{
			ID: r.ID.String(), Recipients: r.Recipients, Created: r.Created, Due: r.Due, Attempts: r.Attempts, Size: r.Size,
			Last: r.LastResponse, Held: r.State == spool.StateHeld,
		})
		if len(out) == most {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		s.close()
		return nil, err
	}
	return out, nil
}
