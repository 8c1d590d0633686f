package queue

import (
	"context"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/throttle"
)

// Options are what Queues are made of. Store, Configs, Planner, Feed, Recorder and Clock are needed.
type Options struct {
	Store    Store
	Configs  Configs
	Planner  Planner
	Feed     Feed
	Recorder Recorder
	Clock    Clock
	// Throttles hold the state of max_message_rate; the zero Stores keep it in this room.
	Throttles throttle.Stores
	// Sick is nil while messages may be delivered, or says why not now: then they wait. A nil func: they always may.
	Sick func() error
	// Metrics show the queues; nil for none.
	Metrics *Metrics
	// Epoch is the number of the configuration in force, for queues with refresh_strategy Epoch. nil: always 0.
	Epoch func() uint64
	// Log takes what operators should know; nil for silence.
	Log *slog.Logger
	// Random gives numbers in [0,1) for jitter; nil for math/rand.
	Random func() float64
	// Workers bounds how many queues have their due messages promoted at once. 0: DefaultWorkers.
	Workers int
}

// DefaultWorkers is how many queues may wait for their plans (and so for DNS) at once: as many as
// set_mx_concurrency_limit allows look-ups.
const DefaultWorkers = 128

// Queues are the scheduled queues of a node. Its methods may be called at any time from any goroutine.
type Queues struct {
	store    Store
	configs  Configs
	planner  Planner
	feed     Feed
	full     func(string) bool // feed.Full, bound once
	recorder Recorder
	clock    Clock
	epoch    func() uint64
	log      *slog.Logger
	random   func() float64
	sick     func() error

	throttles throttle.Stores

	base     time.Time // the zero of all int64 times
	fallback *settings // the defaults, for messages of queues that cannot be configured
	seed     maphash.Seed
	shards   [64]shard
	agenda   *agenda
	slots    chan struct{}
	room     waiting
	spare    sync.Pool    // of *journal.Record: the recorder keeps nothing of what it is given
	hands    sync.Pool    // of *hand
	holding  atomic.Int64 // arrivals that are held in memory
	orders   *Orders      // nil when nobody gives any
	reaped   int64        // when idle queues were looked for; of Run
}

// shard is a part of the name table.
type shard struct {
	mu     sync.RWMutex
	queues map[string]*Scheduled
}

// New makes the scheduled queues, which promote nothing that must wait until Run.
func New(o Options) *Queues {
	s := &Queues{
		store: o.Store, configs: o.Configs, planner: o.Planner, feed: o.Feed, full: o.Feed.Full, recorder: o.Recorder,
		clock: o.Clock, epoch: o.Epoch, log: o.Log, random: o.Random,
		throttles: o.Throttles,
		base:      o.Clock.Now(), seed: maphash.MakeSeed(), agenda: newAgenda(),
	}
	if s.epoch == nil {
		s.epoch = func() uint64 { return 0 }
	}
	if s.sick = o.Sick; s.sick == nil {
		s.sick = func() error { return nil }
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.random == nil {
		s.random = rand.Float64
	}
	if s.throttles.Local == nil {
		s.throttles.Local = throttle.NewLocal(o.Clock.Now)
	}
	if o.Workers <= 0 {
		o.Workers = DefaultWorkers
	}
	s.spare.New = func() any { return new(journal.Record) }
	s.hands.New = func() any { return new(hand) }
	s.slots = make(chan struct{}, o.Workers)
	s.room.keys = make(map[string][]*Scheduled)
	for i := range s.shards {
		s.shards[i].queues = make(map[string]*Scheduled)
	}
	defaults := schema.Default()
	s.fallback = (&Scheduled{owner: s}).settings(&defaults, nil)
	if o.Metrics != nil {
		o.Metrics.source.Store(s)
	}
	return s
}

// Ready checks that the queue of this name can be configured; an error refuses the message before it is stored.
func (s *Queues) Ready(ctx context.Context, name string) error {
	now := s.since(s.clock.Now())
	_, err := s.queue(name, now).config(ctx, now)
	return err
}

// since is t on the scale of the entries: nanoseconds since base, by the monotonic clock where t has one.
func (s *Queues) since(t time.Time) int64 { return int64(t.Sub(s.base)) }

// queue finds or makes the queue of that name, and marks it used.
func (s *Queues) queue(name string, now int64) *Scheduled {
	sh := s.shard(name)
	sh.mu.RLock()
	q := sh.queues[name]
	if q != nil {
		q.used.Store(now) // inside the lock: what was found is not reaped before its time
	}
	sh.mu.RUnlock()
	if q == nil {
		q = s.add(sh, name, now)
	}
	return q
}

// find is the queue of that name if there is one.
func (s *Queues) find(name string) *Scheduled {
	sh := s.shard(name)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.queues[name]
}

func (s *Queues) shard(name string) *shard {
	return &s.shards[maphash.String(s.seed, name)%uint64(len(s.shards))]
}

func (s *Queues) add(sh *shard, name string, now int64) *Scheduled {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if q := sh.queues[name]; q != nil {
		q.used.Store(now)
		return q
	}
	name = strings.Clone(name) // it may be a piece of something large
	q := &Scheduled{owner: s, name: name, parts: message.ParseQueueName(name)}
	q.used.Store(now)
	sh.queues[name] = q
	return q
}

// each calls f for every queue, in no order. Queues may come and go meanwhile.
func (s *Queues) each(f func(*Scheduled)) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		all := make([]*Scheduled, 0, len(sh.queues))
		for _, q := range sh.queues {
			all = append(all, q)
		}
		sh.mu.RUnlock()
		for _, q := range all {
			f(q)
		}
	}
}

// wait schedules a message that was in somebody's hands, once it has obeyed the orders that waited for it.
func (s *Queues) wait(q *Scheduled, e entry) {
	if s.orders != nil {
		s.orders.claimed(e.id)
	}
	s.push(q, e)
}

// push puts the entry of a message that waits into the queue of that name.
func (s *Queues) push(q *Scheduled, e entry) {
	for !q.push(e) {
		q = s.queue(q.name, s.since(s.clock.Now()))
	}
}
