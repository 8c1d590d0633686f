package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"kumo/pkg/journal"
	"kumo/pkg/kumotest"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

var tryLater = &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 3, 0}, Message: "later"}

func to(n int) func(int) string {
	return func(i int) string { return fmt.Sprintf("r%d@d%d.example", i, i%n) }
}

// TestOrdersBesideDaemon: a bounce takes effect within moments, undo brings everything back with its schedule and byte
// for byte, and the log says both.
func TestOrdersBesideDaemon(t *testing.T) {
	sink := kumotest.NewSink(t, false)
	var mu sync.Mutex
	refuse := true
	sink.Rcpt = func(string) error {
		mu.Lock()
		defer mu.Unlock()
		if refuse {
			return tryLater
		}
		return nil
	}
	b := newBox(t, sink.Addr, "30m")
	stop := b.serve()
	ids := b.inject(10, to(2))
	tried := func() bool {
		rows := b.rows(spool.Filter{})
		return len(rows) == 10 && !slices.ContainsFunc(ids, func(id message.ID) bool { return rows[id.String()].Attempts == 0 })
	}
	b.eventually("each message was tried once", tried)
	before := b.rows(spool.Filter{})

	began := time.Now()
	bounce := b.order(spool.OrderBounce, spool.Command{Match: spool.Match{Domain: "d0.example"}, Reason: "no thanks"})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a bounce took %s", took)
	}
	if c := bounce.Counts; c.Matched != 5 || c.Done != 5 || c.Busy != 0 || len(c.Sample) != 5 {
		t.Errorf("the bounce came to %+v", c)
	}
	b.eventually("the trash is in the index", func() bool { return len(b.rows(spool.Filter{State: spool.StateTrashed})) == 5 })
	undo := b.order(spool.OrderUndo, spool.Command{Order: bounce.ID})
	if undo.Counts.Done != 5 {
		t.Errorf("the undo came to %+v", undo.Counts)
	}
	b.eventually("everything waits again", func() bool { return len(b.rows(spool.Filter{State: spool.StateScheduled})) == 10 })
	for id, row := range b.rows(spool.Filter{}) {
		if was := before[id]; !row.Due.Equal(was.Due) || row.Attempts != was.Attempts || row.LastResponse != was.LastResponse {
			t.Errorf("%s: %+v, and before the bounce %+v", id, row, was)
		}
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	b.order(spool.OrderRequeue, spool.Command{Match: spool.Match{All: true}})
	got := sink.Wait(t, 10)
	for i := range 10 {
		want := fmt.Appendf(nil, "Subject: %d\r\n\r\nmessage %d\r\n", i, i)
		if !slices.ContainsFunc(got, func(m kumotest.Mail) bool { return bytes.HasSuffix(m.Data, want) }) {
			t.Errorf("message %d did not arrive as it was", i)
		}
	}
	stop()
	for _, id := range ids {
		r := b.records()[id.String()]
		if r[journal.AdminBounce] != r[journal.AdminUndo] || r[journal.Delivery] != 1 || r[journal.Reception] != 1 {
			t.Errorf("%s: records %v", id, r)
		}
	}
}

// TestOrdersWithoutDaemon: the verb carries orders out by itself, the records come with the next daemon, once; a
// suspension survives the loss of index.db and orders.db.
func TestOrdersWithoutDaemon(t *testing.T) {
	sink := kumotest.NewSink(t, false)
	b := newBox(t, sink.Addr, "30m")
	ids := b.inject(9, to(3))
	none := b.order(spool.OrderBounce, spool.Command{Match: spool.Match{Domain: "nowhere.example"}})
	if none.Counts.Matched != 0 || none.Counts.Done != 0 {
		t.Errorf("an order that matches nothing came to %+v", none.Counts)
	}
	bounce := b.order(spool.OrderBounce, spool.Command{Match: spool.Match{Domain: "d0.example"}, Reason: "one"})
	purge := b.order(spool.OrderPurge, spool.Command{Match: spool.Match{ByID: true}, Reason: "two"}, ids[1], ids[1], message.ID{7})
	if c := purge.Counts; c.Done != 1 || c.Unknown != 1 || len(c.Missing) != 1 {
		t.Errorf("the purge came to %+v", c)
	}
	b.order(spool.OrderHold, spool.Command{Match: spool.Match{Domain: "d1.example"}})
	b.order(spool.OrderRebind, spool.Command{Match: spool.Match{ByID: true}, Set: map[string]string{"tenant": "acme"}, Reason: "three"}, ids[2])
	b.order(spool.OrderRebind, spool.Command{Match: spool.Match{ByID: true}, Event: true, Set: map[string]string{"tenant": "policy"}}, ids[5])
	b.order(spool.OrderSuspend, spool.Command{Match: spool.Match{Domain: "d2.example"}, Reason: "four", Expires: time.Now().Add(time.Hour)})
	if o, _ := b.tryOrder(t.Context(), spool.OrderUndo, spool.Command{Order: "nonsense"}); o.State != spool.OrderFailed {
		t.Errorf("undoing what nobody knows: %+v", o)
	}
	if o, _ := b.tryOrder(t.Context(), spool.OrderHold, spool.Command{Match: spool.Match{Where: "colour = 1"}}); !strings.Contains(o.Error, "colour") {
		t.Errorf("a bad condition: %+v", o)
	}
	for _, pattern := range []string{"index.db*", "orders.db*"} {
		files, _ := filepath.Glob(filepath.Join(b.spool(), pattern))
		for _, f := range files {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 { // the second daemon has nothing to add
		stop := b.serve()
		b.eventually("what is suspended is logged", func() bool {
			return b.records()[ids[8].String()][journal.TransientFailure] == 1
		})
		stop()
	}
	records := b.records()
	want := map[int]map[journal.Type]int{
		0: {journal.AdminBounce: 1}, 1: {journal.AdminBounce: 1}, 2: {journal.AdminRebind: 1, journal.TransientFailure: 1}, 3: {journal.AdminBounce: 1},
		4: {}, 5: {journal.AdminRebind: 1, journal.TransientFailure: 1}, 6: {journal.AdminBounce: 1}, 7: {}, 8: {journal.TransientFailure: 1},
	}
	for i, id := range ids {
		want[i][journal.Reception] = 1
		if got := records[id.String()]; fmt.Sprint(got) != fmt.Sprint(want[i]) {
			t.Errorf("message %d: records %v, want %v", i, got, want[i])
		}
	}
	if row := b.rows(spool.Filter{})[ids[2].String()]; row.Queue != "acme@d2.example" {
		t.Errorf("the rebound message is in %s", row.Queue)
	}
	undo := b.order(spool.OrderUndo, spool.Command{Order: bounce.ID})
	if undo.Counts.Done != 3 || len(sink.Mail()) != 0 {
		t.Errorf("undo came to %+v, and %d messages were sent", undo.Counts, len(sink.Mail()))
	}
}

// TestRecordsSurviveKills: the records of an offline bounce are written by the next daemon although daemons are killed
// while they write them. None is missing, and none is there twice.
func TestRecordsSurviveKills(t *testing.T) {
	if dir := os.Getenv("KUMO_TEST_SERVE"); dir != "" {
		err := Serve(context.Background(), context.Background(), Options{Policy: dir, User: "root", Log: quiet(Options{}).Log})
		t.Fatal(err) // it is killed before
	}
	const messages = 3000
	b := newBox(t, "127.0.0.1:1", "30m")
	ids := b.fill(messages, to(5), time.Time{})
	b.order(spool.OrderBounce, spool.Command{Match: spool.Match{All: true}})
	const kills = 6
	for i := range kills {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "KUMO_TEST_SERVE="+b.policy)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10+rand.IntN(60*(i+1))) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	b.serve()()
	records := b.records()
	most := 0
	for _, id := range ids {
		n := records[id.String()][journal.AdminBounce]
		if n == 0 {
			t.Fatalf("message %s has no AdminBounce", id)
		}
		most = max(most, n)
	}
	if most > 1 {
		t.Errorf("a message has %d AdminBounce records after %d kills", most, kills)
	}
}

// TestOrdersWhileDaemonsComeAndGo: orders given during start, work and shutdown are all carried out (F163).
func TestOrdersWhileDaemonsComeAndGo(t *testing.T) {
	b := newBox(t, "127.0.0.1:1", "30m")
	b.inject(50, to(5))
	ctx, cancel := context.WithCancel(t.Context())
	var giving sync.WaitGroup
	var mu sync.Mutex
	given := 0
	kinds := []string{spool.OrderHold, spool.OrderRelease, spool.OrderRequeue, spool.OrderBounce, spool.OrderSuspend, spool.OrderResume}
	for g := range 3 {
		giving.Go(func() {
			for i := g; ctx.Err() == nil; i++ {
				c := spool.Command{Match: spool.Match{Domain: fmt.Sprintf("d%d.example", i%5)}}
				if kinds[i%len(kinds)] == spool.OrderSuspend {
					c.Expires = time.Now().Add(time.Second)
				}
				o, err := b.tryOrder(context.Background(), kinds[i%len(kinds)], c)
				if err != nil && !errors.As(err, new(*spool.HeldError)) {
					t.Errorf("%s: %v", o.Kind, err)
					return
				}
				if err == nil && o.State != spool.OrderDone {
					t.Errorf("%s: %s %s", o.Kind, o.State, o.Error)
				}
				mu.Lock()
				given++
				mu.Unlock()
			}
		})
	}
	for range 6 {
		stop := b.serve()
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		stop()
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
	}
	cancel()
	giving.Wait()
	if given < 10 {
		t.Errorf("only %d orders were given", given)
	}
}

// TestBounceWhileDelivering has a daemon deliver what a spool holds, and bounces all of it meanwhile (F165; the figures
// for a million are BenchmarkBounceMillion's). Each message ends once: in the trash or at the sink.
func TestBounceWhileDelivering(t *testing.T) {
	const n = 20_000
	sink := kumotest.NewSink(t, false)
	b := newBox(t, sink.Addr, "30m")
	ids := b.fill(n, to(100), time.Time{})
	stop := b.serve()
	sink.Wait(t, 20)
	o := b.order(spool.OrderBounce, spool.Command{Match: spool.Match{All: true}, Reason: "all of it"})
	stop()
	records := b.records()
	for _, id := range ids {
		r := records[id.String()]
		if r[journal.Delivery]+r[journal.AdminBounce] != 1 {
			t.Fatalf("message %s: records %v", id, r)
		}
	}
	trashed := len(b.rows(spool.Filter{State: spool.StateTrashed}))
	if arrived := len(sink.Mail()); trashed+arrived != n || trashed < o.Counts.Done {
		t.Errorf("%d messages are in the trash and %d arrived, of %d; the order says %+v", trashed, arrived, n, o.Counts)
	}
}

// BenchmarkBounceMillion starts with a million messages, bounces all of them while a host refuses them, and undoes it.
func BenchmarkBounceMillion(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		sink := kumotest.NewSink(b, false)
		sink.Rcpt = func(string) error { return tryLater }
		x := newBox(b, sink.Addr, "30m")
		x.fill(n, to(100), time.Time{})
		began := time.Now()
		stop := x.serve()
		b.ReportMetric(time.Since(began).Seconds(), "s/start")
		time.Sleep(2 * time.Second)
		debug.FreeOSMemory()
		var o spool.Order
		measure := func(what string, f func()) {
			before, peak := resident(), watch()
			began := time.Now()
			f()
			b.ReportMetric(time.Since(began).Seconds(), "s/"+what)
			b.ReportMetric(float64(peak()-before)/(1<<20), "MB-grown/"+what)
		}
		measure("bounce", func() {
			o = x.order(spool.OrderBounce, spool.Command{Match: spool.Match{All: true}, Reason: "all of it"})
		})
		if o.Counts.Done < n-1000 {
			b.Errorf("the bounce came to %+v", o.Counts)
		}
		measure("undo", func() { o = x.order(spool.OrderUndo, spool.Command{Order: o.ID}) })
		if o.Counts.Done < n-1000 {
			b.Errorf("the undo came to %+v", o.Counts)
		}
		stop()
	}
}

// resident is the memory of this process in bytes.
func resident() int64 {
	m := &memory{}
	m.refresh()
	return m.used.Load()
}

// watch notes how large resident gets until the function that it returns is called.
func watch() (most func() int64) {
	var peak int64
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			peak = max(peak, resident())
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	return func() int64 {
		close(done)
		watching.Wait()
		return peak
	}
}
