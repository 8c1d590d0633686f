package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/message"
	"kumo/pkg/node"
	"kumo/pkg/spool"
)

// massRun is one verb with an order at work.
type massRun struct {
	ctx  context.Context
	c    *cli.Console
	v    massVerb
	verb string // "queue bounce", for errors
	f    *massFlags

	command spool.Command
	named   *named // nil when no messages are named by their ids
}

func newMassRun(cmd *cobra.Command, c *cli.Console, v massVerb, f *massFlags) *massRun {
	return &massRun{ctx: cmd.Context(), c: c, v: v, verb: "queue " + v.kind, f: f}
}

// do checks what was asked for, before it looks at any spool; then it asks, gives the order, and says what came of it.
func (r *massRun) do(args []string) error {
	if err := r.read(args); err != nil {
		return err
	}
	if !r.f.dryRun && !r.f.yes && !r.c.CanAsk() {
		return cli.Usagef("%s: it asks before it acts, and there is no terminal to ask on", r.verb).
			WithHint("say --yes to act without a question, --dry-run to see what it would do")
	}
	if err := r.checkWhere(); err != nil {
		return err
	}
	if r.named != nil && len(r.named.ids) == 0 {
		return r.nothingNamed()
	}
	if err := r.findOrder(); err != nil {
		return err
	}
	if r.f.dryRun {
		return r.preview()
	}
	if ok, err := r.agreed(); err != nil || !ok {
		return err
	}
	return r.give()
}

func (r *massRun) open() (*spool.Reader, error) { return r.f.spools.open(r.ctx, r.verb) }

// failed gives an error its exit code and its place.
func (r *massRun) failed(err error) error { return spoolError(r.verb, err) }

// read makes a command of flags, arguments and stdin.
func (r *massRun) read(args []string) error {
	ids, stdin, err := argIDs(r.verb, args)
	if err != nil {
		return err
	}
	m, more, err := r.f.matchFlags.read(r.verb)
	if err != nil {
		return err
	}
	ids = append(ids, more...)
	nothing := !r.f.given() && len(ids) == 0 && r.f.of == ""
	piped := nothing && !stdin && r.c.Piped()
	if stdin || piped {
		if r.named, err = readIDs(r.c, r.c.In); err != nil {
			return cli.Errorf(cli.CodeOf(err), "%s: stdin: %w", r.verb, err)
		}
		nothing = piped && len(r.named.ids)+len(r.named.unknown) == 0
	}
	if nothing {
		return cli.Usagef("%s: which messages? No flag says so", r.verb).WithHint("--all means all; %s --help lists the flags that mean fewer", "kumo "+r.verb)
	}
	if err := r.name(ids); err != nil {
		return err
	}
	m.ByID = r.named != nil
	r.command = spool.Command{
		Match: m, Reason: r.f.reason, Expires: r.f.lastsUntil(r.v, r.c.Clock()), Flush: r.f.flush, Event: r.f.event, Silent: r.f.silent, Order: r.f.of,
	}
	return r.check()
}

// name adds ids from the command line.
func (r *massRun) name(ids []message.ID) error {
	if len(ids) == 0 {
		return nil
	}
	if r.named == nil {
		r.named = &named{}
	}
	have := make(map[message.ID]bool, len(ids))
	for _, id := range r.named.ids {
		have[id] = true
	}
	for _, id := range ids {
		if !have[id] {
			r.named.ids = append(r.named.ids, id)
			have[id] = true
		}
	}
	return nil
}

// check refuses what contradicts itself.
func (r *massRun) check() error {
	cmd, m := &r.command, &r.command.Match
	switch {
	case m.All && m.ByID:
		return cli.Usagef("%s: --all and ids contradict each other", r.verb)
	case cmd.Order != "" && (r.f.given() || m.ByID):
		return cli.Usagef("%s: --order says which messages; other flags that do contradict it", r.verb)
	case r.f.hasLasts && r.f.lasts <= 0:
		return cli.Usagef("%s: --for 0: want a length of time", r.verb)
	case r.v.kind == spool.OrderBounce && r.f.hasLasts && !m.QueuesOnly():
		return cli.Usagef("%s: --for means mail to come, and that can only be told by its queue", r.verb).
			WithHint("with --for use --queue, --domain, --tenant, --campaign, --routing-domain or --all only")
	}
	if r.v.rebinds {
		return r.readSet()
	}
	return nil
}

// readSet reads what --set says.
func (r *massRun) readSet() error {
	if len(r.f.set) == 0 && !r.f.event && !r.f.flush {
		return cli.Usagef("%s: nothing says what to change", r.verb).WithHint("--set tenant=NAME, for example")
	}
	r.command.Set = make(map[string]string, len(r.f.set))
	for _, s := range r.f.set {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return cli.Usagef("%s: --set %s: want NAME=VALUE", r.verb, s)
		}
		r.command.Set[name] = value
	}
	return nil
}

// findOrder completes the order that --order names by its first digits.
func (r *massRun) findOrder() error {
	if r.command.Order == "" {
		return nil
	}
	rows, err := orderRows(r.ctx, r.f.spools, r.verb)
	if err != nil {
		return err
	}
	o, err := findOrder(rows, r.verb, r.command.Order)
	if err != nil {
		return err
	}
	r.command.Order = o.Order
	return nil
}

// nothingNamed is the end when stdin has no ids.
func (r *massRun) nothingNamed() error {
	if err := r.named.failure(r.verb); err != nil {
		return err
	}
	return r.print(&outcome{Kind: r.v.kind})
}

// survey looks at what the order would be about.
func (r *massRun) survey() (*survey, error) {
	rd, err := r.open()
	if err != nil {
		return nil, err
	}
	defer rd.Close()
	if r.command.Order != "" {
		return surveyOf(r.ctx, rd, ofOrder(r.command.Order)...)
	}
	want := spool.Filter{Match: r.command.Match, State: r.v.state}
	if r.named != nil {
		want.IDs = r.named.ids
	}
	return surveyOf(r.ctx, rd, want)
}

// preview is a dry run.
func (r *massRun) preview() error {
	if r.named != nil {
		if err := r.named.sift(r.ctx, r.open); err != nil {
			return r.failed(err)
		}
	}
	s, err := r.survey()
	if err != nil {
		return r.failed(err)
	}
	p := dryRun{DryRun: true, Kind: r.v.kind, Matched: s.messages, Bytes: s.bytes, Queues: len(s.queues), Expires: r.command.Expires, Sample: s.sample}
	if r.named != nil {
		p.Unknown = r.named.unknown
	}
	if err := r.c.Print(p); err != nil {
		return err
	}
	return r.named.failure(r.verb)
}

// agreed asks. It looks at the spool first, so that the question says how many messages there are.
func (r *massRun) agreed() (bool, error) {
	if r.f.yes {
		return true, nil
	}
	s, err := r.survey()
	if err != nil {
		return false, r.failed(err)
	}
	question := strings.ToUpper(r.v.kind[:1]) + r.v.kind[1:] + " " + s.String()
	if !r.command.Expires.IsZero() {
		question += ", for " + cli.ShortDuration(time.Duration(r.f.lasts))
	}
	if r.v.kind == spool.OrderPurge {
		question += ", without a way back"
	}
	if s.messages == 0 && !r.stands() {
		r.c.Note("nothing matches")
		return false, r.print(&outcome{Kind: r.v.kind})
	}
	ok, err := r.c.Confirm(question+"?", "--yes")
	if err == nil && !ok {
		return false, cli.Failf("%s: not agreed; nothing was done", r.verb)
	}
	return ok, err
}

// stands reports whether the order is about more than the messages that are there now.
func (r *massRun) stands() bool {
	switch r.v.kind {
	case spool.OrderSuspend, spool.OrderBounce:
		return !r.command.Expires.IsZero() && r.command.Match.QueuesOnly()
	case spool.OrderResume:
		return true
	}
	return false
}

// checkWhere lets SQLite look at the condition before anything is done.
func (r *massRun) checkWhere() error {
	if r.command.Match.Where == "" {
		return nil
	}
	if err := spool.CheckWhere(r.ctx, r.command.Match.Where); err != nil {
		return r.failed(err)
	}
	return nil
}

// give gives the order and waits for what comes of it.
func (r *massRun) give() error {
	var ids []message.ID
	if r.named != nil {
		ids = r.named.ids
	}
	o, err := spool.NewCommand(r.v.kind, "", r.command, ids)
	if err != nil {
		return cli.Failf("%s: %w", r.verb, err)
	}
	done, err := giveOrder(r.ctx, r.c, r.f.spools, r.verb, o)
	if err != nil {
		return err
	}
	done.Expires = r.command.Expires
	if r.named != nil {
		r.named.missed(done.counts)
		done.Unknown = r.named.unknown
	}
	if done.Matched == 0 && len(done.Unknown) > 0 {
		return r.named.failure(r.verb)
	}
	if err := r.print(done); err != nil {
		return err
	}
	r.left(done)
	r.next(done)
	return r.named.failure(r.verb)
}

// left says why a rebind did not do what it matched: somebody who reads 100 and 25 must not have to guess.
func (r *massRun) left(o *outcome) {
	if n := o.Matched - o.Done - o.Busy; o.Kind == spool.OrderRebind && n > 0 {
		r.c.Warn("%s not rebound: held, or ended meanwhile; kumo queue release sends on what is held", isOrAre(n))
	}
}

// next says on a terminal what can be done now.
func (r *massRun) next(o *outcome) {
	if !r.c.ErrTTY || r.c.Format != cli.Text {
		return
	}
	switch {
	case o.Matched == 0 && !r.stands():
		r.c.Note("nothing matches")
	case r.v.after != "":
		r.c.Note(r.v.after, o.Order)
	}
	if o.Busy > 0 {
		r.c.Note("%s in a session right now: what comes back of them gets the order then", isOrAre(o.Busy))
	}
}

func isOrAre(n int) string {
	if n == 1 {
		return "1 message is"
	}
	return counted(n, "message") + " are"
}

func (r *massRun) print(o *outcome) error { return printOutcome(r.c, o) }

// outcome is what came of an order.
type outcome struct {
	Order   string    `json:"order" col:"ORDER,keep"`
	Kind    string    `json:"kind" col:"KIND"`
	Matched int       `json:"matched" col:"MATCHED"`
	Done    int       `json:"done" col:"DONE"`
	Busy    int       `json:"busy" col:"BUSY"`
	Expires time.Time `json:"expires,omitzero" col:"EXPIRES"`
	Unknown []string  `json:"unknown,omitempty"` // the first of the ids that are not in the spool

	counts spool.Counts
}

// printOutcome prints a row for people and an object for programs.
func printOutcome(c *cli.Console, o *outcome) error {
	if c.Format == cli.Text {
		return c.Print([]outcome{*o})
	}
	return c.Print(o)
}

// dryRun is what an order would come to.
type dryRun struct {
	DryRun  bool       `json:"dry_run"`
	Kind    string     `json:"kind" col:"KIND"`
	Matched int        `json:"matched" col:"MATCHED"`
	Done    int        `json:"done"`
	Busy    int        `json:"busy"`
	Bytes   int64      `json:"bytes" col:"BYTES"`
	Queues  int        `json:"queues" col:"QUEUES"`
	Expires time.Time  `json:"expires,omitzero" col:"EXPIRES"`
	Sample  []queueRow `json:"sample" col:"SAMPLE"`
	Unknown []string   `json:"unknown,omitempty"`
}

// waitTick is how often a verb that waits says for how long.
const waitTick = time.Second

// giveOrder finds who carries orders out, gives him one, and waits.
func giveOrder(ctx context.Context, c *cli.Console, f *spoolFlags, verb string, o spool.Order) (*outcome, error) {
	clerk, err := node.OpenClerk(ctx, f.spool, node.Options{Policy: f.policy, Version: version})
	if err != nil {
		return nil, spoolError(verb, err)
	}
	defer clerk.Close()
	stop := waiting(c, verb, clerk)
	done, err := clerk.Do(ctx, o)
	stop()
	if err != nil {
		return nil, orderError(verb, done, err)
	}
	return outcomeOf(verb, done)
}

// orderError says what is with the order when nobody has waited for its end.
func orderError(verb string, o spool.Order, err error) error {
	if o.ID != "" && errors.Is(err, context.Canceled) {
		e := cli.Errorf(cli.CodeInterrupted, "%s: interrupted; the order %s stays and will be carried out", verb, o.ID)
		if undoable(o.Kind) {
			return e.WithHint("kumo queue orders shows what comes of it, kumo queue undo %s takes it back", o.ID)
		}
		return e.WithHint("kumo queue orders shows what comes of it")
	}
	return spoolError(verb, err)
}

// waiting shows for how long the verb has waited and how far the order is, until the function that it returns is
// called.
func waiting(c *cli.Console, verb string, clerk *node.Clerk) (stop func()) {
	var far atomic.Pointer[spool.Counts]
	clerk.Progress = func(n spool.Counts) { far.Store(&n) }
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(waitTick)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			text := ""
			if p := far.Load(); p != nil {
				text = ": " + counted(p.Done, "message")
			}
			c.Progress("%s: at work for %s%s", verb, cli.ShortDuration(time.Duration(n)*waitTick), text)
		}
	}()
	return func() {
		close(ended)
		<-done
		c.Done()
	}
}

// outcomeOf reads what came of an order.
func outcomeOf(verb string, o spool.Order) (*outcome, error) {
	if o.State == spool.OrderFailed {
		return nil, cli.Failf("%s: order %s: %s", verb, o.ID, o.Error)
	}
	out := &outcome{Order: o.ID, Kind: o.Kind}
	if o.Counts != nil {
		out.counts = *o.Counts
		out.Matched, out.Done, out.Busy = o.Counts.Matched, o.Counts.Done, o.Counts.Busy
	}
	return out, nil
}
