package torture

import (
	"syscall"
	"time"

	"kumo/pkg/spool"
	"kumo/pkg/torture/crashfs"
)

// kind is a way to break things.
type kind struct {
	name  string
	about string
	run   func(*point)
	real  bool // a real daemon is killed, in real time
}

// kinds are all of them. The order is part of what a seed means.
func kinds() []kind {
	once := func(only string, errs ...error) func(*point) {
		return func(p *point) { p.failing(only, false, errs[p.IntN(len(errs))]) }
	}
	lasting := func(only string, err error) func(*point) { return func(p *point) { p.failing(only, true, err) } }
	return []kind{
		{name: "kill-9", about: "kumo serve is killed under SMTP load, and started again", real: true},
		{name: "cut-sync", about: "the power goes before or after a sync", run: func(p *point) { p.cutting("sync") }},
		{name: "cut-any", about: "the power goes before or after any operation", run: func(p *point) { p.cutting("") }},
		{name: "torn-write", about: "the power goes in the middle of a write", run: (*point).tearing},
		{name: "die", about: "the process dies, the system lives on", run: (*point).dying},
		{name: "fail-write", about: "one write fails, is short, or fails and lands", run: (*point).failingWrite},
		{name: "enospc", about: "one operation finds no room", run: once("", syscall.ENOSPC)},
		{name: "edquot", about: "one operation finds no quota", run: once("", syscall.EDQUOT)},
		{name: "full", about: "the disk is full for a while", run: (*point).filling},
		{name: "eio-write", about: "writes fail for a while", run: lasting("write", syscall.EIO)},
		{name: "eio-sync", about: "a sync fails", run: once("sync", syscall.EIO)},
		{name: "eio-syncs", about: "syncs fail for a while", run: lasting("sync", syscall.EIO)},
		{name: "eio-syncdir", about: "syncs of directories fail for a while", run: lasting("syncdir", syscall.EIO)},
		{name: "eio-rename", about: "a damaged segment cannot be set aside", run: (*point).renaming},
		{name: "eio-read", about: "reads fail, also those of a recovery", run: (*point).reading},
		{name: "read-only", about: "the disk is read-only for a while", run: lasting("", syscall.EROFS)},
		{name: "slow-sync", about: "syncs take seconds, or a minute", run: (*point).slowing},
		{name: "clock", about: "the clock is set back or forward, by seconds or years", run: (*point).clocking},
		{name: "damage", about: "a byte of the log changes", run: (*point).damaging},
		{name: "truncate", about: "a segment loses its end", run: (*point).truncating},
		{name: "lose-segment", about: "a segment is gone", run: (*point).losing},
		{name: "cut-recovery", about: "the power goes while the spool is being recovered, again and again", run: (*point).recovering},
		{name: "cut-compaction", about: "the power goes while the log is compacted, or its segments are deleted", run: (*point).compacting},
		{name: "index-lost", about: "files of index.db are gone", run: func(p *point) { p.indexing(loseFiles, false) }},
		{name: "index-damaged", about: "files of index.db are damaged", run: func(p *point) { p.indexing(damageFiles, true) }},
		{name: "index-old", about: "files of index.db are those of an earlier moment", run: func(p *point) { p.indexing(ageFiles, false) }},
		{name: "orders-lost", about: "files of orders.db are gone", run: func(p *point) { p.asking(loseFiles) }},
		{name: "orders-damaged", about: "files of orders.db are damaged", run: func(p *point) { p.asking(damageFiles) }},
		{name: "orders-old", about: "files of orders.db are those of an earlier moment", run: func(p *point) { p.asking(ageFiles) }},
		{name: "cut-inject", about: "the power goes while orders of other processes are carried out", run: func(p *point) { p.asking(nil) }},
		{name: "cut-order", about: "the power goes while an order is carried out", run: (*point).ordering},
	}
}

// start opens the new spool and lets it work for a while.
func (p *point) start() bool {
	if !p.check(true) {
		return false
	}
	p.work(10 + p.IntN(25))
	return len(p.wrong) == 0
}

// crash ends the process at once: by a power cut, or alone.
func (p *point) crash() {
	keeps := []int{0, 0, 50, 100, 10, 90}
	if k := p.IntN(len(keeps) + 2); k < len(keeps) {
		p.cut(keeps[k])
	} else {
		p.die()
	}
	p.armed, p.lenient = false, false
	p.disk.SetCapacity(0)
}

// after compares what is left, works on, and compares once more.
func (p *point) after() {
	if !p.check(false) {
		return
	}
	p.work(5 + p.IntN(15))
	p.reopen()
}

// cutting cuts the power at operations of a kind, a few times over.
func (p *point) cutting(only string) {
	if !p.start() {
		return
	}
	for range 1 + p.IntN(3) {
		p.disk.CutAt(crashfs.Cut{Only: only, At: 1 + p.IntN(25), Before: p.IntN(2) == 0})
		p.work(40)
		keeps := []int{0, 50, 100}
		p.cut(keeps[p.IntN(len(keeps))])
		if !p.check(false) || len(p.wrong) > 0 {
			return
		}
		p.work(p.IntN(12))
	}
	p.reopen()
}

func (p *point) tearing() {
	if !p.start() {
		return
	}
	for range 1 + p.IntN(3) {
		p.disk.CutAt(crashfs.Cut{Only: "write", At: 1 + p.IntN(15), Before: true, Torn: 1 + p.IntN(1<<p.IntN(14))})
		p.work(40)
		p.cut(p.IntN(2) * 100)
		if !p.check(false) || len(p.wrong) > 0 {
			return
		}
		p.work(p.IntN(12))
	}
	p.reopen()
}

func (p *point) dying() {
	if !p.start() {
		return
	}
	for range 1 + p.IntN(4) {
		p.die()
		if !p.check(false) || len(p.wrong) > 0 {
			return
		}
		p.work(p.IntN(20))
	}
	p.reopen()
}

// arm breaks the disk.
func (p *point) arm(f crashfs.Fault) {
	p.disk.Fail(f)
	p.armed, p.healthy, p.lenient = true, false, f.Forever
	p.tight = p.tight || f.Err == syscall.ENOSPC || f.Err == syscall.EDQUOT
}

// calm mends the disk. Within 5 s the spool must take mail again, as long as nothing else is wrong with it.
func (p *point) calm() {
	p.disk.Fail(crashfs.Fault{})
	p.disk.FailReads(crashfs.ReadFault{})
	p.disk.SetCapacity(0)
	p.slow()
	p.armed, p.lenient = false, false
	if p.s == nil || p.off() {
		return
	}
	time.Sleep(5 * time.Second)
	if !p.accept("", p.write(1, false)) {
		p.failf("mail is not taken 5 s after the disk works again")
		return
	}
	p.flush()
	p.healthy = true
}

// failing lets an operation fail, or all of them for a while; then the disk is mended, or everything crashes.
func (p *point) failing(only string, lasting bool, err error) {
	if !p.start() {
		return
	}
	p.arm(crashfs.Fault{
		Only: only, At: 1 + p.IntN(12), Nth: true, Forever: lasting, Err: err, Half: p.IntN(2) == 0, Landed: p.IntN(3) == 0,
	})
	p.broke()
}

// broke works on with a broken disk, and ends that in one of three ways.
func (p *point) broke() {
	p.work(12 + p.IntN(15))
	switch p.IntN(3) {
	case 0:
		p.calm()
		p.work(5 + p.IntN(10))
		p.reopen()
	case 1:
		p.crash()
		p.after()
	case 2:
		p.close()
		p.calm()
		p.after()
	}
}

func (p *point) failingWrite() {
	if !p.start() {
		return
	}
	f := crashfs.Fault{Only: "write", At: 1 + p.IntN(8), Nth: true, Err: syscall.EIO}
	switch p.IntN(4) {
	case 0:
		f.Half = true
	case 1:
		f.Half, f.Landed = true, true
	case 2:
		f.Err = nil // a write that claims to be shorter
	}
	p.arm(f)
	p.broke()
}

func (p *point) filling() {
	if !p.start() {
		return
	}
	p.armed, p.healthy, p.tight = true, false, true
	p.disk.SetCapacity(p.disk.Used() + p.IntN(40<<10))
	p.broke()
}

func (p *point) renaming() {
	if !p.start() {
		return
	}
	p.close()
	p.flip()
	if !p.check(false) {
		return
	}
	p.tolerant = false
	p.arm(crashfs.Fault{Only: "rename", At: 1, Nth: true, Forever: true, Err: syscall.EIO})
	p.lenient = false
	for range 6 {
		p.end()
		p.work(4)
		p.wait(2 * time.Second)
	}
	p.calm()
	p.work(5)
	p.reopen()
}

func (p *point) reading() {
	if !p.start() {
		return
	}
	p.disk.FailReads(crashfs.ReadFault{Skip: p.IntN(6), Times: 1 + p.IntN(8), Err: syscall.EIO})
	p.armed = true
	p.work(20)
	p.close()
	p.disk.FailReads(crashfs.ReadFault{Skip: p.IntN(12), Times: 1 + p.IntN(4), Err: syscall.EIO})
	if p.open(false) {
		p.close()
	}
	p.calm()
	p.after()
}

func (p *point) slowing() {
	if !p.start() {
		return
	}
	p.healthy = false
	if p.IntN(4) == 0 {
		p.disk.SetDelay("sync", time.Minute)
		p.work(2)
	} else {
		p.disk.SetDelay("sync", time.Duration(p.IntN(5000))*time.Millisecond)
		p.work(15)
	}
	if p.IntN(2) == 0 {
		p.crash()
		p.after()
		return
	}
	p.calm()
	p.work(5)
	p.reopen()
}

// clocking sets the clock while the spool runs, and between two runs. Nothing is lost by it, and nothing is ended but
// what may be in the trash no longer.
func (p *point) clocking() {
	if !p.start() {
		return
	}
	for range 2 + p.IntN(3) {
		steps := []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 365 * 24 * time.Hour}
		step := steps[p.IntN(len(steps))] + time.Duration(p.IntN(1000))*time.Millisecond
		if p.IntN(2) == 0 {
			step = -step
		}
		p.clock.Add(int64(step))
		p.reap()
		p.work(5 + p.IntN(15))
		if p.IntN(2) == 0 {
			p.crash()
			if !p.check(false) || len(p.wrong) > 0 {
				return
			}
		} else {
			p.reopen()
		}
	}
}

func (p *point) recovering() {
	if !p.start() {
		return
	}
	p.crash()
	for range 1 + p.IntN(10) {
		p.disk.CutAt(crashfs.Cut{At: 1 + p.IntN(10), Before: p.IntN(2) == 0})
		if p.check(false) {
			p.work(p.IntN(3))
		}
		p.cut([]int{0, 50, 100}[p.IntN(3)])
	}
	p.after()
}

func (p *point) compacting() {
	if !p.start() {
		return
	}
	for range 1 + p.IntN(3) {
		p.work(p.IntN(20))
		p.disk.CutAt(crashfs.Cut{At: 1 + p.IntN(20), Before: p.IntN(2) == 0})
		if p.IntN(2) == 0 {
			p.compact()
		} else {
			p.compactBeside()
		}
		if !p.off() { // the segments that it has left are deleted a little later
			p.wait(3 * time.Second)
		}
		p.cut([]int{0, 50, 100}[p.IntN(3)])
		if !p.check(false) || len(p.wrong) > 0 {
			return
		}
	}
	p.work(p.IntN(12))
	p.reopen()
}

func (p *point) ordering() {
	if !p.start() {
		return
	}
	for range 1 + p.IntN(3) {
		p.disk.CutAt(crashfs.Cut{At: 1 + p.IntN(4), Before: p.IntN(2) == 0})
		for range 3 {
			switch {
			case p.off():
			case p.IntN(2) == 0:
				p.inject()
			default:
				p.apply(spool.Change(1 + p.IntN(6)))
			}
		}
		p.cut([]int{0, 30, 50, 70, 100}[p.IntN(5)])
		if !p.check(false) || len(p.wrong) > 0 {
			return
		}
		p.work(p.IntN(12))
	}
	p.reopen()
}
