package spool

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// Times of the committer. Accept never waits for any of them.
const (
	lazyDelay = 10 * time.Millisecond  // lazy records are written this soon
	lazySync  = 200 * time.Millisecond // and synced this soon if no accept did it
	retryWait = 200 * time.Millisecond // between tries of lazy records after a failure
)

const (
	lazySyncBytes = 4 << 20  // unsynced lazy bytes that force a sync
	batchBytes    = 64 << 20 // a batch takes no more callers when it has so many bytes
)

// committer is the one goroutine that writes the log.
type committer struct {
	segs  *segments
	key   segment.Key
	size  int64 // segments roll over here
	now   func() time.Time
	log   *slog.Logger
	state *health
	// placed takes over the messages of a batch that is on disk; the log now ends at seg, end.
	placed func(added []entry, seg uint32, end int64)
	// moved tells the table where an update record stands; pending if it was waiting to be told.
	moved func(id message.ID, seg, off uint32, pending bool)

	mu     sync.Mutex
	cur    *batch
	room   *sync.Cond // cur was taken
	closed bool
	kept   batch // whose parts and added the next batch can use
	kick   chan struct{}
	began  atomic.Int64 // when the write that goes on now began, in nanoseconds since 1970; 0: none
	ended  chan struct{}

	// Only the goroutine uses these.
	active   *segFile
	next     uint32 // number of the next segment
	prev     uint32 // the segment before it
	prevEnd  int64
	synced   int64 // bytes of active that are on disk
	unsynced batch // lazy records written to active behind synced
	redo     batch // lazy records that must be written again
	wrote    time.Time
	retryAt  time.Time
	muted    bool // that no segment can be begun was said
	stats    *counters
	activeNo func(uint32) // tells who deletes segments which one is in use
}

// run writes batches until close.
func (c *committer) run() {
	defer close(c.ended)
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		b, wait, last := c.take()
		switch {
		case last:
			c.commit(b, true)
			c.leave()
			return
		case b != nil:
			c.commit(b, false)
		default:
			timer.Reset(wait)
			select {
			case <-c.kick:
			case <-timer.C:
			}
		}
	}
}

// commit makes b durable, or fails it as a whole. Lazy records of a failed batch stay in redo.
func (c *committer) commit(b *batch, last bool) {
	c.takeBack(b)
	c.dropOvertaken(b)
	sync := b.waits || last || c.lazySyncDue(len(b.lazy))
	c.began.Store(time.Now().UnixNano())
	err := c.write(b, sync)
	if isFull(err) && b.bytes > 0 && len(b.urgent) > 0 {
		b.refuseMail(storeError("store messages", err))
		c.refused(err)
		c.takeBack(b)
		err = c.write(b, sync)
	}
	if err != nil && b.bytes == 0 && isFull(err) && c.state.giveReserve(err) {
		c.takeBack(b)
		err = c.write(b, sync)
	}
	if err != nil {
		c.disown()
		c.fail(b, err)
	}
	c.began.Store(0)
	kept := batch{parts: b.parts, added: b.added[:0]}
	b.parts, b.added, b.copies = nil, nil, nil
	close(b.done)
	clear(kept.parts)
	kept.parts = kept.parts[:0]
	c.mu.Lock()
	c.kept = kept
	c.mu.Unlock()
}

// takeBack puts the records of earlier failures in front of b's.
func (c *committer) takeBack(b *batch) {
	if len(c.redo.lazy) == 0 {
		return
	}
	n := len(c.redo.lazy)
	for i := range b.fixes {
		b.fixes[i].off += n
	}
	b.lazy = append(c.redo.lazy, b.lazy...)
	b.fixes = append(c.redo.fixes, b.fixes...)
	c.redo = batch{}
}

func (c *committer) lazySyncDue(n int) bool {
	if n+len(c.unsynced.lazy) > lazySyncBytes {
		return true
	}
	return len(c.unsynced.lazy) > 0 && !time.Now().Before(c.wrote.Add(lazySync))
}

func (c *committer) write(b *batch, sync bool) error {
	size := b.size()
	if size > 0 || b.probe || b.leave != 0 {
		if err := c.roll(b.leave); err != nil {
			return err
		}
	}
	if size > 0 {
		if err := c.append(b, size); err != nil {
			return err
		}
	}
	g := c.active
	if g == nil {
		return nil
	}
	if sync && (c.synced < g.end+size || b.probe) && !leavesSyncOut {
		if err := g.file.Sync(); err != nil {
			return c.abandon(fmt.Errorf("sync segment %d: %w", g.num, err))
		}
		c.stats.syncs.Add(1)
	}
	c.place(b, g, size, sync)
	return nil
}

// append writes b behind what the active segment has, without counting it in yet.
func (c *committer) append(b *batch, size int64) error {
	g := c.active
	bufs := b.parts
	if len(b.lazy)+len(b.urgent) > 0 {
		bufs = make([][]byte, 0, len(b.parts)+2)
		for _, first := range [][]byte{b.lazy, b.urgent} {
			if len(first) > 0 {
				bufs = append(bufs, first)
			}
		}
		bufs = append(bufs, b.parts...)
	}
	n, err := g.file.WriteAt(g.end, bufs...)
	if err == nil {
		err = shortWrite(n, size)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("append to segment %d: %w", g.num, err)
	if isFull(err) && c.rollback(g) {
		return err
	}
	return c.abandon(err)
}

func shortWrite(n, want int64) error {
	if n < want {
		return fmt.Errorf("wrote %d of %d bytes: %w", n, want, io.ErrShortWrite)
	}
	return nil
}

// rollback takes a failed append off the end of g, durably, so that nothing of it can be found after a crash.
func (c *committer) rollback(g *segFile) bool {
	if g.file.Truncate(g.end) != nil || g.file.Sync() != nil {
		return false
	}
	c.synced = g.end
	c.unsynced = batch{}
	return true
}

// place makes the written batch part of the log.
func (c *committer) place(b *batch, g *segFile, size int64, sync bool) {
	from := g.end
	b.urgentAt = from + int64(len(b.lazy))
	base := uint32(b.urgentAt) + uint32(len(b.urgent))
	for i := range b.added {
		b.added[i].seg = g.num
		b.added[i].off += base
	}
	b.seg = g.num
	c.segs.mu.Lock()
	g.end += size
	g.live += int64(len(b.added)) + b.orders + b.lasting
	for i := range b.added {
		g.mail += b.added[i].weight()
	}
	c.segs.mu.Unlock()
	c.placed(b.added, g.num, g.end)
	for i := range b.copies {
		if k := &b.copies[i]; !k.dropped {
			k.placed(g.num, k.off+base)
		}
	}
	for _, f := range b.fixes {
		c.moved(f.id, g.num, uint32(from)+uint32(f.off), !f.old)
	}
	c.stats.bytes.Add(size)
	if sync {
		c.synced = g.end
		c.unsynced = batch{}
		return
	}
	if len(c.unsynced.lazy) == 0 {
		c.wrote = time.Now()
	}
	n := len(c.unsynced.lazy)
	c.unsynced.lazy = append(c.unsynced.lazy, b.lazy...)
	for _, f := range b.fixes {
		c.unsynced.fixes = append(c.unsynced.fixes, fix{id: f.id, off: n + f.off, old: true})
	}
}

// roll makes sure that there is a segment to write to: the active one, unless it is full or is to be left.
func (c *committer) roll(leave leaving) error {
	if g := c.active; g != nil {
		if g.end < c.size && !c.leaves(leave) {
			return nil
		}
		if c.synced < g.end {
			if err := g.file.Sync(); err != nil {
				return c.abandon(fmt.Errorf("sync segment %d: %w", g.num, err))
			}
		}
		c.retire(g, g.end)
	}
	g, err := c.segs.create(segment.Header{
		Key: c.key, Number: uint64(c.next), Prev: uint64(c.prev), PrevEnd: c.prevEnd, Created: c.now().UnixNano(),
	})
	c.next++ // also after a failure: what became of that file is not known
	if err != nil {
		return err
	}
	c.active, c.synced, c.muted = g, g.end, false
	c.activeNo(g.num)
	return nil
}

// leaves reports whether the active segment is to be left.
func (c *committer) leaves(leave leaving) bool {
	return leave == leaveAlways && c.active.end > segment.HeaderSize || leave == leaveDead && c.segs.allDead()
}

// retire ends the active segment at end.
func (c *committer) retire(g *segFile, end int64) {
	c.prev, c.prevEnd = g.num, end
	c.active, c.unsynced = nil, batch{}
}

// abandon gives the active segment up after a failed write or sync. It is never written or synced again. What the
// disk has of it behind the last good sync is unknown, so the next segment's header says that it does not count,
// and its lazy records are written once more. Returns err.
func (c *committer) abandon(err error) error {
	g := c.active
	c.redo = batch{lazy: c.unsynced.lazy, fixes: c.unsynced.fixes}
	c.retire(g, c.synced)
	// For the case that the process dies before there is a next segment.
	if terr := g.file.Truncate(g.end); terr != nil {
		c.log.Warn("spool: cut failed segment", "segment", g.num, "error", terr)
	}
	return err
}

// disown begins the next segment after one was abandoned, before anybody is told of the failure: its header says
// durably that what was refused does not count. Where the disk does not even let it do that, what was refused can
// come back after a crash.
func (c *committer) disown() {
	if c.active != nil || c.prev == 0 {
		return
	}
	if err := c.roll(leaveNot); err != nil && !c.muted {
		c.muted = true // it is tried every 200 ms
		c.log.Warn("spool: cannot begin a new segment", "error", err)
	}
}

// fail answers the callers of b and keeps its lazy records for later.
func (c *committer) fail(b *batch, err error) {
	b.err = storeError("store messages", err)
	n := len(c.redo.lazy)
	c.redo.lazy = append(c.redo.lazy, b.lazy...)
	for _, f := range b.fixes {
		f.off += n
		c.redo.fixes = append(c.redo.fixes, f)
	}
	c.refused(err)
	if b.bytes == 0 {
		c.retryAt = time.Now().Add(retryWait)
	}
}

// refused counts a failure.
func (c *committer) refused(err error) {
	c.stats.failures.Add(1)
	c.state.failed(err)
}

// leave makes last tries for the lazy records.
func (c *committer) leave() {
	for range 2 {
		if len(c.redo.lazy) > 0 || len(c.unsynced.lazy) > 0 {
			c.commit(newBatch(), true)
		}
	}
	if n := len(c.redo.lazy) + len(c.unsynced.lazy); n > 0 {
		c.log.Error("spool: the last records are lost: mail that they ended can be sent again", "bytes", n)
	}
}
