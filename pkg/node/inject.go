package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/metric"
	"kumo/pkg/spool"
)

// orderWait is how long a verb waits for the daemon to carry out its orders.
const orderWait = time.Minute

// ownerPoll is how often a verb that waits looks whether the spool has lost its owner.
const ownerPoll = 500 * time.Millisecond

// ErrDaemonSlow is an owner of the spool that has not carried out an order in time. The order stays and will be carried
// out.
var ErrDaemonSlow = errors.New("the daemon has not answered for a minute; the order stays in the spool and will be carried out once a daemon works again")

// Injector brings letters into a spool by orders: those are carried out by the daemon that owns the spool, or by this
// process if nobody does.
type Injector struct {
	options Options
	plan    *plan // nil until the policy is needed
	dir     string
	orders  *spool.Orders
	author  string

	// set while this process owns the spool
	spool   *spool.Spool
	journal *journal.Journal
	stop    context.CancelFunc
	stopped chan error
}

// OpenInjector finds the spool (dir, else $KUMO_SPOOL, else that of the policy) and who owns it. The policy of o is
// loaded only where it is needed: to find the spool, or to take mail in where nobody owns it.
func OpenInjector(ctx context.Context, dir string, o Options) (*Injector, error) {
	in := &Injector{options: quiet(o), author: author()}
	if err := in.open(ctx, dir); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return in, nil
}

func (in *Injector) open(ctx context.Context, dir string) error {
	if dir == "" {
		dir = os.Getenv("KUMO_SPOOL")
	}
	if dir == "" {
		if err := in.load(ctx); err != nil {
			return err
		}
		dir = spoolConfig(in.plan, in.options.Log).Dir
	}
	var err error
	if in.dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := in.own(ctx); err != nil {
		return err
	}
	in.orders, err = spool.OpenOrders(ctx, in.dir)
	return err
}

// load loads the policy once.
func (in *Injector) load(ctx context.Context) error {
	if in.plan != nil {
		return nil
	}
	p, err := start(ctx, in.options)
	if err == nil {
		in.plan = p
	}
	return err
}

// own takes the spool if nobody has it, and starts to carry out orders.
func (in *Injector) own(ctx context.Context) error {
	if spool.Held(in.dir) {
		return nil // Open would wait a moment for an owner that is about to leave
	}
	if err := in.load(ctx); err != nil {
		return err
	}
	cfg := spoolConfig(in.plan, in.options.Log)
	cfg.Dir = in.dir
	s, err := spool.Open(ctx, cfg)
	if errors.As(err, new(*spool.HeldError)) {
		return nil
	}
	if err != nil {
		return err
	}
	j, err := openJournal(in.plan, in.options.Log)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	in.spool, in.journal, in.stopped = s, j, make(chan error, 1)
	taker, host := newIntake(in.plan, s, j, later{}, metric.NewRegistry()), hostname()
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	in.stop = stop
	go func() {
		in.stopped <- s.RunOrders(run, func(ctx context.Context, o spool.Order) spool.Result {
			if o.Kind != spool.OrderInject {
				return spool.Result{Later: true} // a daemon's business
			}
			return injectOrder(ctx, taker, host, o)
		})
	}()
	return nil
}

// later is the queue of a process that only takes mail in: the next daemon finds it in the spool.
type later struct{}

func (later) Ready(context.Context, string) error                      { return nil }
func (later) Insert(context.Context, *message.Message, message.Reason) {}

// Injected is what became of one letter.
type Injected struct {
	IDs     []message.ID // of its messages, which are on stable storage
	Refused string       // why nothing of it was taken in; "" if it was
}

// Inject brings letters in and says what became of each. With an error that is told of those at the front only; the
// others may still be carried out, by whoever owns the spool then.
func (in *Injector) Inject(ctx context.Context, letters ...*Letter) ([]Injected, error) {
	orders := make([]spool.Order, len(letters))
	for i, l := range letters {
		what := spool.Inject{Sender: l.Sender.String(), Protocol: InjectProtocol}
		for _, r := range l.Recipients {
			what.Recipients = append(what.Recipients, r.String())
		}
		var err error
		if orders[i], err = spool.NewInject(in.author, what, l.Data); err != nil {
			return nil, err
		}
	}
	ids, err := in.orders.Append(ctx, orders...)
	if err != nil {
		return nil, err
	}
	done, err := in.wait(ctx, ids)
	out := make([]Injected, len(done))
	for i, o := range done {
		out[i] = Injected{IDs: o.IDs, Refused: o.Error}
	}
	return out, err
}

// wait returns the orders once they are carried out. An owner that goes away meanwhile is replaced by this process.
func (in *Injector) wait(ctx context.Context, ids []string) ([]spool.Order, error) {
	deadline := time.Now().Add(orderWait)
	for {
		part, cancel := context.WithTimeout(ctx, ownerPoll)
		done, err := in.orders.Wait(part, ids...)
		late := part.Err() != nil
		cancel()
		switch {
		case err == nil, ctx.Err() != nil, !late:
			return done, err
		case time.Now().After(deadline):
			return done, fmt.Errorf("order %s: %w", ids[len(done)], ErrDaemonSlow)
		case in.spool == nil:
			if err := in.own(ctx); err != nil {
				return done, err
			}
		}
	}
}

// Close gives everything back; what was injected is durable before.
func (in *Injector) Close() error {
	if in.plan != nil {
		defer in.plan.policy.Close()
	}
	var errs error
	if in.orders != nil {
		errs = in.orders.Close()
	}
	if in.spool != nil {
		in.stop()
		errs = errors.Join(errs, <-in.stopped, in.spool.Close(), in.journal.Close())
	}
	return errs
}

func author() string {
	name := "uid " + fmt.Sprint(os.Geteuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return name + " " + filepath.Base(os.Args[0])
}

// SpoolDir says where the spool is: dir, else $KUMO_SPOOL, else where the policy puts it.
func SpoolDir(ctx context.Context, dir string, o Options) (string, error) {
	if dir == "" {
		dir = os.Getenv("KUMO_SPOOL")
	}
	if dir != "" {
		return filepath.Abs(dir)
	}
	p, err := start(ctx, quiet(o))
	if err != nil {
		return "", err
	}
	defer p.policy.Close()
	data, _ := p.setup.Spool("data")
	return data.Path, nil
}

// LogDirs says where the logs are: dir, else where the policy puts them.
func LogDirs(ctx context.Context, dir string, o Options) ([]string, error) {
	if dir != "" {
		abs, err := filepath.Abs(dir)
		return []string{abs}, err
	}
	p, err := start(ctx, quiet(o))
	if err != nil {
		return nil, err
	}
	defer p.policy.Close()
	var dirs []string
	for _, l := range p.setup.Logs {
		dirs = append(dirs, l.Value.LogDir)
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("%s writes no logs: it calls kumo.configure_local_logs nowhere", p.source)
	}
	return dirs, nil
}

// quiet is a logger for verbs, which say what they have to say themselves.
func quiet(o Options) Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
