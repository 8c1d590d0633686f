package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/message"
	"kumo/pkg/node"
	"kumo/pkg/spool"
)

// whyFlags say where kumo why looks.
type whyFlags struct {
	spoolFlags

	logs []string
}

func newWhy(c *cli.Console) *cobra.Command {
	var f whyFlags
	cmd := &cobra.Command{
		Use:   "why ID",
		Short: "Say what happened to one message and what its time went to",
		Long: `why tells the life of one message from the spool and the log, whether it is still here or has ended, beside a daemon
or without one: each record about it, and between them what the time was spent on. The causes:

    retry_interval          it waited for its next try; max_retry_interval where that cut the wait short
    max_message_rate        the rate of the egress path; queue_max_message_rate is that of the scheduled queue
    max_connection_rate     no connection could be opened so soon
    connection_limit        as many connections as allowed were busy with other mail
    busy_connections        the open ones were, and the backlog was not worth another
    max_ready               the ready queue was full
    connection_failures     the site took no connection: there is a pause before the next one is tried
    suspended, held         by an order, whose author and reason are shown; trashed: bounced, and brought back
    scheduled               its first try was asked for at a later time
    no_configuration        policy gave no configuration for its queue
    daemon_down             no daemon ran
    policy, spool           a handler of policy ran; the disk was waited for
    dns, connect, tls       until names were found, a connection was open, and encrypted
    remote_banner, remote_ehlo, remote_starttls, remote_rset, remote_mail, remote_rcpt, remote_data, remote_body
                            the other host took its time to say hello, to answer that command, to take the text
    remote_dot              the other host thought about the message after its end
    sending                 a connection has the message, and its next record will say more
    kumo                    kumo itself: waiting for a processor, and what is too short to be named
    unexplained             nothing says what it was

Beside a limit stands the file and line that set it, "default" if nothing did; beside what the network took, the host.
Times of less than five milliseconds are not attributed. Records of KumoMTA do not say what a message waits for: what
can be inferred from their order is, and is marked so.

The log is found by --logs DIR (more than one: comma separated), else by what the spool remembers, else by the policy.
With --logs and without a spool the log alone is asked. A daemon that runs is asked, by an order, about what it has in
hand.

Exit codes: 0 done; 1 neither spool nor log know the message, or they cannot be read; 2 usage; 10 there is no spool.`,
		Example: `  kumo why 5d3f2c4ec60b11f1ad62525400a1b2c3
  kumo why 5d3f2c4ec60b11f1ad62525400a1b2c3 --logs /var/log/kumomta
  kumo why 5d3f2c4ec60b11f1ad62525400a1b2c3 --format json | jq '.sums[0]'`,
		Args: args(1, 1, "one id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := message.ParseID(args[0])
			if err != nil {
				return cli.Usagef("why: %w", err).WithHint("kumo queue list shows the ids of what waits, kumo log tail those of what has ended")
			}
			l, err := f.tell(cmd.Context(), c, id)
			if err != nil {
				return err
			}
			return c.Print(story{l})
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return someIDs(cmd.Context(), &f.spoolFlags), cobra.ShellCompDirectiveNoFileComp
		},
	}
	f.add(cmd)
	cmd.Flags().StringSliceVar(&f.logs, "logs", nil, "log directories `DIRS`; else the spool or the policy say")
	_ = cmd.MarkFlagDirname("logs")
	return cmd
}

// tell finds spool and logs, and has the life told.
func (f *whyFlags) tell(ctx context.Context, c *cli.Console, id message.ID) (*node.Life, error) {
	o := node.LifeOptions{Logs: f.logs, Now: c.Now(), Warn: func(err error) { c.Warn("%s", err) }}
	opts := node.Options{Policy: f.policy, Version: version}
	dir, err := node.SpoolDir(ctx, f.spool, opts)
	if err == nil {
		o.Spool = dir
	}
	if err == nil && len(f.logs) > 0 {
		if there, look := spool.Exists(dir); look == nil && !there {
			o.Spool = "" // the logs of another machine, perhaps
		}
	}
	if err != nil && len(f.logs) == 0 {
		return nil, spoolError("why", err)
	}
	if len(f.logs) == 0 {
		if o.Logs, err = node.LogsOfSpool(ctx, dir, opts); err != nil {
			c.Warn("where the log is cannot be said, so only the spool is asked: %s (--logs DIR names it)", err)
		}
	}
	l, err := node.TellLife(ctx, id, o)
	if errors.Is(err, node.ErrUnknown) {
		return nil, cli.Failf("why: message %s: %w", id, err).WithHint("its log may be elsewhere (--logs DIR), or so old that it was removed")
	}
	if err != nil {
		return nil, spoolError("why", err)
	}
	return l, nil
}
