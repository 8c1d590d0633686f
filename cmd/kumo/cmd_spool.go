package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/node"
	"kumo/pkg/spool"
)

func newSpool(c *cli.Console) *cobra.Command {
	f := &spoolFlags{console: c}
	cmd := &cobra.Command{
		Use:   "spool",
		Short: "Look after the spool: is it whole, how big is it",
		Long: `The commands of spool look after the spool itself, not after single messages: that is what kumo queue does.

Exit codes: 0 done; 1 failed; 2 usage; 4 something is wrong with the spool; 10 there is no spool; 11 a daemon owns the
spool; 130 interrupted.`,
		Example: `  kumo spool stats
  kumo spool check --audit`,
		Args: args(0, 0, "one of the commands that kumo spool --help lists"),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.add(cmd)
	cmd.AddCommand(newSpoolCheck(c, f), newSpoolCompact(c, f), newSpoolStats(c, f))
	return cmd
}

// dir is the spool's directory.
func (f *spoolFlags) dir(ctx context.Context, verb string) (string, error) {
	dir, err := node.SpoolDir(ctx, f.spool, node.Options{Policy: f.policy, Version: version})
	if err != nil {
		return "", spoolError(verb, err)
	}
	return dir, nil
}

// spoolStats is what kumo spool stats prints.
type spoolStats struct {
	spool.Footprint

	Messages  int       `json:"messages"`
	OnHold    int       `json:"held_messages"`
	Trashed   int       `json:"trashed_messages"`
	Mail      int64     `json:"mail_bytes"`
	Queues    int       `json:"queues"`
	Oldest    time.Time `json:"oldest,omitzero"`
	Disk      string    `json:"file_system"`
	Free      int64     `json:"free_bytes"`
	Total     int64     `json:"total_bytes"`
	FreeNodes int64     `json:"free_inodes,omitempty"`
	AllNodes  int64     `json:"total_inodes,omitempty"`
}

// WriteText prints names and values.
func (s spoolStats) WriteText(c *cli.Console, w io.Writer) error {
	bytes := func(n int64) string {
		if c.OutTTY {
			return size(n)
		}
		return fmt.Sprint(n)
	}
	number := func(n int) string {
		if c.OutTTY {
			return grouped(int64(n))
		}
		return fmt.Sprint(n)
	}
	owner := "nobody"
	if s.Held {
		owner = fmt.Sprintf("a daemon (pid %d)", s.PID)
	}
	fields := [][2]string{
		{"directory", s.Dir},
		{"owner", owner},
		{"messages", number(s.Messages)},
		{"held", number(s.OnHold)},
		{"trashed", number(s.Trashed)},
		{"queues", number(s.Queues)},
		{"oldest", c.Time(s.Oldest)},
		{"mail", bytes(s.Mail)},
		{"log", bytes(s.Log)},
		{"segments", number(s.Segments)},
		{"index", bytes(s.Index)},
		{"orders", bytes(s.Footprint.Orders)},
		{"reserve", bytes(s.Reserve)},
	}
	if s.Damaged > 0 {
		fields = append(fields, [2]string{"set aside", bytes(s.Damaged)})
	}
	fields = append(fields, [2]string{"file system", s.Disk}, [2]string{"free", bytes(s.Free) + " of " + bytes(s.Total)})
	if s.AllNodes > 0 {
		fields = append(fields, [2]string{"free inodes", number(int(s.FreeNodes)) + " of " + number(int(s.AllNodes))})
	}
	return writePairs(c, w, fields)
}

func newSpoolStats(c *cli.Console, f *spoolFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "stats",
		Short: "Say what is in the spool, and what it takes on the disk",
		Long: `stats prints how many messages are in the spool, how many of them an order holds, how many are in the trash, and how
many bytes mail, log, index and orders have; and how much room the disk has left. The log is larger than the mail in it:
mail that has ended goes with its segment, or with compaction.

It works beside a running daemon (then it is at most a second behind) and without one.

Exit codes: 0 done; 1 failed; 2 usage; 10 there is no spool.`,
		Example: `  kumo spool stats
  kumo spool stats --format json | jq .free_bytes`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.dir(cmd.Context(), "spool stats")
			if err != nil {
				return err
			}
			s, err := statsOf(cmd.Context(), dir)
			if err != nil {
				return spoolError("spool stats", err)
			}
			return c.Print(s)
		},
	}
}

func statsOf(ctx context.Context, dir string) (*spoolStats, error) {
	foot, err := spool.Measure(dir)
	if err != nil {
		return nil, err
	}
	r, err := spool.OpenReader(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	s := &spoolStats{
		Footprint: foot, Disk: foot.Space.Type, Free: foot.Space.FreeBytes, Total: foot.Space.TotalBytes,
		FreeNodes: foot.Space.FreeInodes, AllNodes: foot.Space.TotalInodes,
	}
	queues, err := r.Summary(ctx, spool.Filter{})
	if err != nil {
		return nil, err
	}
	s.Queues = len(queues)
	for _, q := range queues {
		s.Messages += q.Messages
		s.OnHold += q.Held
		s.Mail += q.Bytes
		if s.Oldest.IsZero() || q.Oldest.Before(s.Oldest) {
			s.Oldest = q.Oldest
		}
	}
	trash, err := r.Summary(ctx, spool.Filter{State: spool.StateTrashed})
	for _, q := range trash {
		s.Trashed += q.Messages
		s.Mail += q.Bytes
	}
	return s, err
}

// compacted is what kumo spool compact did.
type compacted struct {
	Dir    string        `json:"dir" col:"SPOOL"`
	Before int64         `json:"before_bytes" col:"BEFORE"`
	After  int64         `json:"after_bytes" col:"AFTER"`
	Took   time.Duration `json:"took" col:"TOOK"` // nanoseconds
}

func newSpoolCompact(c *cli.Console, f *spoolFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "compact",
		Short: "Give the room of ended mail back, without a daemon",
		Long: `compact copies the mail that is still there to the end of the log and deletes the segments that it was in, so that the
log is as small as it gets. A daemon does this by itself, a little at a time, whenever the log has become much larger
than the mail in it; while one runs, compact leaves the spool to it.

It can be interrupted at any time: what it copied is copied, and nothing is lost.

Exit codes: 0 done; 1 failed; 2 usage; 10 there is no spool; 11 a daemon owns the spool; 130 interrupted.`,
		Example: `  kumo spool compact
  kumo spool compact --spool /var/spool/kumomta/data --format json`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.dir(cmd.Context(), "spool compact")
			if err != nil {
				return err
			}
			return compactSpool(cmd.Context(), c, dir)
		},
	}
}

func compactSpool(ctx context.Context, c *cli.Console, dir string) error {
	const verb = "spool compact"
	began := time.Now()
	before, err := spool.Measure(dir)
	if err != nil {
		return spoolError(verb, err)
	}
	if before.Held {
		return cli.Errorf(cli.CodeSpoolHeld, "%s: %w", verb, &spool.HeldError{Dir: dir, PID: before.PID}).
			WithHint("a daemon compacts the log by itself when that is worth it")
	}
	s, err := spool.Open(ctx, spool.Config{Dir: dir, Log: slog.New(slog.DiscardHandler), TrashKeep: spool.TrashStays})
	if err != nil {
		return spoolError(verb, err)
	}
	err = s.Compact(ctx, progressBytes(c, verb))
	c.Done()
	if err = errors.Join(err, s.Close()); err != nil {
		return spoolError(verb, err)
	}
	after, err := spool.Measure(dir)
	if err != nil {
		return spoolError(verb, err)
	}
	did := compacted{Dir: dir, Before: before.Log, After: after.Log, Took: time.Since(began)}
	if c.Format == cli.Text {
		return c.Print([]compacted{did})
	}
	return c.Print(did)
}

// progressBytes shows how much of so many bytes is done, as a share and as a number.
func progressBytes(c *cli.Console, verb string) func(done, total int64) {
	var last time.Time
	return func(done, total int64) {
		if total <= 0 || time.Since(last) < progressTick {
			return
		}
		last = time.Now()
		c.Progress("%s: %d %% of %s", verb, min(100, done*100/total), size(total))
	}
}

const progressTick = 100 * time.Millisecond
