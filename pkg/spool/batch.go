package spool

import (
	"time"

	"kumo/pkg/message"
)

// batch collects records until the committer takes it; then it is one write and one sync. lazy holds the records
// that nobody waits for, urgent those of orders, parts those of Accept calls. In the log they stand in this sequence.
type batch struct {
	lazy  []byte
	fixes []fix

	// Records of orders must get through when the disk is full: they do not share the fate of the mail beside them.
	urgent   []byte
	lasting  int64 // things in urgent that last
	urgentAt int64 // where urgent stands in its segment, when it is written
	mailErr  error // why the parts alone were refused

	parts  [][]byte
	bytes  int64   // of parts
	added  []entry // messages in parts; off counts from their begin
	orders int64   // order-done records in parts
	waits  bool    // somebody waits for a sync
	force  bool    // somebody waits for the write
	probe  bool    // somebody asks whether the disk works
	leave  leaving // whether the active segment is to be left
	copies []copied
	done   chan struct{}
	err    error
	seg    uint32
	filled time.Time
}

// leaving says whether a new segment is to be begun although the active one has room.
type leaving uint8

const (
	leaveNot    leaving = iota
	leaveDead           // if nothing in the log is needed
	leaveAlways         // unless it is empty
)

// fix is an update record in a batch's lazy bytes, whose place in the log the table must learn.
type fix struct {
	id  message.ID
	off int  // in lazy
	old bool // the table learned an earlier place of this very record
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// enqueue adds the records of one Accept call, or copies: parts of altogether n bytes, the entries of their messages
// and the copies with offsets in those bytes, and how many order-done records are among them. It returns the batch that
// they went into.
func (c *committer) enqueue(parts [][]byte, n int64, added []entry, orders int64, copies []copied) (*batch, error) {
	c.mu.Lock()
	for c.cur.bytes > 0 && c.cur.bytes+n > batchBytes && !c.closed {
		c.room.Wait()
	}
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	b := c.cur
	for i := range added {
		added[i].off += uint32(b.bytes)
	}
	b.parts = append(b.parts, parts...)
	b.added = append(b.added, added...)
	for i := range copies {
		copies[i].off += uint32(b.bytes)
	}
	b.copies = append(b.copies, copies...)
	b.bytes += n
	b.orders += orders
	first := !b.waits
	b.waits = true
	c.mu.Unlock()
	if first {
		c.wake()
	}
	return b, nil
}

// lazily runs add, which appends a record to the lazy bytes of the batch.
func (c *committer) lazily(add func(*batch)) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	b := c.cur
	first := len(b.lazy) == 0
	add(b)
	c.mu.Unlock()
	if first {
		c.wake()
	}
	return nil
}

// flush waits until everything enqueued so far is written, and synced if sync is set.
func (c *committer) flush(sync bool) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	b := c.cur
	b.force = true
	b.waits = b.waits || sync
	c.mu.Unlock()
	c.wake()
	<-b.done
	return b.err
}

// rush hands records of an order over, of which lasting are to be held, and waits until they are durable. It returns
// where they stand.
func (c *committer) rush(recs []byte, lasting int64) (seg uint32, off int64, err error) {
	c.mu.Lock()
	for len(c.cur.urgent) > 0 && len(c.cur.urgent)+len(recs) > batchBytes && !c.closed {
		c.room.Wait()
	}
	if c.closed {
		c.mu.Unlock()
		return 0, 0, ErrClosed
	}
	b := c.cur
	at := int64(len(b.urgent))
	b.urgent = append(b.urgent, recs...)
	b.lasting += lasting
	b.waits = true
	c.mu.Unlock()
	c.wake()
	<-b.done
	return b.seg, b.urgentAt + at, b.err
}

// refuseMail takes the acceptances out of a batch that does not fit.
func (b *batch) refuseMail(err error) {
	b.mailErr = err
	clear(b.parts)
	clear(b.added)
	b.parts, b.added, b.copies, b.bytes, b.orders = b.parts[:0], b.added[:0], nil, 0, 0
}

// refused is why the acceptances of the batch failed, nil if they did not.
func (b *batch) refused() error {
	if b.mailErr != nil {
		return b.mailErr
	}
	return b.err
}

// size is how many bytes the batch brings into the log.
func (b *batch) size() int64 { return int64(len(b.lazy)) + int64(len(b.urgent)) + b.bytes }

// leave begins a new segment, so that the active one can be deleted.
func (c *committer) leaveActive(how leaving) error {
	c.mu.Lock()
	c.cur.leave = max(c.cur.leave, how)
	c.mu.Unlock()
	return c.flush(true)
}

// probe waits for a write and sync of its own, in a new segment if there is none.
func (c *committer) probe() error {
	c.mu.Lock()
	c.cur.probe = true
	c.mu.Unlock()
	return c.flush(true)
}

func (c *committer) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// close lets the committer write what it has and end.
func (c *committer) close() {
	c.mu.Lock()
	c.closed = true
	c.room.Broadcast()
	c.mu.Unlock()
	c.wake()
	<-c.ended
}

// take returns the batch to be written now, or how long to wait for one. last is set when the committer is closed.
func (c *committer) take() (b *batch, wait time.Duration, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b = c.cur
	if !b.waits && !b.force && !c.closed {
		if wait = c.lazyWait(b); wait > 0 {
			return nil, wait, false
		}
	}
	c.cur = newBatch()
	c.cur.parts, c.cur.added = c.kept.parts, c.kept.added
	c.kept = batch{}
	c.room.Broadcast()
	return b, 0, c.closed
}

const idle = time.Hour

// lazyWait is how long lazy records may still wait; idle when there are none.
func (c *committer) lazyWait(b *batch) time.Duration {
	now := time.Now()
	wait := idle
	if len(b.lazy) > 0 {
		if b.filled.IsZero() {
			b.filled = now
		}
		wait = b.filled.Add(lazyDelay).Sub(now)
	}
	if len(c.unsynced.lazy) > 0 {
		wait = min(wait, c.wrote.Add(lazySync).Sub(now))
	}
	if len(c.redo.lazy) > 0 && wait == idle {
		wait = 0
	}
	if wait < idle && now.Before(c.retryAt) {
		wait = max(wait, c.retryAt.Sub(now))
	}
	return min(max(wait, 0), idle)
}
