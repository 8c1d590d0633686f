package spool

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"kumo/pkg/spool/internal/segment"
)

// Recovery reads and checks segments ahead of what it makes of them, so that both cores of a small machine are used.
const (
	aheadReaders = 2
	aheadChunks  = 8         // waiting, of each reader
	chunkItems   = 1024      // records in a chunk, at most
	chunkBytes   = 384 << 10 // of their heads, at most
)

// scanned is what stands next in a segment: a record, or damage.
type scanned struct {
	rec segment.Record
	bad *segment.Damage
}

// chunk is a run of what was read. Heads stand in arena, which never grows beyond its capacity.
type chunk struct {
	items []scanned
	arena []byte
}

// job is one segment to be read.
type job struct {
	seg  *segFile
	from int64
	out  chan *chunk
	end  int64 // where the last intact record ends; err: why it could not be read. Both count when out is closed.
	err  error
}

// ahead reads segments in their sequence.
type ahead struct {
	segs *segments
	key  segment.Key
	jobs []*job
	next atomic.Int64
	free chan *chunk
	stop context.CancelFunc
	ctx  context.Context // of one recovery
	wg   sync.WaitGroup
}

func startAhead(ctx context.Context, segs *segments, key segment.Key, jobs []*job) *ahead {
	a := &ahead{segs: segs, key: key, jobs: jobs, free: make(chan *chunk, aheadReaders*aheadChunks)}
	a.ctx, a.stop = context.WithCancel(ctx)
	for range min(aheadReaders, len(jobs)) {
		a.wg.Go(a.run)
	}
	return a
}

// end stops the readers.
func (a *ahead) end() {
	a.stop()
	a.wg.Wait()
}

func (a *ahead) run() {
	var scan segment.Scanner
	for {
		n := int(a.next.Add(1)) - 1
		if n >= len(a.jobs) {
			return
		}
		j := a.jobs[n]
		j.end, j.err = a.read(&scan, j)
		close(j.out)
		if j.err != nil {
			return
		}
	}
}

// read hands over all that stands in one segment.
func (a *ahead) read(scan *segment.Scanner, j *job) (int64, error) {
	if j.seg.end <= segment.HeaderSize {
		return j.seg.end, nil
	}
	g, err := a.segs.acquire(j.seg.num)
	if err != nil {
		return 0, err
	}
	defer a.segs.release(g)
	c := a.chunk()
	put := func(s scanned) error {
		if len(c.items) == chunkItems || len(c.arena)+len(s.rec.Data) > cap(c.arena) && len(c.items) > 0 {
			if err := a.send(j, c); err != nil {
				return err
			}
			c = a.chunk()
		}
		if len(s.rec.Data) > cap(c.arena) {
			c.arena = make([]byte, 0, len(s.rec.Data))
		}
		at := len(c.arena)
		c.arena = append(c.arena, s.rec.Data...)
		s.rec.Data = c.arena[at:]
		c.items = append(c.items, s)
		return nil
	}
	var stopped error
	scan.Key, scan.Limit = a.key, g.end
	scan.Intact = func(rec segment.Record) error { return put(scanned{rec: rec}) }
	scan.Damaged = func(d segment.Damage) {
		if err := put(scanned{bad: &d}); err != nil {
			stopped = err
		}
	}
	end, err := scan.Scan(g.file, j.from)
	if err == nil {
		err = stopped
	}
	if err == nil {
		err = a.send(j, c)
	}
	if err != nil {
		return 0, fmt.Errorf("read segment %d: %w", g.num, err)
	}
	return end, nil
}

func (a *ahead) chunk() *chunk {
	select {
	case c := <-a.free:
		c.items, c.arena = c.items[:0], c.arena[:0]
		return c
	default:
		return &chunk{items: make([]scanned, 0, chunkItems), arena: make([]byte, 0, chunkBytes)}
	}
}

func (a *ahead) send(j *job, c *chunk) error {
	select {
	case j.out <- c:
		return nil
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}

// done takes a chunk back.
func (a *ahead) done(c *chunk) {
	select {
	case a.free <- c:
	default:
	}
}
