package egress

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// Turn is the weighted round robin state that one scheduled queue keeps between plans, and what the planner
// remembers for it, so that a plan for a queue in use costs no look-up. The zero value is ready. It is safe for
// concurrent use and must not be copied.
type Turn struct {
	next  atomic.Uint32
	state atomic.Pointer[turnState]
}

// turnState is what holds while the pool, the domain and the protocol of a queue stay as they are.
type turnState struct {
	pool     *poolState
	domain   string
	protocol Protocol
	plans    []atomic.Pointer[kept[*Plan]] // by entry of the pool
}

// current reports that the state still answers req.
func (s *turnState) current(now time.Time, req *Request) bool {
	return s.pool.name == req.Pool && s.pool.fresh(now) && s.domain == req.Queue.Effective() &&
		s.protocol.equal(&req.Protocol)
}

// take is the position of the next message: each position once per round.
func (t *Turn) take() uint32 { return t.next.Add(1) - 1 }

// maxOrder is the longest round that is written out.
const maxOrder = 4096

// poolState is a pool made ready for choosing.
type poolState struct {
	name    string
	entries []PoolEntry // weight above 0, each source once
	order   []uint16    // one round: indexes of entries, spread evenly; nil when it would be too long
	total   uint64      // sum of the weights
	expires time.Time   // zero: never
}

func (p *poolState) fresh(now time.Time) bool { return p.expires.IsZero() || now.Before(p.expires) }

// newPoolState drops what has no weight and adds up what is listed twice.
func newPoolState(name string, entries []PoolEntry) *poolState {
	p := &poolState{name: name}
	index := map[string]int{}
	for _, e := range entries {
		if e.Weight == 0 {
			continue
		}
		p.total += uint64(e.Weight)
		if i, ok := index[e.Name]; ok {
			p.entries[i].Weight += min(e.Weight, ^uint32(0)-p.entries[i].Weight)
			continue
		}
		index[e.Name] = len(p.entries)
		p.entries = append(p.entries, e)
	}
	p.order = spread(p.entries)
	return p
}

// spread writes one round of the weighted round robin: in each step everybody gains its weight, and who has most is
// chosen and pays the sum. The weights are divided by their greatest common divisor first.
func spread(entries []PoolEntry) []uint16 {
	var div, total uint64
	for _, e := range entries {
		div = gcd(uint64(e.Weight), div)
		total += uint64(e.Weight)
	}
	if len(entries) == 0 || total/div > maxOrder {
		return nil
	}
	credit := make([]int64, len(entries))
	order := make([]uint16, total/div)
	for step := range order {
		best := 0
		for i, e := range entries {
			credit[i] += int64(uint64(e.Weight) / div)
			if credit[i] > credit[best] {
				best = i
			}
		}
		credit[best] -= int64(len(order))
		order[step] = uint16(best)
	}
	return order
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// choose is the entry for a position of the round. Where no round is written out, chance does the same.
func (p *poolState) choose(at uint32) int {
	if p.order != nil {
		return int(p.order[at%uint32(len(p.order))])
	}
	r := rand.Uint64N(p.total)
	for i, e := range p.entries {
		if r < uint64(e.Weight) {
			return i
		}
		r -= uint64(e.Weight)
	}
	return len(p.entries) - 1
}

// heaviest is the entry that a dry run shows.
func (p *poolState) heaviest() int {
	best := slices.MaxFunc(p.entries, func(a, b PoolEntry) int { return cmp.Compare(a.Weight, b.Weight) })
	return slices.Index(p.entries, best)
}
