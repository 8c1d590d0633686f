package spool_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/kumotest"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// fate is what the run was told about a message.
type fate struct {
	body    string
	acked   bool
	refused bool // Accept failed while the disk was running
	ended   bool
	buried  bool // the end is durable: it must never be alive again
}

// ledger is what a run was told about all of its messages.
type ledger struct {
	mu   sync.Mutex
	mail map[message.ID]*fate
	next func() message.ID
	off  func() bool // the power is off
}

func newLedger(off func() bool) *ledger {
	n := byte(0)
	hi := byte(0)
	return &ledger{mail: make(map[message.ID]*fate), off: off, next: func() message.ID {
		if n++; n == 0 {
			hi++
		}
		return message.ID{1, 2, 3, 4, hi, n, 16}
	}}
}

// fork is a ledger for one of several futures of the same disk.
func (l *ledger) fork() *ledger {
	return &ledger{mail: maps.Clone(l.mail), next: l.next, off: func() bool { return false }}
}

func (l *ledger) accept(s *spool.Spool, order string, sizes ...int) []message.ID {
	var ms []*message.Message
	var ids []message.ID
	l.mu.Lock()
	for _, size := range sizes {
		id := l.next()
		body := fmt.Sprintf("%s %0*d", id, size, 7)
		m := newMessage(id, body)
		l.mail[id] = &fate{body: body}
		ms, ids = append(ms, m), append(ids, id)
	}
	l.mu.Unlock()
	err := s.Accept(context.Background(), order, ms...)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		l.mail[id].acked = err == nil
		l.mail[id].refused = err != nil && !l.off()
	}
	if err != nil {
		return nil
	}
	return ids
}

func (l *ledger) end(s *spool.Spool, id message.ID) {
	l.mu.Lock()
	l.mail[id].ended = true
	l.mu.Unlock()
	_ = s.End(id, spool.EndDelivered)
}

// bury notes that everything that has ended is durable, once Flush says so.
func (l *ledger) bury(s *spool.Spool) {
	l.mu.Lock()
	var ended []*fate
	for _, f := range l.mail {
		if f.ended {
			ended = append(ended, f)
		}
	}
	l.mu.Unlock()
	if s.Flush() == nil {
		l.mu.Lock()
		for _, f := range ended {
			f.buried = true
		}
		l.mu.Unlock()
	}
}

const crashDir = "/var/spool/kumo"

func crashConfig(disk *kumotest.CrashFS) spool.Config {
	return spool.Config{Dir: crashDir, FS: disk, NoIndex: true, Log: quiet, SegmentSize: 6 << 10, Reserve: 2 << 10}
}

// work is the run of a hundred messages: acceptances alone, together and side by side, long ones that span sectors,
// updates, ends, roll-overs, and time for housekeeping.
func work(disk *kumotest.CrashFS, l *ledger) {
	s, err := spool.Open(context.Background(), crashConfig(disk))
	if err != nil {
		return
	}
	defer s.Close()
	var live []message.ID
	for i := range 25 {
		var two sync.WaitGroup
		var a, b []message.ID
		two.Go(func() { a = l.accept(s, "", 100+i) })
		two.Go(func() { b = l.accept(s, "", 1500) })
		two.Wait()
		live = append(append(live, a...), b...)
		live = append(live, l.accept(s, "", 30, 700)...)
		if i%3 == 0 && len(live) > 0 {
			if m, err := s.Load(live[0]); err == nil {
				m.Attempts, m.LastResponse = i, "451 later"
				_ = s.Update(m)
			}
		}
		if i%4 == 1 && len(live) > 0 {
			_ = s.Reschedule(live[len(live)-1], time.Unix(2e9, 0), i)
		}
		for len(live) > 4 {
			l.end(s, live[0])
			live = live[1:]
		}
		switch i % 5 {
		case 1:
			time.Sleep(15 * time.Millisecond)
		case 2:
			l.bury(s)
		case 3:
			time.Sleep(1100 * time.Millisecond)
		}
	}
}

// verify opens the spool on disk and compares it with the ledger. strict: no refused message may be there.
func (l *ledger) verify(t *testing.T, what string, disk *kumotest.CrashFS, strict bool) *spool.Spool {
	t.Helper()
	s, err := spool.Open(context.Background(), crashConfig(disk))
	if err != nil {
		t.Errorf("%s: open: %v", what, err)
		return nil
	}
	alive := make(map[message.ID]bool)
	s.Live(func(e spool.Entry) bool {
		alive[e.ID] = true
		return true
	})
	for id, f := range l.mail {
		if f.acked && !f.ended && !alive[id] {
			t.Errorf("%s: acknowledged message %s is lost", what, id)
		}
		if f.buried && alive[id] {
			t.Errorf("%s: message %s has ended for good and is alive", what, id)
		}
		if strict && f.refused && alive[id] {
			t.Errorf("%s: refused message %s is alive", what, id)
		}
	}
	for id := range alive {
		f := l.mail[id]
		if f == nil {
			t.Errorf("%s: message %s was never accepted", what, id)
			continue
		}
		m, err := s.Load(id)
		if err != nil {
			t.Errorf("%s: load: %v", what, err)
			continue
		}
		if body, err := m.Data(); err != nil || string(body) != f.body {
			t.Errorf("%s: body of %s: %d bytes, %v", what, id, len(body), err)
		}
	}
	return s
}

// again uses the recovered spool, and checks it once more after another power cut.
func (l *ledger) again(t *testing.T, what string, disk *kumotest.CrashFS, s *spool.Spool, strict bool, rng *rand.Rand) {
	t.Helper()
	if s == nil {
		return
	}
	if l.accept(s, "", 50) == nil {
		t.Errorf("%s: the recovered spool refuses mail", what)
	}
	after := disk.Crash(rng.IntN(101), rng)
	_ = s.Close()
	if s := l.verify(t, what+", used and cut again", after, strict); s != nil {
		_ = s.Close()
	}
}

func stride(n int) int {
	if testing.Short() {
		return n
	}
	return 1
}

// TestPowerCutAfterEveryOperation is row P1 (d) of the promises: 0 acknowledged lost, 0 torn delivered.
func TestPowerCutAfterEveryOperation(t *testing.T) {
	total := 0
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		work(disk, newLedger(func() bool { return false }))
		total = disk.Ops()
	})
	if total < 100 {
		t.Fatalf("only %d operations", total)
	}
	t.Logf("%d operations", total)
	for n := 1; n <= total; n += stride(7) {
		synctest.Test(t, func(t *testing.T) { cutAt(t, n) })
	}
}

func cutAt(t *testing.T, n int) {
	disk := kumotest.NewCrashFS()
	disk.CutAfter(n)
	l := newLedger(func() bool { return disk.Ops() >= n })
	work(disk, l)
	for _, keep := range []int{0, 50, 100} {
		what := fmt.Sprintf("power cut after operation %d, %d %% kept", n, keep)
		rng := rand.New(rand.NewPCG(uint64(n), uint64(keep)))
		after := disk.Crash(keep, rng)
		recut(t, l, what, after, rng)
		s := l.verify(t, what, after, true)
		l.fork().again(t, what, after, s, true, rng)
	}
	what := fmt.Sprintf("killed after operation %d", n)
	after := disk.Kill()
	s := l.verify(t, what, after, true)
	l.fork().again(t, what, after, s, true, rand.New(rand.NewPCG(uint64(n), 1)))
}

// recut cuts the power again at a few moments of the recovery.
func recut(t *testing.T, l *ledger, what string, disk *kumotest.CrashFS, rng *rand.Rand) {
	for range 2 {
		second := disk.Kill()
		at := 1 + rng.IntN(8)
		second.CutAfter(at)
		if s, err := spool.Open(context.Background(), crashConfig(second)); err == nil {
			_ = s.Close()
		}
		third := second.Crash(rng.IntN(101), rng)
		if s := l.verify(t, fmt.Sprintf("%s, and again after operation %d of the recovery", what, at), third, true); s != nil {
			_ = s.Close()
		}
	}
}

// TestEveryOperationFails is row S3: the nth operation fails, once or for ever, with each error. What was refused
// is absent, what was acknowledged is durable.
func TestEveryOperationFails(t *testing.T) {
	total := 0
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		work(disk, newLedger(func() bool { return false }))
		total = disk.Ops()
	})
	faults := []kumotest.Fault{
		{Err: syscall.EIO},
		{Err: syscall.EIO, Half: true},
		{Err: syscall.EIO, Landed: true},
		{Err: nil}, // short writes
		{Err: syscall.ENOSPC, Half: true},
		{Err: syscall.ENOSPC, Half: true, Landed: true},
		{Err: syscall.EDQUOT},
		{Err: syscall.EROFS, Forever: true},
		{Err: syscall.ENOSPC, Half: true, Forever: true},
		{Err: syscall.EIO, Forever: true, Only: "sync"},
		{Err: syscall.EIO, Forever: true, Only: "syncdir"},
		{Err: syscall.ENOSPC, Forever: true, Only: "create"},
	}
	for i, f := range faults {
		step := 5 // the faults take turns, so that each operation is hit by several
		if testing.Short() {
			step = 20
		}
		for n := 1 + i%step; n <= total; n += step {
			f.At = n
			synctest.Test(t, func(t *testing.T) { failAt(t, f, 0) })
			if !f.Forever {
				synctest.Test(t, func(t *testing.T) { failAt(t, f, n+2+n%6) })
			}
		}
	}
}

// failAt lets an operation fail, and cuts the power after operation cut if that is not 0.
func failAt(t *testing.T, f kumotest.Fault, cut int) {
	disk := kumotest.NewCrashFS()
	disk.Fail(f)
	disk.CutAfter(cut)
	l := newLedger(func() bool { return cut > 0 && disk.Ops() >= cut })
	work(disk, l)
	rng := rand.New(rand.NewPCG(uint64(f.At), 3))
	for _, keep := range []int{-1, 0, 50, 100} {
		what := fmt.Sprintf("%+v, cut after %d, %d %% kept", f, cut, keep)
		after := disk.Kill()
		if keep >= 0 {
			after = disk.Crash(keep, rng)
		}
		// A disk that cannot even cut off what it failed to sync can bring it back after a crash.
		strict := !f.Forever
		s := l.verify(t, what, after, strict)
		l.fork().again(t, what, after, s, strict, rng)
	}
}

// carryOut does what the owner does about six orders, of one to six messages: those that are not known to be
// finished are accepted, and told holds those that are.
func carryOut(t *testing.T, disk *kumotest.CrashFS, src *message.IDSource, told map[string]bool) map[string]int {
	s, err := spool.Open(context.Background(), crashConfig(disk))
	if err != nil {
		return nil
	}
	defer s.Close()
	for i := range 6 {
		order := fmt.Sprint("order", i)
		if told[order] {
			continue
		}
		var ms []*message.Message
		for k := range 1 + i {
			m := newMessage(src.Next(), fmt.Sprintf("%s message %d %01000d", order, k, 0))
			m.Queue = fmt.Sprint(order, " ", k)
			ms = append(ms, m)
		}
		err := s.Accept(context.Background(), order, ms...)
		told[order] = err == nil || errors.Is(err, spool.ErrOrderDone)
		if _, known := s.OrderDone(order); told[order] != known {
			t.Errorf("%s: %v, but known: %v", order, err, known)
		}
	}
	seen := make(map[string]int)
	s.Live(func(e spool.Entry) bool {
		seen[e.Queue]++
		return true
	})
	return seen
}

// TestOrdersUnderPowerCuts cuts the power, or kills the process, twice; whatever was cut short is done again, and
// nothing is lost or there twice.
func TestOrdersUnderPowerCuts(t *testing.T) {
	total := 0
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		carryOut(t, disk, message.NewIDSource(time.Now), make(map[string]bool))
		total = disk.Ops()
	})
	for n := 1; n <= total; n++ {
		synctest.Test(t, func(t *testing.T) {
			for _, keep := range []int{-1, 0, 30, 60, 90, 100} {
				for second := 3 + n%8; second < 40; second += stride(3) * 8 {
					ordersCut(t, n, second, keep)
				}
			}
		})
	}
}

func ordersCut(t *testing.T, n, second, keep int) {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(keep+second*1000)))
	told := make(map[string]bool)
	src := message.NewIDSource(time.Now)
	disk := kumotest.NewCrashFS()
	disk.CutAfter(n)
	carryOut(t, disk, src, told)
	if keep < 0 {
		disk = disk.Kill()
	} else {
		disk = disk.Crash(keep, rng)
	}
	disk.CutAfter(second)
	carryOut(t, disk, src, told)
	disk = disk.Crash(max(keep, 0), rng)
	during := carryOut(t, disk, src, told)
	after := carryOut(t, disk.Kill(), src, told)
	for i := range 6 {
		for k := range 1 + i {
			if q := fmt.Sprint("order", i, " ", k); during[q] != 1 || after[q] != 1 {
				t.Errorf("cut after %d and %d, %d %% kept: %q is there %d times, after a restart %d", n, second, keep, q, during[q], after[q])
			}
		}
	}
}
