package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Options are what a run is asked for.
type Options struct {
	Seed   uint64
	Points int
	First  int    // number of the first point
	Kind   string // only points of this kind; "" draws
	Jobs   int    // points that run side by side; 0 is one for each processor
	// Program is the kumo that points of kind kill-9 start and kill; without one they are drawn and not run.
	Program string

	// Progress, if not nil, is told how many points have ended, from one goroutine at a time.
	Progress func(done, failed int)
}

// Report is what came of a run.
type Report struct {
	Seed     uint64    `json:"seed"`
	Passed   int       `json:"passed"`
	Failed   int       `json:"failed"`
	Kinds    []KindRow `json:"kinds"`
	Failures []Failure `json:"failures,omitempty"`
	Totals   counts    `json:"totals"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// KindRow counts the points of one kind.
type KindRow struct {
	Kind   string `json:"kind" col:"KIND,keep"`
	Points int    `json:"points" col:"POINTS"`
	Failed int    `json:"failed" col:"FAILED"`
	About  string `json:"about" col:"WHAT HAPPENS"`
}

// Failure is a point that went wrong.
type Failure struct {
	Point int      `json:"point"`
	Kind  string   `json:"kind"`
	Wrong []string `json:"wrong"` // one sentence each
	Said  []string `json:"said"`  // the last things that the spool said
	Again string   `json:"again"` // the command that runs this point again
}

// block is in how many points each kind occurs at least once. Among them is one daemon that is killed.
const block = 50

// draw says of which kind point num is.
func draw(all []kind, seed uint64, num int) *kind {
	rng := rand.New(rand.NewPCG(seed, uint64(num/block)^0x9e3779b97f4a7c15))
	deck := make([]int, 0, block+len(all))
	for len(deck) < block {
		part := make([]int, 0, len(all))
		for i := range all {
			if !all[i].real || len(deck) == 0 {
				part = append(part, i)
			}
		}
		rng.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
		deck = append(deck, part...)
	}
	deck = deck[:block]
	rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	return &all[deck[num%block]]
}

// KindNames lists the kinds of points.
func KindNames() []string {
	var out []string
	for _, k := range kinds() {
		out = append(out, k.name)
	}
	return out
}

// Run runs the points. Its error is a mistake in the options, or ctx's.
func Run(ctx context.Context, o Options) (*Report, error) {
	r := &run{Options: o, kinds: kinds(), began: time.Now()}
	if o.Jobs <= 0 {
		r.Jobs = runtime.GOMAXPROCS(0)
	}
	if o.Kind != "" && !slices.Contains(KindNames(), o.Kind) {
		return nil, fmt.Errorf("there is no kind of point %q: there are %v", o.Kind, KindNames())
	}
	r.report.Seed = o.Seed
	for _, k := range r.kinds {
		r.report.Kinds = append(r.report.Kinds, KindRow{Kind: k.name, About: k.about})
	}
	r.all(ctx)
	slices.SortFunc(r.report.Failures, func(a, b Failure) int { return a.Point - b.Point })
	r.report.Seconds = time.Since(r.began).Seconds()
	return &r.report, ctx.Err()
}

type run struct {
	Options
	kinds []kind
	began time.Time

	mu     sync.Mutex
	report Report
}

// all runs the points side by side, the real ones first: they wait more than they work.
func (r *run) all(ctx context.Context) {
	var real, rest []int
	for num := r.First; num < r.First+r.Points; num++ {
		if r.kindOf(num).real {
			real = append(real, num)
		} else {
			rest = append(rest, num)
		}
	}
	work := make(chan int)
	var wg sync.WaitGroup
	for range r.Jobs {
		wg.Go(func() {
			for num := range work {
				r.one(ctx, num)
			}
		})
	}
	wg.Go(func() {
		for _, num := range real {
			if ctx.Err() == nil {
				r.one(ctx, num)
			}
		}
	})
	for _, num := range rest {
		if ctx.Err() != nil {
			break
		}
		work <- num
	}
	close(work)
	wg.Wait()
}

func (r *run) kindOf(num int) *kind {
	if r.Kind == "" {
		return draw(r.kinds, r.Seed, num)
	}
	i := slices.IndexFunc(r.kinds, func(k kind) bool { return k.name == r.Kind })
	return &r.kinds[i]
}

// hang is how long a point may take in real time.
const hang = 2 * time.Minute

// one runs a point and takes note of what came of it.
func (r *run) one(ctx context.Context, num int) {
	k := r.kindOf(num)
	p := newPoint(r.Seed, num, k)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if k.real {
			p.kill(ctx, r.Program)
		} else {
			bubble(p.run)
		}
	}()
	var hung []string
	select {
	case <-done:
	case <-time.After(hang):
		hung = []string{fmt.Sprintf("the point has not ended after %s:\n%s", hang, stacks())}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if hung != nil {
		r.note(num, k, Failure{Wrong: hung})
		return
	}
	r.report.Totals.add(p.count)
	r.note(num, k, Failure{Wrong: p.wrong, Said: p.said.all})
}

func (r *run) note(num int, k *kind, f Failure) {
	row := &r.report.Kinds[slices.IndexFunc(r.report.Kinds, func(row KindRow) bool { return row.Kind == k.name })]
	row.Points++
	if len(f.Wrong) == 0 {
		r.report.Passed++
	} else {
		f.Point, f.Kind = num, k.name
		f.Again = fmt.Sprintf("kumo torture --seed %d --points 1 --point %d", r.Seed, num)
		if r.Kind != "" {
			f.Again += " --kind " + r.Kind
		}
		r.report.Failures = append(r.report.Failures, f)
		r.report.Failed++
		row.Failed++
	}
	if r.Progress != nil {
		r.Progress(r.report.Passed+r.report.Failed, r.report.Failed)
	}
}

// bubble runs f where time only passes when everybody waits. Package testing wants a test for that; one that nobody
// runs does (DESIGN.md). A test of ours looks whether it still does.
func bubble(f func()) {
	synctest.Test(new(testing.T), func(*testing.T) { f() })
}

// stacks shows the goroutines of bubbles.
func stacks() string {
	b := make([]byte, 4<<20)
	var out []string
	for g := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if head, _, _ := strings.Cut(g, "\n"); strings.Contains(head, "synctest") {
			out = append(out, g)
		}
	}
	return strings.Join(out, "\n\n")
}
