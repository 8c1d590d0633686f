package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/spool"
)

// matchFlags say which messages a verb is about. They are the same for all verbs.
type matchFlags struct {
	match spool.Match
	ids   []string
}

// matchHelp explains them, in the help of each verb.
const matchHelp = `Which messages: those that fit every flag given. --domain, --tenant, --campaign and --routing-domain are the parts of
the scheduled queue's name; --queue is the whole name. --where takes an SQL condition over the columns of the view
messages: id, queue, domain, tenant, campaign, routing_domain, sender, recipients, created, due, attempts, size,
last_response, state, held_by; kumo-spool(5) explains them.`

func (f *matchFlags) add(cmd *cobra.Command, spools *spoolFlags) {
	fl, m := cmd.Flags(), &f.match
	fl.StringArrayVar(&m.Queues, "queue", nil, "messages of the scheduled queue `NAME`; may be repeated")
	fl.StringVar(&m.Domain, "domain", "", "messages of scheduled queues for the destination `DOMAIN`")
	fl.StringVar(&m.Tenant, "tenant", "", "messages of scheduled queues of the tenant `NAME`")
	fl.StringVar(&m.Campaign, "campaign", "", "messages of scheduled queues of the campaign `NAME`")
	fl.StringVar(&m.RoutingDomain, "routing-domain", "", "messages of scheduled queues with the routing domain `DOMAIN`")
	fl.StringVar(&m.Sender, "sender", "", "messages from the envelope sender `ADDRESS`; <> is the null sender")
	fl.StringVar(&m.Recipient, "recipient", "", "messages to the envelope recipient `ADDRESS`")
	fl.StringArrayVar(&f.ids, "id", nil, "the message `ID`; may be repeated")
	fl.Var((*durationFlag)(&m.OlderThan), "older-than", "messages that were taken in at least `DURATION` ago, such as 2h or 3 days")
	fl.StringVar(&m.Where, "where", "", "messages for which the SQL `CONDITION` holds, such as \"attempts > 3\"")
	fl.BoolVar(&m.All, "all", false, "all messages")
	complete := func(flag string, part func(string) string) {
		_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return queueWords(cmd.Context(), spools, part), cobra.ShellCompDirectiveNoFileComp
		})
	}
	complete("queue", func(name string) string { return name })
	complete("domain", func(name string) string { return message.ParseQueueName(name).Domain })
	complete("tenant", func(name string) string { return message.ParseQueueName(name).Tenant })
	complete("campaign", func(name string) string { return message.ParseQueueName(name).Campaign })
	complete("routing-domain", func(name string) string { return message.ParseQueueName(name).RoutingDomain })
	for _, flag := range []string{"sender", "recipient", "older-than", "where"} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions)
	}
	_ = cmd.RegisterFlagCompletionFunc("id", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return someIDs(cmd.Context(), spools), cobra.ShellCompDirectiveNoFileComp
	})
}

// given reports whether any of the flags was given.
func (f *matchFlags) given() bool { return !f.match.IsZero() || len(f.ids) > 0 }

// read checks what was given and returns it with the ids that it names.
func (f *matchFlags) read(verb string) (spool.Match, []message.ID, error) {
	m := f.match
	if m.All && f.narrow() {
		return m, nil, cli.Usagef("%s: --all and a flag that says which messages contradict each other", verb).WithHint("leave one of them out")
	}
	ids := make([]message.ID, 0, len(f.ids))
	for _, s := range f.ids {
		id, err := message.ParseID(s)
		if err != nil {
			return m, nil, cli.Usagef("%s: --id: %w", verb, err).WithHint("kumo queue list shows ids")
		}
		ids = append(ids, id)
	}
	m.ByID = len(ids) > 0
	m.Domain = strings.ToLower(m.Domain) // as message.QueueName has it
	m.Sender, m.Recipient = bare(m.Sender), bare(m.Recipient)
	return m, ids, nil
}

// narrow reports whether flags other than --all were given.
func (f *matchFlags) narrow() bool {
	m := f.match
	m.All = false
	return !m.IsZero() || len(f.ids) > 0
}

// bare takes the angle brackets away that addresses have in logs and on the wire; <> stays, it is the null sender.
func bare(address string) string {
	if inner, ok := strings.CutPrefix(address, "<"); ok && inner != ">" {
		return strings.TrimSuffix(inner, ">")
	}
	return address
}

// matchText is a match as people write it.
func matchText(m *spool.Match, ids int) string {
	var words []string
	add := func(flag, value string) {
		if value == "" {
			return
		}
		if strings.ContainsAny(value, " '\"<>()*") {
			value = "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
		}
		words = append(words, flag+" "+value)
	}
	if m.All {
		words = append(words, "--all")
	}
	for _, q := range m.Queues {
		add("--queue", q)
	}
	add("--domain", m.Domain)
	add("--tenant", m.Tenant)
	add("--campaign", m.Campaign)
	add("--routing-domain", m.RoutingDomain)
	add("--sender", m.Sender)
	add("--recipient", m.Recipient)
	if m.OlderThan > 0 {
		add("--older-than", m.OlderThan.String())
	}
	add("--where", m.Where)
	switch {
	case m.ByID && ids > 0:
		words = append(words, counted(ids, "id"))
	case m.ByID:
		words = append(words, "ids")
	}
	return strings.Join(words, " ")
}

// durationFlag is a length of time as options take it.
type durationFlag option.Duration

func (d *durationFlag) Set(s string) error {
	v, err := option.ParseDuration(s)
	if err != nil {
		return err
	}
	*d = durationFlag(v)
	return nil
}

func (d *durationFlag) String() string {
	if *d == 0 {
		return ""
	}
	return option.Duration(*d).String()
}

// Type is the word for the value in help texts.
func (*durationFlag) Type() string { return "duration" }

// queueWords are the names of the scheduled queues that have messages, or parts of them, for completion.
func queueWords(ctx context.Context, f *spoolFlags, part func(string) string) []string {
	r, err := f.open(ctx, "queue")
	if err != nil {
		return nil
	}
	defer r.Close()
	rows, err := r.Summary(ctx, spool.Filter{})
	if err != nil {
		return nil
	}
	seen := make(map[string]int, len(rows))
	words := make([]string, 0, len(rows))
	for _, row := range rows {
		if w := part(row.Queue); w != "" {
			if _, twice := seen[w]; !twice {
				words = append(words, w)
			}
			seen[w] += row.Messages
		}
	}
	for i, w := range words {
		words[i] = w + "\t" + counted(seen[w], "message")
	}
	return words
}
