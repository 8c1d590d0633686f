package node

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kumo/pkg/cache"
	"kumo/pkg/delivery"
	"kumo/pkg/dns"
	"kumo/pkg/egress"
	"kumo/pkg/intake"
	"kumo/pkg/journal"
	"kumo/pkg/listener"
	"kumo/pkg/message"
	"kumo/pkg/metric"
	"kumo/pkg/option"
	"kumo/pkg/queue"
	"kumo/pkg/ready"
	"kumo/pkg/spool"
)

// rooms are the connected parts of a node.
type rooms struct {
	plan     *plan
	log      *slog.Logger
	hostname string
	registry *metric.Registry
	journal  *journal.Journal
	spool    *spool.Spool
	keeper   keeper // the spool as the queues see it
	planner  *egress.Planner
	queues   *queue.Queues
	orders   *queue.Orders
	ready    *ready.Queues
	intake   *intake.Intake
	smtp     *listener.Metrics
}

// newResolver makes the resolver that the policy asked for, or that of the system, and lets the policy have it, too.
func newResolver(p *plan, cfg dns.Config) (*dns.Resolver, error) {
	r, err := p.setup.NewResolver(cfg)
	if err == nil {
		p.policy.UseResolver(r)
	}
	return r, err
}

// newPlanner makes what decides where mail goes, without anything that sends it.
func newPlanner(p *plan, reg *metric.Registry) (*egress.Planner, *egress.Dialer, error) {
	caches := cache.NewSet(reg, time.Now)
	p.caches = caches
	resolver, err := newResolver(p, dns.Config{Caches: caches, Metrics: dns.NewMetrics(reg)})
	if err != nil {
		return nil, nil, fmt.Errorf("resolver: %w", err)
	}
	planner := egress.NewPlanner(egress.PlannerConfig{Configs: p.policy, Resolver: resolver, Epoch: p.policy.Epoch, Caches: caches})
	return planner, egress.NewDialer(egress.DialerConfig{Resolver: resolver}), nil
}

// openJournal opens the logs that the policy declared.
func openJournal(p *plan, log *slog.Logger) (*journal.Journal, error) {
	id, err := journal.NodeID(os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("node id: %w", err)
	}
	cfg := journal.Config{NodeID: id, Filter: p.policy, Log: log}
	for _, l := range p.setup.Logs {
		cfg.Files = append(cfg.Files, l.Value)
	}
	j, err := journal.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("open logs: %w", err)
	}
	return j, nil
}

// spoolConfig says where the spool lives: whole under the path of the spool named data.
func spoolConfig(p *plan, log *slog.Logger) spool.Config {
	data, _ := p.setup.Spool("data")
	cfg := spool.Config{
		Dir: data.Path, Log: log, LogDirs: logDirsOf(p),
		MinFreeSpace: data.MinFreeSpace, MinFreeInodes: data.MinFreeInodes, TrashKeep: data.TrashKeep.Std(),
	}
	if cfg.TrashKeep == 0 {
		cfg.TrashKeep = -1 // said to be none
	}
	return cfg
}

// logDirsOf are the directories that the logs of a policy are in, absolute.
func logDirsOf(p *plan) []string {
	dirs := []string{}
	for _, l := range p.setup.Logs {
		for _, dir := range l.Value.Dirs() {
			if abs, err := filepath.Abs(dir); err == nil && !slices.Contains(dirs, abs) {
				dirs = append(dirs, abs)
			}
		}
	}
	return dirs
}

// sayOnce tells what a policy written for KumoMTA may expect otherwise.
func sayOnce(p *plan, log *slog.Logger) {
	data, _ := p.setup.Spool("data")
	meta, ok := p.setup.Spool("meta")
	log.Info("the spool is durable whatever flush says: a 250 is sent when the message is on stable storage", "spool", data.Path)
	if ok {
		log.Info("the spool named meta is not used: everything is kept under the spool named data", "meta", meta.Path, "data", data.Path)
	}
}

// feedback lets ready queues, which are made first, reach the scheduled queues.
type feedback struct{ *queue.Queues }

// connect builds the rooms that mail walks through.
func connect(p *plan, s *spool.Spool, j *journal.Journal, reg *metric.Registry, log *slog.Logger) (*rooms, error) {
	planner, dialer, err := newPlanner(p, reg)
	if err != nil {
		return nil, err
	}
	name := hostname()
	back := &feedback{}
	r := &rooms{plan: p, log: log, hostname: name, registry: reg, journal: j, spool: s, planner: planner, smtp: listener.NewMetrics(reg)}
	r.keeper = newKeeper(s, reg)
	state := pressure{keeper: r.keeper, memory: p.memory, deliver: p.setup.DeliverUnhealthy}
	r.ready = ready.New(ready.Options{
		Pressure: state,
		Settler:  back,
		Carriers: delivery.New(delivery.Options{Dialer: dialer, Hostname: name}),
		Clock:    systemClock{},
		Room:     func(key string, n int) { back.Room(key, n) },
		Metrics:  ready.NewMetrics(reg),
		Log:      log,
	})
	r.queues = queue.New(queue.Options{
		Sick:  state.Sick,
		Store: r.keeper, Configs: p.policy, Planner: planner, Feed: r.ready, Recorder: j, Clock: systemClock{},
		Metrics: queue.NewMetrics(reg), Epoch: p.policy.Epoch, Log: log,
	})
	back.Queues = r.queues
	r.orders = queue.NewOrders(queue.OrdersOptions{
		Ledger: ledger{store{s}}, Queues: r.queues, Floor: r.ready, Recorder: j, Flush: j.Sync, Recorded: recordedIn(logDirsOf(p)),
		Rebind: p.policy.RebindMessage, Clock: systemClock{}, Log: log,
	})
	r.intake = newIntake(p, r.keeper, j, next{r.queues}, reg)
	p.memory.relieve = func() {
		p.caches.Purge()
		r.ready.Relieve()
	}
	return r, nil
}

func newIntake(p *plan, k keeper, j *journal.Journal, then intake.Next, reg *metric.Registry) *intake.Intake {
	return intake.New(intake.Parts{
		Hooks: p.policy, Store: k, Next: then, Recorder: j,
		IDs: message.NewIDSource(time.Now), Now: time.Now, Metrics: intake.NewMetrics(reg),
	})
}

// hostname is our name where the policy gives none.
func hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}

// at names where an option object was made, for messages about it.
func at(t option.Trace, name string) string {
	e, _ := t.Find(name)
	return e.Origin.At
}
