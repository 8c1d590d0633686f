package main

import (
	"time"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/option"
	"kumo/pkg/spool"
)

// massVerb declares a verb that gives an order about messages. What all of them have in common is in massCommand.
type massVerb struct {
	kind    string
	short   string
	long    string // what it does; the common part of the help follows
	example string
	after   string // what the user may want to do next; %s is the order

	lasts   string        // what --for says, "" for a verb without it
	lastsBy time.Duration // what --for is when it is not given
	of      string        // what --order says, "" for a verb without it
	records bool          // it causes records, which --suppress-logging leaves out
	rebinds bool          // it takes --set and what belongs to it
	state   string        // the state of the messages that it is about, "" for all that wait
}

// massVerbs are the verbs that give orders about messages, in the order of their help.
var massVerbs = []massVerb{
	{
		kind:  spool.OrderRequeue,
		short: "Try messages again now",
		long: `requeue makes messages due at once, whatever their retry schedule says, and ends the pause of the ready queues that
they go to. The count of attempts goes on.`,
		example: `  kumo queue requeue --domain example.org
  kumo queue requeue --yes --where "last_response like '%try again later%'"
  kumo queue list --format jsonl --domain example.org | head -n100 | kumo queue requeue --yes -`,
	},
	{
		kind:  spool.OrderBounce,
		short: "Take messages out of the queue and into the trash",
		long: `bounce takes messages out of the queue and logs an AdminBounce record for each. They lie in the trash for a while,
which define_spool's trash_keep sets (1 hour by default), and kumo queue undo brings all of them back as they were; the
trash is emptied early when the disk has no room. With --for, mail that comes later is bounced, too, until that time is
over; the match must then speak of queues alone.`,
		example: `  kumo queue bounce --campaign spring --dry-run
  kumo queue bounce --campaign spring --reason 'wrong link' --for 1h
  kumo queue bounce --yes --sender joe@example.com --older-than 2d`,
		after:   "kumo queue undo %s brings them back, as long as they are in the trash",
		lasts:   "bounce mail that comes later, too, for `DURATION`",
		records: true,
	},
	{
		kind:  spool.OrderSuspend,
		short: "Send nothing of some queues for a while",
		long: `suspend stops delivery for --for DURATION, 5 minutes if it is not given. A match that speaks of queues alone (--queue,
--domain, --tenant, --campaign, --routing-domain, --all) holds for queues and mail to come, too; any other suspends the
messages that are there now. What a session is sending right now is sent.`,
		example: `  kumo queue suspend --campaign spring --for 30m --reason 'wrong link'
  kumo queue suspend --all --for 2h --yes`,
		after:   "kumo queue undo %s ends it",
		lasts:   "how long: `DURATION`, such as 30m",
		lastsBy: 5 * time.Minute,
	},
	{
		kind:  spool.OrderResume,
		short: "End suspensions",
		long: `resume ends suspensions: those of queues that match, also when they suspend more queues than those, or with --order
the one that this order made. Mail that came due meanwhile waits for its next retry; kumo queue requeue tries it now.`,
		example: `  kumo queue resume --campaign spring
  kumo queue resume --all --yes
  kumo queue resume --order 5d3f2c4ec60b11f1ad62525400a1b2c3`,
		of: "end the suspension that the order `ID` made",
	},
	{
		kind:  spool.OrderRebind,
		short: "Change metadata of messages, and so their queue",
		long: `rebind changes metadata of messages: --set NAME=VALUE sets a name, --set NAME= removes it. The names tenant, campaign,
routing_domain and queue decide about the scheduled queue; a message that gets another queue is due at once, and an
AdminRebind record is logged. With --trigger-rebind-event the policy's rebind_message handler does the change, and gets
what --set says. Messages that are held are matched but stay as they are: release them first.`,
		example: `  kumo queue rebind --tenant acme --set tenant=acme-slow
  kumo queue rebind --domain example.org --set routing_domain=relay.example.net --reason 'MX is down'
  kumo queue rebind --all --yes --trigger-rebind-event --set drain=yes`,
		records: true,
		rebinds: true,
	},
	{
		kind:  spool.OrderHold,
		short: "Keep messages back until somebody releases them",
		long: `hold keeps the messages that are there now: they are neither tried nor expired, until kumo queue release, or until --for
DURATION is over.`,
		example: `  kumo queue hold --sender joe@example.com --reason 'hacked?'
  kumo queue hold --yes --where 'size > 5000000' --for 12h`,
		after: "kumo queue undo %s releases them",
		lasts: "release them after `DURATION`; without it only an order does",
	},
	{
		kind:  spool.OrderRelease,
		short: "Send on messages that were kept back",
		long: `release ends holds: of the messages that match, or with --order of all that this order holds. They go on with the
schedule that they had.`,
		example: `  kumo queue release --sender joe@example.com
  kumo queue release --order 5d3f2c4ec60b11f1ad62525400a1b2c3`,
		of:    "release what the order `ID` holds",
		state: spool.StateHeld,
	},
	{
		kind:  spool.OrderPurge,
		short: "Delete messages for good, without a trash",
		long: `purge ends messages at once: an AdminBounce record is logged for each, and nothing brings them back. With --order it
empties the trash of a bounce.`,
		example: `  kumo queue purge --queue test.example --reason 'load test'
  kumo queue purge --order 5d3f2c4ec60b11f1ad62525400a1b2c3`,
		of:      "empty the trash of the order `ID`",
		records: true,
	},
}

// massHelp is what the help of all verbs with orders ends in.
const massHelp = matchHelp + `

Ids can be given as arguments, and one per line, or as JSON rows with "id", on stdin with "-", or when stdin is a pipe
and nothing else says which messages.

On a terminal it says how many messages it is about and asks; --yes answers beforehand, and without a terminal it must.
--dry-run only says how many there are, and shows the first of them. The order is stored durably; the daemon carries it
out, or this command when none runs. It prints the order's id (kumo queue orders), how many messages matched, how many
it was done to, and how many were busy: in a session right now, so that the order waits until they come back. An order
that matches nothing is no failure.

Exit codes: 0 done, if only for no messages; 1 failed, or some ids are not there: they are named, and the rest is done;
2 usage, no --yes without a terminal; 10 there is no spool; 12 the daemon does not answer; 130 interrupted.`

// massFlags are what a verb with orders was asked for.
type massFlags struct {
	matchFlags

	spools   *spoolFlags
	reason   string
	lasts    durationFlag
	of       string
	dryRun   bool
	yes      bool
	silent   bool
	set      []string
	flush    bool
	event    bool
	hasLasts bool // --for was given
}

func newMassVerbs(c *cli.Console, f *spoolFlags) []*cobra.Command {
	all := make([]*cobra.Command, 0, len(massVerbs))
	for _, v := range massVerbs {
		all = append(all, massCommand(c, f, v))
	}
	return all
}

func massCommand(c *cli.Console, spools *spoolFlags, v massVerb) *cobra.Command {
	f := &massFlags{spools: spools, lasts: durationFlag(v.lastsBy)}
	cmd := &cobra.Command{
		Use:     v.kind + " [ID… | -]",
		Short:   v.short,
		Long:    v.long + "\n\n" + massHelp,
		Example: v.example,
		Args:    args(0, -1, "ids of messages"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.hasLasts = cmd.Flags().Changed("for")
			return newMassRun(cmd, c, v, f).do(args)
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return someIDs(cmd.Context(), spools), cobra.ShellCompDirectiveNoFileComp
		},
	}
	f.add(cmd, spools)
	fl := cmd.Flags()
	fl.StringVar(&f.reason, "reason", "", "why, for the records and for those who look at kumo queue orders: `TEXT`")
	fl.BoolVar(&f.dryRun, "dry-run", false, "only say how many messages there are, and show the first of them")
	fl.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	_ = cmd.RegisterFlagCompletionFunc("reason", cobra.NoFileCompletions)
	if v.lasts != "" {
		fl.Var(&f.lasts, "for", v.lasts)
		_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions([]string{"5m", "30m", "1h", "1d"}, cobra.ShellCompDirectiveNoFileComp))
	}
	if v.of != "" {
		fl.StringVar(&f.of, "order", "", v.of)
		_ = cmd.RegisterFlagCompletionFunc("order", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return someOrders(cmd.Context(), spools), cobra.ShellCompDirectiveNoFileComp
		})
	}
	if v.records {
		fl.BoolVar(&f.silent, "suppress-logging", false, "log no records of it")
	}
	if v.rebinds {
		fl.StringArrayVar(&f.set, "set", nil, "set metadata: `NAME=VALUE`; NAME= removes it; may be repeated")
		fl.BoolVar(&f.flush, "always-flush", false, "make messages due at once, even those that keep their queue")
		fl.BoolVar(&f.event, "trigger-rebind-event", false, "let the policy's rebind_message handler do the change")
		_ = cmd.RegisterFlagCompletionFunc("set", cobra.FixedCompletions(
			[]string{"campaign=", "queue=", "routing_domain=", "tenant="}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
	}
	return cmd
}

// lastsUntil is when the order expires, the zero time if it does not.
func (f *massFlags) lastsUntil(v massVerb, now time.Time) time.Time {
	if v.lasts == "" || (!f.hasLasts && v.lastsBy == 0) {
		return time.Time{}
	}
	return now.Add(option.Duration(f.lasts).Std())
}
