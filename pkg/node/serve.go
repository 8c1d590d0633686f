package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"kumo/pkg/journal"
	"kumo/pkg/listener"
	"kumo/pkg/metric"
	"kumo/pkg/queue"
	"kumo/pkg/spool"
)

// Serve runs the daemon: until drain ends, then orderly to its end, or until abort ends. Errors are of the start, or
// of a part that failed for good.
func Serve(abort, drain context.Context, o Options) error {
	if err := Become(o.User); err != nil {
		return err
	}
	RaiseFiles()
	WidenScheduler()
	o.memory = newMemory()
	p, err := start(drain, o)
	if err != nil {
		return unlessStopped(drain, err)
	}
	defer p.policy.Close()
	o.Log.Info("policy", "runs", p.source, "version", o.Version)
	sayOnce(p, o.Log)
	j, err := openJournal(p, o.Log)
	if err != nil {
		return err
	}
	n := &server{Options: o, plan: p, journal: j, registry: metric.NewRegistry(), gate: newGate(o.Log, j, o.memory), abort: abort}
	n.gate.memory.collectSooner()
	return n.run(drain)
}

// server is a node while it serves.
type server struct {
	Options
	plan     *plan
	journal  *journal.Journal
	registry *metric.Registry
	gate     *gate
	abort    context.Context
	rooms    *rooms
	runs     *runLog

	ports stage // SMTP listeners
	web   stage // HTTP listeners: they answer until all mail has come to rest
	flow  stage // orders and scheduled queues
	out   stage // ready queues
	tail  stage // gate and logs

	intake lateIntake
}

// stage is a group of parts that stop together.
type stage struct {
	stop context.CancelFunc
	ctx  context.Context
	wg   sync.WaitGroup

	mu  sync.Mutex
	err error
}

func (s *stage) begin() { s.ctx, s.stop = context.WithCancel(context.Background()) }

// run starts one part; failed is told when it ends with an error.
func (s *stage) run(name string, f func(context.Context) error, failed func(error)) {
	s.wg.Go(func() {
		err := f(s.ctx)
		if err == nil || errors.Is(err, context.Canceled) {
			return
		}
		err = fmt.Errorf("%s: %w", name, err)
		s.mu.Lock()
		s.err = errors.Join(s.err, err)
		s.mu.Unlock()
		failed(err)
	})
}

// end stops the parts and waits for them.
func (s *stage) end() error {
	s.stop()
	s.wg.Wait()
	return s.err
}

// run does what doc.go numbers: lock, bind, recover, serve, drain.
func (n *server) run(drain context.Context) error {
	for _, s := range []*stage{&n.ports, &n.web, &n.flow, &n.out, &n.tail} {
		s.begin()
	}
	fatal := make(chan error, 8)
	failed := func(err error) {
		select {
		case fatal <- err:
		default:
		}
	}
	n.tail.run("logs", n.journal.Run, failed)
	cfg := spoolConfig(n.plan, n.Log)
	var unbound error // said alone: it is no fault of the spool
	cfg.Owned = func() error { unbound = n.bind(failed); return unbound }
	s, err := spool.Open(drain, cfg)
	if unbound != nil {
		err = unbound
	}
	if err != nil {
		return n.leave(unlessStopped(drain, err))
	}
	if n.rooms, err = connect(n.plan, s, n.journal, n.registry, n.Log); err != nil {
		return n.leave(errors.Join(err, s.Close()))
	}
	if err := relog(drain, n.plan, s, n.journal, n.Log); err != nil {
		if drain.Err() != nil {
			return n.leave(nil)
		}
		n.Log.Error("the log may lack records", "error", err)
	}
	n.runs = began(cfg.Dir, n.Log)
	n.tail.run("signs of life", n.runs.run, failed)
	measure(n.registry, n.gate.memory, n.plan.policy, s, logDirsOf(n.plan))
	measureResident(n.registry, n.rooms)
	if err := n.rooms.orders.Start(drain); err != nil {
		return n.leave(unlessStopped(drain, err))
	}
	if err := n.restore(drain, s); err != nil {
		return n.leave(unlessStopped(drain, err))
	}
	n.out.run("ready queues", n.rooms.ready.Run, failed)
	n.flow.run("scheduled queues", n.rooms.queues.Run, failed)
	n.rooms.intake.Lean = n.gate.memory.low
	n.intake.set(n.rooms.intake)
	n.flow.run("orders", n.orders, failed)
	n.flow.run("configuration", n.plan.policy.Watch, failed)
	for _, task := range n.plan.setup.Tasks() {
		n.flow.run("task", func(ctx context.Context) error { task(ctx, n.plan.policy); return nil }, failed)
	}
	n.flow.run("standing orders", n.rooms.orders.Run, failed)
	n.gate.started(s)
	n.tail.run("gate", func(ctx context.Context) error { n.gate.Run(ctx); return nil }, failed)
	n.Log.Info("initialization complete")
	select {
	case <-drain.Done():
		n.Log.Info("draining: no new mail, deliveries in hand finish; a second signal aborts")
	case err := <-fatal: // its stage gives it back again
		n.Log.Error("a part failed, stopping", "error", err)
	}
	return n.leave(nil)
}

// unlessStopped is err, but nil when the first signal cut the start short: that is an orderly end, too.
func unlessStopped(drain context.Context, err error) error {
	if drain.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// restore hands what the spool kept to the scheduled queues.
func (n *server) restore(ctx context.Context, s *spool.Spool) error {
	var live, held, trashed atomic.Int64
	err := n.enumerate(ctx, s, func(e queue.Entry) {
		switch e.Place {
		case queue.Held:
			held.Add(1)
		case queue.Trashed:
			trashed.Add(1)
		default:
			live.Add(1)
		}
		n.rooms.queues.Restore(e)
	})
	if err != nil {
		return err
	}
	if live.Load()+held.Load()+trashed.Load() > 0 {
		n.Log.Info("mail from before is queued again", "messages", live.Load(), "held", held.Load(), "trashed", trashed.Load())
	}
	return nil
}

// leave stops everything in the order of the flow. A part that has not started stops at once.
func (n *server) leave(err error) error {
	n.gate.stop()
	aborting := context.AfterFunc(n.abort, func() {
		for _, s := range []*stage{&n.ports, &n.web, &n.flow, &n.out} {
			s.stop()
		}
		if n.rooms != nil {
			n.rooms.ready.Abort()
		}
	})
	defer aborting()
	err = errors.Join(err, n.ports.end(), n.flow.end(), n.out.end(), n.web.end())
	if n.rooms != nil {
		err = errors.Join(err, n.rooms.keeper.drain(n.Log), n.rooms.spool.Close())
		n.runs.ended()
	}
	tail := n.tail.end()
	if closed := n.journal.Close(); tail == nil { // Run and Close have the same to say
		tail = closed
	}
	err = errors.Join(err, tail)
	if n.abort.Err() != nil {
		return errors.Join(err, context.Canceled)
	}
	n.Log.Info("stopped")
	return err
}

// bind opens every listener that the policy declared, or none.
func (n *server) bind(failed func(error)) error {
	metrics := listener.NewMetrics(n.registry)
	var open []net.Listener
	var begin []func()
	files := RaiseFiles()
	for _, l := range n.plan.setup.ESMTP {
		l.Value.MaxConnections = limitSeats(n.Log, l.Value.Listen, l.Value.MaxConnections, len(n.plan.setup.ESMTP), files)
		srv, err := listener.New(listener.Parts{
			Options: l.Value, Hooks: n.plan.policy, Intake: &n.intake, Recorder: n.journal,
			Gate: n.gate.Ask, Memory: n.gate.memory, Metrics: metrics, Log: n.Log,
		})
		if err == nil {
			var ln net.Listener
			if ln, err = net.Listen("tcp", l.Value.Listen); err == nil {
				open = append(open, ln)
				begin = append(begin, func() {
					n.ports.run("smtp listener", func(ctx context.Context) error { return srv.Serve(ctx, n.abort, ln) }, failed)
					n.Log.Info("smtp listener on " + ln.Addr().String())
				})
				continue
			}
		}
		closeAll(open)
		return fmt.Errorf("%s: %w", at(l.Trace, "listen"), err)
	}
	for _, h := range n.plan.http {
		ln, err := net.Listen("tcp", h.options.Listen)
		if err != nil {
			closeAll(open)
			return fmt.Errorf("%s: %w", h.at, err)
		}
		open = append(open, ln)
		begin = append(begin, func() {
			srv := n.httpServer(h)
			n.web.run("http listener", func(ctx context.Context) error { return srv.Serve(ctx, ln) }, failed)
			n.Log.Info("http listener on " + ln.Addr().String())
		})
	}
	for _, f := range begin {
		f()
	}
	return nil
}

func closeAll(open []net.Listener) {
	for _, l := range open {
		_ = l.Close()
	}
}
