package listener

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// purse is a Memory of some bytes.
type purse struct {
	size, taken, most atomic.Int64
	times             atomic.Int64 // that something was taken
}

func (p *purse) Take(n int) bool {
	if now := p.taken.Add(int64(n)); now > p.size.Load() {
		p.taken.Add(int64(-n))
		return false
	} else if now > p.most.Load() {
		p.most.Store(now)
	}
	p.times.Add(1)
	return true
}

func (p *purse) Give(n int) { p.taken.Add(int64(-n)) }

// TestMemoryIsBounded is row O2 of the promises: messages on their way in do not take more memory than there is for
// them together, what they took comes back however they end, and small mail needs none of it.
func TestMemoryIsBounded(t *testing.T) {
	p := &purse{}
	p.size.Store(1 << 20)
	w := newWorld()
	s := newServer(t, w, options(t, nil))
	s.pool.memory = p
	r := serve(t, s)
	half := dial(t, r.addr, friend)
	half.toData()
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 5000)
	half.send(body)
	for p.taken.Load() < 512<<10 {
		if p.taken.Load() < 0 {
			t.Fatal("more came back than was taken")
		}
		runtime.Gosched()
	}
	second := dial(t, r.addr, friend)
	second.toData()
	go second.send(body + body)
	if got := second.rest(); len(got) != 1 || got[0] != "421 4.3.2 mx.kumo.test load shedding. Try later" {
		t.Errorf("without memory: %q", got)
	}
	small := dial(t, r.addr, friend)
	small.toData()
	small.ask("x\r\n.", "250 ")
	half.ask(".", "250 ")
	// Ends of all other kinds.
	for _, end := range []string{"RST", "y\r\n.\r\n"} {
		c := dial(t, r.addr, friend)
		c.toData()
		before := p.times.Load()
		c.send(body + end)
		if end == "RST" {
			_ = c.conn.Close()
			for p.times.Load() == before || p.taken.Load() > 0 {
				runtime.Gosched()
			}
			continue
		}
		c.expect("message", "250 ")
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r.done <- nil
	if n := p.taken.Load(); n != 0 {
		t.Errorf("%d bytes did not come back", n)
	}
	if n := p.most.Load(); n > 1<<20 {
		t.Errorf("%d bytes were taken at once", n)
	}
	if len(w.mail()) != 3 {
		t.Errorf("%d messages came in, want 3", len(w.mail()))
	}
}
