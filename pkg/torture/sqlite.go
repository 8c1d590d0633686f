package torture

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool"
	"kumo/pkg/torture/crashfs"
)

// withSQLite gives the spool its index and its table of orders, in a directory of the real disk. The log stays on the
// disk in memory, under the same names.
func (p *point) withSQLite() bool {
	dir, err := os.MkdirTemp("", "kumo-torture-")
	if err != nil {
		p.failf("%v", err)
		return false
	}
	p.dir, p.cfg.Dir, p.cfg.NoIndex = dir, dir, false
	return true
}

// snapshot is what SQLite's files hold.
func (p *point) snapshot() map[string][]byte {
	out := make(map[string][]byte)
	names, err := filepath.Glob(filepath.Join(p.dir, "*.db*"))
	if err != nil {
		p.failf("%v", err)
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil {
			out[name] = b
		}
	}
	return out
}

// restore brings those of the files back whose names begin with base; files that were not there go.
func (p *point) restore(files map[string][]byte, base string) {
	base = filepath.Join(p.dir, base)
	for name := range p.snapshot() {
		if strings.HasPrefix(name, base) {
			_ = os.Remove(name)
		}
	}
	for name, b := range files {
		if strings.HasPrefix(name, base) {
			p.put(name, b)
		}
	}
}

func (p *point) put(name string, b []byte) {
	if err := os.WriteFile(name, b, 0o600); err != nil {
		p.failf("%v", err)
	}
}

// vandal does something to the files of a database: one is lost, changed, or as it was.
type vandal func(p *point, base string, old map[string][]byte)

// parts draws at least one of the files of a database.
func (p *point) parts(base string) []string {
	var all, out []string
	for _, name := range slices.Sorted(maps.Keys(p.snapshot())) {
		if strings.HasPrefix(name, filepath.Join(p.dir, base)) {
			all = append(all, name)
		}
	}
	for _, name := range all {
		if p.IntN(2) == 0 {
			out = append(out, name)
		}
	}
	if len(out) == 0 && len(all) > 0 {
		out = append(out, all[p.IntN(len(all))])
	}
	return out
}

func loseFiles(p *point, base string, _ map[string][]byte) {
	for _, name := range p.parts(base) {
		_ = os.Remove(name)
	}
}

func damageFiles(p *point, base string, _ map[string][]byte) {
	for _, name := range p.parts(base) {
		b, err := os.ReadFile(name)
		if err != nil || len(b) == 0 {
			continue
		}
		switch p.IntN(4) {
		case 0:
			b = b[:p.IntN(len(b))]
		case 1:
			clear(b[p.IntN(len(b)):])
		case 2:
			b = []byte("this is no database")
		default:
			for range 1 + p.IntN(20) {
				b[p.IntN(len(b))] ^= byte(1 + p.IntN(255))
			}
		}
		p.put(name, b)
	}
}

// ageFiles brings back a backup: all of it, or only some of its files.
func ageFiles(p *point, base string, old map[string][]byte) {
	if p.IntN(2) == 0 {
		p.restore(old, base)
		return
	}
	for _, name := range p.parts(base) {
		if b, ok := old[name]; ok {
			p.put(name, b)
		} else {
			_ = os.Remove(name)
		}
	}
}

// indexing breaks index.db between two runs, and compares what readers see.
func (p *point) indexing(do vandal, damaged bool) {
	if !p.withSQLite() || !p.start() {
		return
	}
	for range 1 + p.IntN(2) {
		p.wait(time.Duration(p.IntN(2500)) * time.Millisecond)
		old := p.snapshot()
		p.work(10 + p.IntN(20))
		if p.IntN(2) == 0 {
			p.crash()
		} else {
			p.close()
		}
		p.read(false)
		do(p, "index.db", old)
		p.blurred = p.blurred || damaged
		p.read(damaged)
		if !p.check(false) || len(p.wrong) > 0 {
			return
		}
		p.work(p.IntN(10))
		p.wait(3 * time.Second)
		p.close()
		p.read(false)
	}
	p.check(true)
}

// read looks at the spool as a verb without a daemon does. A damaged index may make it fail, or show less; once an owner had
// it, everything is there again, but for texts in which a byte was changed: SQLite has no checksums for them.
func (p *point) read(damaged bool) {
	p.dump()
	r, err := spool.OpenReader(p.ctx, p.dir)
	if err != nil {
		if !damaged {
			p.failf("reader: %v", err)
		}
		return
	}
	defer r.Close()
	seen := make(map[message.ID]spool.Row)
	err = r.List(p.ctx, spool.Filter{}, func(row spool.Row) error {
		if _, twice := seen[row.ID]; twice && !damaged {
			p.failf("reader: message %s is listed twice", row.ID)
		}
		seen[row.ID] = row
		return nil
	})
	if err != nil && !damaged {
		p.failf("reader: %v", err)
	}
	if damaged {
		return
	}
	p.m.each(func(l *letter) {
		row, there := seen[l.id]
		delete(seen, l.id)
		if why := l.listed(row, there, p.blurred); why != "" {
			p.failf("reader: %s", why)
		}
	})
	for id := range seen {
		p.failf("reader: message %s is listed and was never accepted", id)
	}
}

// listed says how a row differs from everything that the letter may be, "" if it does not.
func (l *letter) listed(row spool.Row, there, blurred bool) string {
	for _, s := range l.allowed() {
		switch {
		case s.gone || s.state == spool.Trashed:
			if !there {
				return ""
			}
		case !there:
		case s.due != nanos(row.Due), s.attempts != row.Attempts, len(l.body) != row.Size, l.envs[s.env].queue != row.Queue:
		case (s.state == spool.OnHold) != (row.State == spool.StateHeld):
		case blurred, row.Sender == l.envs[s.env].sender && slices.Equal(row.Recipients, l.envs[s.env].recipients):
			return ""
		}
	}
	if !there {
		return fmt.Sprintf("message %s is not listed, and may be %s; %s", l.id, describe(l.allowed()), strings.Join(l.story, ", "))
	}
	return fmt.Sprintf("message %s is listed as %+v, and may be %s in %q; %s", l.id, row, describe(l.allowed()), l.envs[l.now.env].queue,
		strings.Join(l.story, ", "))
}

// dump puts the log where readers look for it.
func (p *point) dump() {
	_ = os.RemoveAll(filepath.Join(p.dir, "log"))
	for _, name := range p.disk.Names() {
		rel, err := filepath.Rel(p.dir, name)
		if err != nil || strings.HasPrefix(rel, "..") || rel == "." {
			continue
		}
		if st, err := p.disk.Stat(name); err == nil && st.Mode.IsDir() {
			_ = os.MkdirAll(name, 0o700)
			continue
		}
		p.put(name, p.disk.Bytes(name))
	}
}

// asking breaks orders.db between two runs, while some orders wait and others are done.
func (p *point) asking(do vandal) {
	if !p.withSQLite() || !p.start() {
		return
	}
	p.leave(1 + p.IntN(3))
	old := p.snapshot()
	if p.IntN(2) == 0 {
		p.execute()
	}
	p.leave(p.IntN(3))
	if do == nil {
		p.disk.CutAt(crashfs.Cut{At: 1 + p.IntN(12), Before: p.IntN(2) == 0})
	}
	p.work(p.IntN(5))
	p.execute()
	switch {
	case do == nil:
		p.cut([]int{0, 30, 50, 70, 100}[p.IntN(5)])
	case p.IntN(2) == 0:
		p.crash()
	default:
		p.close()
	}
	if do != nil {
		p.forgetful = true
		do(p, "orders.db", old)
	}
	if !p.check(false) || len(p.wrong) > 0 {
		return
	}
	p.execute()
	p.asked()
	p.work(p.IntN(10))
	p.reopen()
}

// leave has another process leave orders for the owner.
func (p *point) leave(n int) {
	if p.off() {
		return
	}
	orders, err := spool.OpenOrders(p.ctx, p.dir)
	if err != nil {
		p.failf("orders: %v", err)
		return
	}
	defer orders.Close()
	for range n {
		name := fmt.Sprintf("%032x", len(p.m.names)+1)
		o, err := spool.NewInject("torture", spool.Inject{Sender: "torture@example.com", Recipients: []string{"to@dest.test"}}, []byte(name))
		if err == nil {
			o.ID = name
			_, err = orders.Append(p.ctx, o)
		}
		if err != nil {
			p.failf("orders: %v", err)
			return
		}
		p.m.names = append(p.m.names, name)
		p.m.orders[name] = &group{left: true}
	}
}

// execute carries out what waits in orders.db, as the owner does.
func (p *point) execute() {
	if p.off() || p.s == nil {
		return
	}
	ctx, cancel := context.WithCancel(p.ctx)
	one := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.s.RunOrders(ctx, func(_ context.Context, o spool.Order) spool.Result {
			one <- struct{}{}
			defer func() { <-one }()
			return p.exec(o)
		})
	}()
	time.Sleep(300 * time.Millisecond)
	synctest.Wait()
	cancel()
	<-done
}

// exec does one order. What it brings in depends on the order alone, so that it does not matter which comes first.
func (p *point) exec(o spool.Order) spool.Result {
	g := p.m.orders[o.ID]
	switch {
	case p.off():
		return spool.Result{Later: true} // nothing of this try can be there after the cut
	case g == nil && p.forgetful:
		return spool.Result{Error: "not an order of ours"}
	case g == nil:
		p.failf("order %s was never left", o.ID)
		return spool.Result{Error: "not an order of ours"}
	case g.told && !p.forgetful:
		p.failf("order %s is carried out twice", o.ID)
	case g.told:
		p.count.Repeats++
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(o.ID))
	was := p.Rand
	p.Rand = rand.New(rand.NewPCG(uint64(p.num), h.Sum64()))
	defer func() { p.Rand = was }()
	p.carryOut(o.ID)
	if !g.told {
		return spool.Result{Later: true}
	}
	return spool.Result{IDs: g.ids}
}

// asked: every order that was left has been carried out, unless its database was broken.
func (p *point) asked() {
	for _, name := range p.m.names {
		g := p.m.orders[name]
		if !g.left || p.off() {
			continue
		}
		o, err := p.s.Orders().Get(p.ctx, name)
		switch {
		case p.forgetful && (err != nil || !g.told):
		case errors.Is(err, spool.ErrNoOrder):
			p.failf("order %s is lost", name)
		case err != nil:
			p.failf("order %s: %v", name, err)
		case !g.told || o.State != spool.OrderDone:
			p.failf("order %s is %s: %s", name, o.State, o.Error)
		}
	}
}
