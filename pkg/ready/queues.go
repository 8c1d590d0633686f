package ready

import (
	"context"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
	"kumo/pkg/throttle"
)

// Options are what Queues are made of. Settler, Carriers and Clock are needed.
type Options struct {
	Settler  Settler
	Carriers Carriers
	Clock    Clock
	// Room is told when a ready queue that was full takes messages again, and about how many (queue.Queues.Room).
	// nil: nobody wants to know.
	Room func(key string, n int)
	// Throttles hold the state of max_connection_rate and max_message_rate; the zero Stores keep it in this room.
	Throttles throttle.Stores
	// Pressure is how the node is; nil: always well.
	Pressure Pressure
	// Metrics show the queues; nil for none.
	Metrics *Metrics
	// Log takes what operators should know; nil for silence.
	Log *slog.Logger
	// Random gives numbers in [0,1) for delays; nil for math/rand.
	Random func() float64
}

// Queues are the ready queues of a node. Its methods may be called at any time from any goroutine.
type Queues struct {
	settler  Settler
	carriers Carriers
	clock    Clock
	room     func(string, int)
	log      *slog.Logger
	random   func() float64
	pressure Pressure

	throttles throttle.Stores

	base   time.Time // the zero of all int64 times
	seed   maphash.Seed
	shards [32]shard
	agenda *agenda
	sums   sums

	stopping atomic.Bool
	opening  context.Context // of Carrier.Open: ends when the drain begins
	close    context.CancelFunc
	settling context.Context // of Settle: never ends

	mu        sync.Mutex
	sessions  map[*session]struct{}
	none      chan struct{} // closed when the last session ends after the drain began
	gone      sync.Once
	abort     chan struct{} // closed by Abort
	abortOnce sync.Once
}

// shard is a part of the name table.
type shard struct {
	mu    sync.RWMutex
	lines map[string]*line
}

// New makes the ready queues. Run keeps them going.
func New(o Options) *Queues {
	s := &Queues{
		settler: o.Settler, carriers: o.Carriers, clock: o.Clock, room: o.Room, log: o.Log, random: o.Random,
		pressure: o.Pressure, throttles: o.Throttles,
		base: o.Clock.Now(), seed: maphash.MakeSeed(), agenda: newAgenda(),
		settling: context.Background(),
		sessions: make(map[*session]struct{}), none: make(chan struct{}), abort: make(chan struct{}),
	}
	s.opening, s.close = context.WithCancel(context.Background())
	if s.room == nil {
		s.room = func(string, int) {}
	}
	if s.pressure == nil {
		s.pressure = wellness{}
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
	for i := range s.shards {
		s.shards[i].lines = make(map[string]*line)
	}
	if o.Metrics != nil {
		o.Metrics.source.Store(s)
	}
	return s
}

// Offer hands m to the ready queue of the plan; false when it is full, and m remains the caller's. Otherwise m will
// be given to the Settler exactly once, unless the node stops before it was taken up by a session: then it is only
// forgotten, for the spool has it.
func (s *Queues) Offer(plan *egress.Plan, m *message.Message) bool {
	if plan.Path != nil && plan.Path.LowMemoryReductionPolicy != egress.NoShrink && s.pressure.Low() {
		s.shrink(m)
	}
	now := s.now()
	for {
		l := s.line(plan, now)
		took, excess, alive := l.offer(plan, item{m: m, since: now})
		if !alive {
			continue
		}
		if len(excess) > 0 {
			l.tooMany(excess)
		}
		return took
	}
}

// Full reports whether the ready queue of that name has no room. Whoever is told so will hear of Room.
func (s *Queues) Full(key string) bool {
	l := s.find(key)
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	full := l.fifo.n >= l.limits.maxReady
	l.starved = l.starved || full
	return full
}

// now is the time in nanoseconds since base, by the monotonic clock.
func (s *Queues) now() int64 { return int64(s.clock.Now().Sub(s.base)) }

func (s *Queues) shard(key string) *shard {
	return &s.shards[maphash.String(s.seed, key)%uint64(len(s.shards))]
}

func (s *Queues) find(key string) *line {
	sh := s.shard(key)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.lines[key]
}

// line finds or makes the ready queue of the plan.
func (s *Queues) line(plan *egress.Plan, now int64) *line {
	if l := s.find(plan.Key); l != nil {
		return l
	}
	sh := s.shard(plan.Key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if l := sh.lines[plan.Key]; l != nil {
		return l
	}
	l := newLine(s, plan, now)
	sh.lines[plan.Key] = l
	return l
}

// each calls f for every ready queue, in no order.
func (s *Queues) each(f func(*line)) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		all := make([]*line, 0, len(sh.lines))
		for _, l := range sh.lines {
			all = append(all, l)
		}
		sh.mu.RUnlock()
		for _, l := range all {
			f(l)
		}
	}
}
