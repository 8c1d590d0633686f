package torture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing/synctest"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool"
	"kumo/pkg/torture/crashfs"
)

// point is one point while it runs, in a bubble of its own.
type point struct {
	*rand.Rand
	num   int
	kind  *kind
	disk  *crashfs.FS
	cfg   spool.Config
	s     *spool.Spool
	m     *model
	next  func() message.ID
	ctx   context.Context
	said  *lines
	dir   string // of the SQLite files, "" without them
	wrong []string
	count counts

	keep    time.Duration // how long the trash is kept
	tight   bool          // room may be short, and the trash emptied early
	clock   atomic.Int64  // how wrong the clock is
	healthy bool          // the disk is well and not slow, so that times can be relied on
	armed   bool          // a fault is armed: calls may fail
	beside  bool          // the log is being compacted meanwhile
	lenient bool          // the disk cannot even cut off what it refused: that may come back after a crash
	// The disk lost or changed bytes that were certain: messages may go back to what they were, or be lost, and
	// astray are those.
	tolerant bool
	astray   []*letter
	widely   bool // the damage may cost many messages
	silent   bool // and nothing can report it: the first or last segment is gone
	// orders.db was broken: orders can be lost or, restored from a backup, carried out again.
	forgetful bool
	blurred   bool // index.db was damaged: its texts may be wrong
	step      *halfStep
}

// counts are for the report.
type counts struct {
	Messages    int `json:"messages"` // accepted
	Ends        int `json:"ends"`
	Changes     int `json:"changes"` // other changes of messages, by updates and orders
	Opens       int `json:"opens"`   // recoveries that were compared with the model
	Compactions int `json:"compactions"`
	Repeats     int `json:"repeats"` // ends that a crash forgot, as it may
}

func (c *counts) add(o counts) {
	c.Messages += o.Messages
	c.Ends += o.Ends
	c.Changes += o.Changes
	c.Opens += o.Opens
	c.Compactions += o.Compactions
	c.Repeats += o.Repeats
}

// spoolDir is where the log is on the disk in memory.
const spoolDir = "/var/spool/kumo"

func newPoint(seed uint64, num int, k *kind) *point {
	p := &point{
		Rand: rand.New(rand.NewPCG(seed, uint64(num))), num: num, kind: k, disk: crashfs.New(), m: newModel(),
		ctx: context.Background(), said: &lines{},
	}
	p.next = p.ids()
	segments := []int64{4 << 10, 6 << 10, 16 << 10, 64 << 10, 1 << 20}
	p.cfg = spool.Config{
		Dir: spoolDir, NoIndex: true, SegmentSize: segments[p.IntN(len(segments))], Reserve: 16 << 10,
		Log: slog.New(slog.NewTextHandler(p.said, &slog.HandlerOptions{ReplaceAttr: noTime})),
	}
	p.keep = []time.Duration{time.Hour, time.Hour, 30 * time.Second}[p.IntN(3)]
	p.cfg.TrashKeep = p.keep
	p.cfg.Now = p.now
	if p.IntN(2) == 0 {
		p.cfg.LogDirs = []string{"/var/log/kumomta", "/srv/log"}
	}
	p.slow()
	return p
}

// now is what the spool takes for the time.
func (p *point) now() time.Time {
	return time.Now().Round(0).Add(time.Duration(p.clock.Load()))
}

func noTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// ids makes message ids that only depend on the seed.
func (p *point) ids() func() message.ID {
	n := uint32(0)
	return func() message.ID {
		n++
		var id message.ID
		for i := range 8 {
			id[i] = byte(p.Uint32())
		}
		id[8], id[9], id[10], id[11] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		id[15] = 0x10
		return id
	}
}

// slow gives the disk times as disks have them, so that callers share syncs.
func (p *point) slow() {
	p.disk.SetDelay("sync", time.Duration(p.IntN(4))*time.Millisecond)
	p.disk.SetDelay("syncdir", time.Duration(p.IntN(2))*time.Millisecond)
	p.disk.SetDelay("write", time.Duration(p.IntN(300))*time.Microsecond)
}

// failf notes what is wrong; a point goes on after that, because the first thing is not always the clearest.
func (p *point) failf(format string, args ...any) {
	if len(p.wrong) < 20 {
		p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
	}
}

// run runs the point in the bubble that it was called in.
func (p *point) run() {
	defer func() {
		if why := recover(); why != nil {
			p.failf("panic: %v\n%s", why, debug.Stack())
		}
		if p.s != nil {
			_ = p.s.Close()
		}
		if p.dir != "" {
			_ = os.RemoveAll(p.dir)
		}
	}()
	p.kind.run(p)
	if p.s != nil { // what is left works, and ends as it should
		p.endings()
	}
}

// open opens what is on the disk. Without strict it may fail, because the disk does.
func (p *point) open(strict bool) bool {
	p.cfg.FS = p.disk
	s, err := spool.Open(p.ctx, p.cfg)
	if err != nil {
		if strict && !p.off() {
			p.failf("open: %v", err)
		}
		return false
	}
	p.s, p.healthy = s, true
	synctest.Wait()
	return true
}

// close closes the spool. Nothing may be left behind when the disk is well.
func (p *point) close() {
	if p.s == nil {
		return
	}
	err := p.s.Close()
	p.s = nil
	if p.disk.Off() {
		return
	}
	if err != nil {
		p.failf("close: %v", err)
	}
	if p.healthy {
		p.m.certain(false)
	}
}

// die is the end of the process: what was written is there.
func (p *point) die() {
	after := p.disk.Kill()
	p.bury(after)
}

// cut is a power cut that keeps so many percent of what was not synced.
func (p *point) cut(keep int) {
	p.disk.CutNow()
	p.bury(p.disk.Crash(keep, p.Rand))
}

// bury ends the process that has the old disk, and goes on with the new one.
func (p *point) bury(after *crashfs.FS) {
	p.disk.CutNow()
	files := p.snapshot()
	if p.s != nil {
		_ = p.s.Close()
		p.s = nil
	}
	synctest.Wait()
	if p.dir != "" {
		p.restore(files, "")
	}
	p.disk = after
	p.slow()
}

// off reports that nobody answers any more.
func (p *point) off() bool { return p.disk.Off() }

// broken reports an error that comes of the fault that is armed, and not of a mistake.
func broken(err error) bool {
	return errors.Is(err, spool.ErrFull) || errors.Is(err, spool.ErrUnhealthy) || errors.Is(err, spool.ErrClosed) ||
		errors.Is(err, crashfs.ErrPowerCut) || errors.Is(err, syscall.EIO)
}

// lines keeps the last things that a spool said, for those who look into a failure.
type lines struct{ all []string }

func (l *lines) Write(b []byte) (int, error) {
	if l.all = append(l.all, strings.TrimSuffix(string(b), "\n")); len(l.all) > 12 {
		l.all = l.all[1:]
	}
	return len(b), nil
}
