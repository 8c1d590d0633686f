package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/torture"
)

func newTorture(c *cli.Console) *cobra.Command {
	o := torture.Options{Seed: 1, Points: 500}
	cmd := &cobra.Command{
		Use:    "torture [--seed N] [--points N]",
		Short:  "Break spools on purpose, and look whether mail is lost",
		Hidden: true,
		Long: `torture runs so many points. Each makes a spool, does random things with it, breaks it in a way that the seed draws
(a power cut, a disk that fails or is full, damage, a daemon that is killed under load), opens what is left, and
compares that with what it knows: everything that was acknowledged is there, byte for byte, once.

It touches nothing but a directory of its own below $TMPDIR, and listens on loopback only. A point that fails is shown
with the command that runs it again. The last line counts: "N passed, N failed".

Exit codes: 0 done; 1 failed: a point did; 2 usage.`,
		Example: `  kumo torture --seed 7 --points 10000
  kumo torture --seed 7 --points 1 --point 4711
  kumo torture --points 100 --kind cut-compaction --format json`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Points < 0 || o.First < 0 {
				return cli.Usagef("torture: --points %d --point %d: want numbers that are not negative", o.Points, o.First)
			}
			return tortureRun(cmd, c, o)
		},
	}
	cmd.Flags().Uint64Var(&o.Seed, "seed", o.Seed, "draws everything: the same seed runs the same points")
	cmd.Flags().IntVar(&o.Points, "points", o.Points, "how many points to run")
	cmd.Flags().IntVar(&o.First, "point", 0, "number of the first point")
	cmd.Flags().StringVar(&o.Kind, "kind", "", "run points of this `KIND` only")
	cmd.Flags().IntVar(&o.Jobs, "jobs", 0, "points that run side by side; 0 is one for each processor")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(torture.KindNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func tortureRun(cmd *cobra.Command, c *cli.Console, o torture.Options) error {
	var err error
	if o.Program, err = os.Executable(); err != nil {
		return cli.Failf("torture: %w", err)
	}
	o.Progress = func(done, failed int) { c.Progress("%d of %d points, %d failed", done, o.Points, failed) }
	r, err := torture.Run(cmd.Context(), o)
	c.Done()
	if r == nil {
		return cli.Usagef("torture: %w", err)
	}
	if err != nil {
		return cli.Failf("torture: %w", err)
	}
	for _, f := range r.Failures {
		c.Warn("point %d (%s) failed:\n  %s", f.Point, f.Kind, strings.Join(f.Wrong, "\n  "))
		if len(f.Said) > 0 {
			c.Note("the spool said:\n  %s", strings.Join(f.Said, "\n  "))
		}
		c.Note("again: %s", f.Again)
	}
	if err := printTorture(c, r); err != nil {
		return err
	}
	if r.Failed > 0 {
		return cli.Failf("torture: %d of %d points failed", r.Failed, r.Passed+r.Failed)
	}
	return nil
}

// printTorture prints the report; as text the last line counts, also in a pipe.
func printTorture(c *cli.Console, r *torture.Report) error {
	if c.Format != cli.Text {
		return c.Print(r)
	}
	if err := c.Print(r.Kinds); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%d messages, %d ends, %d other changes, %d compactions, %d recoveries, %d ends forgotten as they may be, %.1f s\n",
		r.Totals.Messages, r.Totals.Ends, r.Totals.Changes, r.Totals.Compactions, r.Totals.Opens, r.Totals.Repeats, r.Seconds)
	fmt.Fprintf(c.Out, "%d passed, %d failed\n", r.Passed, r.Failed)
	return nil
}
