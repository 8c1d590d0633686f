package queue

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/message"
	"kumo/pkg/throttle"
)

// Scheduled is one scheduled queue.
type Scheduled struct {
	owner *Queues
	name  string
	parts message.QueueName
	turn  egress.Turn

	conf    atomic.Pointer[settings]
	confMu  sync.Mutex // held by the one who asks policy
	used    atomic.Int64
	openAt  atomic.Int64 // when the message rate throttle lets the next message pass
	pause   atomic.Pointer[Suspension]
	force   atomic.Pointer[inForce] // the rules of orders about this queue
	way     atomic.Pointer[string]  // the ready queue that was used last
	warm    atomic.Bool             // the last plan was had: Insert need not fear to wait for DNS
	backlog atomic.Bool             // messages were due and had to be left

	live       atomic.Int64 // messages of this queue, wherever they are
	rateDelays atomic.Int64
	fullDelays atomic.Int64

	mu       sync.Mutex
	heap     entryHeap
	arrivals []*message.Message // came while the queue was cold; their try is under way
	busy     bool               // a worker has this queue in hand
	inHand   int                // arrivals and entries that the worker has in hand
	hand     *hand              // the entries among them; nil when there are none
	hold     int64              // no worker is wanted before
	served   int64              // when the last worker was done: queues with much to do take turns
	griped   int64              // when a message that cannot be loaded was last spoken of
	ways     []string           // the ready queues that were used, the latest last
	blocked  string             // ready queue without room that the due messages wait for
	restored bool               // entries came from the spool and their times were not checked yet
	dead     bool               // reaped: look the name up again

	// The worker's who has the queue: what kept its due messages of late (spent.go).
	blocks    *message.Blocks
	planning  []message.Span
	stalled   int64
	stalledBy message.Span

	at  int64 // agenda's
	pos int   // agenda's: place plus one, 0 when absent
}

// settings is a configuration in force.
type settings struct {
	*Config
	request egress.Request
	rate    *throttle.Throttle // nil: no max_message_rate
	from    origins
	asked   int64
	took    time.Duration // to ask
	epoch   uint64
	failed  bool // policy could not be asked again; these are the old answers
}

// retryConfig is how long an old configuration is kept in use after policy failed to give a new one, and how long
// messages wait that have none.
const (
	retryConfig = 10 * time.Second
	noConfig    = time.Minute
)

func (c *settings) fresh(now int64, epoch uint64) bool {
	age := time.Duration(now - c.asked)
	switch {
	case c.failed:
		return age < retryConfig
	case c.RefreshStrategy == egress.RefreshEpoch:
		return c.epoch == epoch
	default:
		return age < c.RefreshInterval.Std()
	}
}

// config gives the configuration in force. When it is to be refreshed one caller asks policy and the others go on
// with the old one; a refresh that fails leaves the old one in use. The error says that there has never been one.
func (q *Scheduled) config(ctx context.Context, now int64) (*settings, error) {
	epoch := q.owner.epoch()
	c := q.conf.Load()
	if c != nil {
		if c.fresh(now, epoch) || !q.confMu.TryLock() {
			return c, nil
		}
	} else {
		q.confMu.Lock()
	}
	defer q.confMu.Unlock()
	if c = q.conf.Load(); c != nil && c.fresh(now, epoch) {
		return c, nil
	}
	next, err := q.ask(ctx, now, epoch, c)
	if err != nil {
		return nil, err
	}
	q.conf.Store(next)
	return next, nil
}

// ask has policy configure the queue. old is what was in force, nil at first.
func (q *Scheduled) ask(ctx context.Context, now int64, epoch uint64, old *settings) (*settings, error) {
	res, err := q.owner.configs.QueueConfig(ctx, q.parts)
	if err != nil {
		if old == nil {
			return nil, fmt.Errorf("configure queue %s: %w", q.name, err)
		}
		q.owner.log.Warn("queue keeps its old configuration", "queue", q.name, "error", err)
		next := *old
		next.asked, next.failed = now, true
		return &next, nil
	}
	next := q.settings(&res.Value, old)
	next.asked, next.epoch, next.from = now, epoch, originsOf(res.Trace)
	next.took = time.Duration(q.owner.since(q.owner.clock.Now()) - now)
	return next, nil
}

// settings prepares what c means. The state of an unchanged throttle is carried over from old.
func (q *Scheduled) settings(c *Config, old *settings) *settings {
	s := &settings{Config: c, request: egress.Request{
		Queue:    q.parts,
		Pool:     c.EgressPool,
		Protocol: c.Protocol,
		Turn:     &q.turn,
		Full:     q.owner.full,
	}}
	s.rate = q.owner.limit(q.name, c.MaxMessageRate, old)
	return s
}

// push schedules a message that was in somebody's hands, unless an order has come between: then it goes where the
// store says. False means that the queue was reaped meanwhile.
func (q *Scheduled) push(e entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dead {
		return false
	}
	q.add(e)
	return true
}

// current is e as the store has it now; not ok when its message is not one of this queue that waits. Called with mu
// held, so that what an order has changed, and is about to bring to this queue, is either seen here or there.
func (q *Scheduled) current(e entry) (entry, bool) {
	now, ok := q.owner.store.Lookup(e.id)
	switch {
	case !ok || now.Queue != q.name || now.Place == Held || now.Place == Trashed:
		return e, false
	case StampOf(now.Due) != e.stamp:
		n := q.owner.stored(&now, q.owner.since(q.owner.clock.Now()))
		e.due, e.stamp, e.attempts = n.due, n.stamp, n.attempts
	}
	return e, true
}

// rearm puts the queue on the agenda for the time when a worker can do something for it. Called with mu held.
func (q *Scheduled) rearm() {
	at := int64(never)
	switch {
	case q.busy:
		return // the worker does it when it is done
	case len(q.arrivals) > 0:
		at = 0
	case len(q.heap) > 0:
		at = max(q.heap[0].due, q.hold, q.served)
	}
	q.owner.agenda.set(q, at)
}

// waiting is how many messages are scheduled, those in a worker's hand included.
func (q *Scheduled) waiting() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int64(len(q.heap) + len(q.arrivals) + q.inHand)
}

// idle reports whether the queue has no messages anywhere and is not suspended. Called with mu held.
func (q *Scheduled) idle(now int64) bool {
	return q.live.Load() == 0 && len(q.heap) == 0 && len(q.arrivals) == 0 && !q.busy && q.suspension(now) == nil
}
