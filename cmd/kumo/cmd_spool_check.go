package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/journal"
	"kumo/pkg/node"
	"kumo/pkg/spool"
)

// checked is what kumo spool check found.
type checked struct {
	Sound bool              `json:"sound"`
	Spool *spool.Report     `json:"spool"`
	Audit *node.AuditResult `json:"audit,omitempty"`
}

// checkFlags are what kumo spool check was asked for.
type checkFlags struct {
	repair, audit bool
	logs          []string
}

func newSpoolCheck(c *cli.Console, spools *spoolFlags) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [--repair] [--audit]",
		Short: "Find out whether the spool is whole and mail was lost",
		Long: `check reads every record of the spool and compares its checksum, looks whether each message that waits has its envelope
and body, and compares index and orders with the log. What is wrong is listed, with the envelope of a message that can
not be delivered any more. It changes nothing and can run beside a daemon.

With --repair it mends what can be mended, and takes what cannot out of the way into the directory damaged; the daemon
must not run. Mail whose records are gone does not come back by it.

Mail that a start found lost because somebody had removed segments is named in damaged/lost-*.jsonl, and listed until
these files are removed; the audit counts it as known lost.

With --audit it then reads the log records, too, and proves that nothing disappeared: each recipient of each Reception
has exactly one end (Delivery, Bounce, Expiration, AdminBounce, XferOut), or is still in the spool. The spool remembers
where its logs are; --logs names other places.

Exit codes: 0 the spool is whole, or was mended; 1 failed; 2 usage; 4 something is wrong; 10 there is no spool; 11
--repair, and a daemon owns the spool; 130 interrupted.`,
		Example: `  kumo spool check
  kumo spool check --audit
  kumo spool check --repair
  kumo spool check --audit --logs /var/log/kumomta --format json | jq .audit.counts`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(f.logs) > 0 && !f.audit {
				return cli.Usagef("spool check: --logs is for --audit").WithHint("say --audit --logs %s", f.logs[0])
			}
			dir, err := spools.dir(cmd.Context(), "spool check")
			if err != nil {
				return err
			}
			return checkSpool(cmd.Context(), c, dir, f)
		},
	}
	cmd.Flags().BoolVar(&f.repair, "repair", false, "mend what can be mended")
	cmd.Flags().BoolVar(&f.audit, "audit", false, "prove from spool and log that nothing disappeared")
	cmd.Flags().StringArrayVar(&f.logs, "logs", nil, "log directory `DIR` for --audit, may be repeated; else those that the spool remembers")
	_ = cmd.MarkFlagDirname("logs")
	return cmd
}

func checkSpool(ctx context.Context, c *cli.Console, dir string, f checkFlags) error {
	const verb = "spool check"
	for _, d := range f.logs {
		if st, err := os.Stat(d); err != nil || !st.IsDir() {
			return cli.Failf("%s: --logs %s: there is no such directory", verb, d)
		}
	}
	report, err := spool.Check(ctx, dir, spool.CheckOptions{Repair: f.repair, Progress: progressBytes(c, verb)})
	c.Done()
	if err != nil {
		return spoolError(verb, err)
	}
	found := &checked{Spool: &report, Sound: report.Sound()}
	if f.audit {
		found.Audit, err = node.Audit(ctx, node.AuditOptions{
			Spool: dir, Logs: f.logs, Progress: progressBytes(c, "audit"),
			Warn: func(err error) { c.Warn("%s", err) },
		})
		c.Done()
		if err != nil {
			return spoolError(verb, err)
		}
		found.Sound = found.Sound && found.Audit.OK()
		if found.Audit.Records == 0 {
			c.Warn("there are no log records in %s: the audit proves nothing", strings.Join(found.Audit.Logs, ", "))
		}
	}
	if err := c.Print(found); err != nil {
		return err
	}
	return found.verdict(f)
}

// verdict is the exit code, with what is wrong in a few words.
func (f *checked) verdict(flags checkFlags) error {
	if f.Sound {
		return nil
	}
	var bad []string
	if n := f.Spool.Problems; n > 0 {
		bad = append(bad, counted(n, "problem"))
	}
	if n := f.Spool.Lost; n > 0 {
		bad = append(bad, counted(n, "message")+" lost or damaged")
	}
	if f.Audit != nil && f.Audit.Problems > 0 {
		bad = append(bad, counted(int(f.Audit.Problems), "recipient")+" of which spool and log disagree")
	}
	e := cli.Errorf(cli.CodeLint, "spool check: %s", strings.Join(bad, ", "))
	if f.Spool.Problems > 0 && !flags.repair {
		return e.WithHint("stop the daemon, and kumo spool check --repair mends what can be mended")
	}
	return e
}

// WriteText prints the findings, and then the figures.
func (f *checked) WriteText(c *cli.Console, w io.Writer) error {
	number := func(n int64) string {
		if c.OutTTY {
			return grouped(n)
		}
		return fmt.Sprint(n)
	}
	var pairs [][2]string
	add := func(name string, n int64) { pairs = append(pairs, [2]string{name, number(n)}) }
	for i := range f.Spool.Findings {
		pairs = append(pairs, findingPair(&f.Spool.Findings[i]))
	}
	if f.Audit != nil {
		for i := range f.Audit.Findings {
			a := &f.Audit.Findings[i]
			pairs = append(pairs, [2]string{a.Kind, a.ID.String() + " <" + a.Recipient + ">: " + a.Detail})
		}
	}
	s := f.Spool
	pairs = append(pairs, [2]string{"spool", s.Dir})
	add("segments", int64(s.Segments))
	add("bytes", s.Bytes)
	add("records", s.Records)
	add("messages", int64(s.Live))
	add("held", int64(s.OnHold))
	add("trashed", int64(s.Trashed))
	add("problems", int64(s.Problems))
	add("lost", int64(s.Lost))
	if f.Audit != nil {
		auditPairs(f.Audit, add)
	}
	verdict := "sound"
	if !f.Sound {
		verdict = "not sound"
	}
	return writePairs(c, w, append(pairs, [2]string{"verdict", verdict}))
}

// findingPair is one finding on one line.
func findingPair(f *spool.Finding) [2]string {
	var b strings.Builder
	if f.ID != nil {
		b.WriteString(f.ID.String() + " ")
	}
	if m := f.Message; m != nil {
		fmt.Fprintf(&b, "from <%s> to ", m.Sender)
		for i, r := range m.Recipients {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, "<%s>", r)
		}
		if m.Queue != "" {
			b.WriteString(" in " + m.Queue)
		}
		b.WriteString(": ")
	}
	if f.Path != "" {
		b.WriteString(f.Path)
		if f.Offset > 0 || f.Length > 0 {
			fmt.Fprintf(&b, " at %d", f.Offset)
		}
		b.WriteString(": ")
	}
	b.WriteString(f.Detail)
	if f.Mended {
		b.WriteString(" (mended)")
	}
	return [2]string{f.Kind, b.String()}
}

// auditPairs are the figures of the audit: what came in, and where it is.
func auditPairs(a *node.AuditResult, add func(string, int64)) {
	add("received", a.Received)
	for _, t := range journal.Types() {
		if n := a.Ended[t]; n > 0 {
			add("ended by "+string(t), n)
		}
	}
	add("queued", a.Queued)
	for _, n := range []struct {
		name string
		n    int64
	}{
		{"undone", a.Undone},
		{"discarded", a.Discarded},
		{"before the log", a.Before},
		{"moving", a.Moving},
		{"not logged yet", a.Unlogged},
		{"known lost", a.KnownLost},
	} {
		if n.n > 0 {
			add(n.name, n.n)
		}
	}
	add("unaccounted", a.Problems)
}
