package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"

	"kumo/pkg/message"
	"kumo/pkg/metric"
	"kumo/pkg/spool"
)

// Injector brings letters into a spool by orders: those are carried out by the daemon that owns the spool, or by this
// process if nobody does.
type Injector struct{ desk }

// OpenInjector finds the spool (dir, else $KUMO_SPOOL, else that of the policy) and who owns it. The policy of o is
// loaded only where it is needed: to find the spool, or to take mail in where nobody owns it.
func OpenInjector(ctx context.Context, dir string, o Options) (*Injector, error) {
	in := &Injector{desk{options: quiet(o), author: author()}}
	in.begin = in.takeIn
	if err := in.open(ctx, dir); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return in, nil
}

// takeIn is what this process does with orders when it owns the spool: it takes mail in.
func (in *Injector) takeIn(_ context.Context, s *spool.Spool) (executor, func() error, error) {
	j, err := openJournal(in.plan, in.options.Log)
	if err != nil {
		return nil, nil, err
	}
	taker, host := newIntake(in.plan, newKeeper(s, metric.NewRegistry()), j, later{}, metric.NewRegistry()), hostname()
	return func(ctx context.Context, o spool.Order) spool.Result {
		if o.Kind != spool.OrderInject {
			return spool.Result{Later: true} // a daemon's business
		}
		return injectOrder(ctx, taker, host, o)
	}, j.Close, nil
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
	done, err := in.wait(ctx, ids, nil)
	out := make([]Injected, len(done))
	for i, o := range done {
		out[i] = Injected{IDs: o.IDs, Refused: o.Error}
	}
	return out, err
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
