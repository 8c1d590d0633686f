package torture

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// points runs torture in this process and says what failed. KUMO_TORTURE="SEED POINTS FIRST KIND" runs others than the
// test's own.
func points(t *testing.T, o Options) *Report {
	t.Helper()
	for i, word := range strings.Fields(os.Getenv("KUMO_TORTURE")) {
		n, err := strconv.Atoi(word)
		switch {
		case i == 3:
			o.Kind = word
		case err != nil:
			t.Fatal(err)
		case i == 0:
			o.Seed = uint64(n)
		case i == 1:
			o.Points = n
		case i == 2:
			o.First = n
		}
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range r.Failures {
		if i < 5 {
			t.Errorf("%s (%s)\n  %s\nsaid:\n  %s", f.Again, f.Kind, strings.Join(f.Wrong, "\n  "), strings.Join(f.Said, "\n  "))
		}
	}
	for _, k := range r.Kinds {
		t.Logf("%-14s %4d points, %d failed", k.Kind, k.Points, k.Failed)
	}
	t.Logf("%d passed, %d failed: %+v, %.1f s", r.Passed, r.Failed, r.Totals, r.Seconds)
	return r
}

// TestTorture is the small budget that every run of the tests takes; .ci/run takes 500 points, with daemons that are
// killed.
func TestTorture(t *testing.T) {
	points(t, Options{Seed: 1, Points: 60})
}

// TestEveryKindIsDrawn: in any block of 50 points each kind is there, and one daemon is killed.
func TestEveryKindIsDrawn(t *testing.T) {
	all := kinds()
	for seed := range uint64(20) {
		for from := 0; from < 500; from += block {
			seen := make(map[string]int)
			for num := from; num < from+block; num++ {
				k := draw(all, seed, num)
				seen[k.name]++
				if again := draw(all, seed, num); again.name != k.name {
					t.Fatalf("seed %d, point %d is %s and %s", seed, num, k.name, again.name)
				}
			}
			for _, k := range all {
				if n := seen[k.name]; n == 0 || k.real && n != 1 {
					t.Errorf("seed %d, points %d to %d: %d of kind %s", seed, from, from+block, n, k.name)
				}
			}
		}
	}
}

// madeUp is the directory of points that need a real one.
var madeUp = regexp.MustCompile(`kumo-torture-[0-9]+`)

// TestAPointRunsTheSameWayAgain: the operations on the disk are the same.
func TestAPointRunsTheSameWayAgain(t *testing.T) {
	all := kinds()
	for num := range 60 {
		k := draw(all, 3, num)
		// SQLite has times of its own, and recovery reads ahead on another core: what it meets can come in another order.
		if !slices.Contains([]string{"cut-sync", "torn-write", "die"}, k.name) {
			continue
		}
		var traces [2]string
		for i := range traces {
			p := newPoint(3, num, k)
			bubble(p.run)
			trace := p.disk.Trace()
			slices.Sort(trace)
			traces[i] = madeUp.ReplaceAllString(strings.Join(trace, "\n"), "DIR")
		}
		if traces[0] != traces[1] {
			t.Errorf("point %d (%s) runs differently each time", num, k.name)
		}
	}
}

// TestBubble: testing/synctest does outside of tests what it does in them. Should a later Go not let it, this says so.
func TestBubble(t *testing.T) {
	began := time.Now()
	for range 3 {
		hours := time.Duration(0)
		bubble(func() {
			from := time.Now()
			time.Sleep(time.Hour)
			hours = time.Since(from)
		})
		if hours != time.Hour {
			t.Errorf("an hour took %s", hours)
		}
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("three hours took %s of real time", took)
	}
}
