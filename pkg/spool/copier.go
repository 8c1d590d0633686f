package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// keptOrder is the result in an order-done record that is a copy: the order is done, whatever became of its messages.
const keptOrder = "kept"

// copier copies what is alive in a segment, a page at a time.
type copier struct {
	s   *Spool
	num uint32
	ctx context.Context // of one call of copySegment

	w      *work
	copies []copied
	bodies map[int64]rec // bodies of this page, by where they began in the segment
	began  time.Time
}

// begin starts a page if there is none.
func (c *copier) begin() {
	if c.w == nil {
		c.w, c.copies, c.bodies, c.began = c.s.getWork(), nil, make(map[int64]rec), time.Now()
	}
}

// add notes a copy whose frame begins at in the page's buffer.
func (c *copier) add(at int, off int64, still func() bool, placed func(seg, off uint32)) {
	c.copies = append(c.copies, copied{off: uint32(off), at: at, still: still, placed: placed})
}

// record copies a record that is a frame and head alone. It is cut to the page by its caller.
func (c *copier) record(kind segment.Kind, id message.ID, head func([]byte) []byte, still func() bool, placed func(seg, off uint32)) {
	c.begin()
	at, off := len(c.w.buf), c.w.size
	c.w.buf = head(segment.Reserve(c.w.buf))
	c.s.commit.key.Seal(c.w.buf, at, kind, id, 0, 0)
	c.w.size += int64(len(c.w.buf) - at)
	c.add(at, off, still, placed)
}

// flush writes the page and waits until it is durable, and as long as the pace of copying wants.
func (c *copier) flush() error {
	if c.w == nil {
		return nil
	}
	w := c.w
	c.w = nil
	defer c.s.putWork(w)
	for i := range c.copies {
		k := &c.copies[i]
		k.frame = w.buf[k.at : k.at+segment.FrameSize]
	}
	b, err := c.s.commit.enqueue(w.split(), w.size, nil, 0, c.copies)
	if err != nil {
		return err
	}
	<-b.done
	if err := b.refused(); err != nil {
		return err
	}
	c.s.stats.copies.Add(int64(len(c.copies)))
	c.s.stats.copiedBytes.Add(w.size)
	wait := time.Duration(w.size)*time.Second/compactPace - time.Since(c.began)
	if wait <= 0 {
		return c.ctx.Err()
	}
	select {
	case <-c.ctx.Done():
		return c.ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// message copies a message that stands in the segment. One that is being changed is left for the next pass.
func (c *copier) message(id message.ID) error {
	var e entry
	if !c.s.change(id, func(p *entry) { e = *p }) || e.seg != c.num || e.pending > 0 || e.flags&flagMoving != 0 {
		return nil
	}
	if c.w != nil && (c.w.size >= pageBytes || len(c.copies) >= pageCopies) {
		if err := c.flush(); err != nil {
			return err
		}
	}
	g, err := c.s.segs.acquire(c.num)
	if err != nil {
		return err
	}
	defer c.s.segs.release(g)
	c.begin()
	err = c.encode(g, &e)
	if errors.Is(err, ErrDamaged) {
		err = c.raw(g, &e)
	}
	if err != nil {
		return fmt.Errorf("message %s: %w", id, err)
	}
	return nil
}

// encode appends an accept record that says all that is known of the message.
func (c *copier) encode(g *segFile, e *entry) error {
	key := c.s.commit.key
	want := segment.FrameSize + int64(e.head())
	if e.flags&flagShared == 0 && e.size <= inlineBody {
		want += int64(e.size)
	}
	f, b, err := g.frame(key, e.id, segment.Accept, int64(e.off), want)
	if err != nil {
		return err
	}
	var env segment.Envelope
	if err := env.Decode(b[:f.Head]); err != nil {
		return g.damage(int64(e.off), err.Error())
	}
	from, crc := int64(e.off)+segment.FrameSize+int64(f.Head), f.BodyCRC
	follows := env.Behind == 0 && f.Body == e.size
	if env.Behind != 0 {
		from, crc = int64(e.off)-int64(env.Behind), env.ShareCRC
	}
	if err := c.latest(e, &env); err != nil {
		return err
	}
	env.Created, env.Due, env.Attempts, env.Size = e.created, e.due, uint32(e.attempts), e.size
	env.Queue, env.Standing = c.s.names.get(e.queue), c.s.marks.get(e.markNumber())
	env.Order, env.Behind, env.ShareCRC = "", 0, 0
	body, shared := c.bodies[from]
	shared = shared && e.size > 0
	if shared {
		env.Behind, env.ShareCRC = uint64(c.w.size-body.bodyOff), crc
	} else if behind := b[f.Head:]; follows && len(behind) >= int(e.size) {
		body.body = behind[:e.size] // was read along
	} else if body.body, err = g.raw(from, int64(e.size)); err != nil {
		return err
	}
	w, at, off := c.w, len(c.w.buf), c.w.size
	w.buf = env.Append(segment.Reserve(w.buf))
	head := len(w.buf) - at - segment.FrameSize
	w.size += segment.FrameSize + int64(head)
	if shared {
		key.Seal(w.buf, at, segment.Accept, e.id, 0, 0)
	} else {
		key.Seal(w.buf, at, segment.Accept, e.id, e.size, crc)
		c.bodies[from] = rec{bodyOff: w.size}
		w.body(body.body)
	}
	c.add(at, off, c.unchanged(*e), c.move(*e, uint32(head), shared))
	return nil
}

// latest takes what the message's latest update record says into env. One that is damaged does not count, as after a
// restart; one that cannot be read just now must not be left out.
func (c *copier) latest(e *entry, env *segment.Envelope) error {
	if e.upSeg == 0 {
		return nil
	}
	g, err := c.s.segs.acquire(e.upSeg)
	if err != nil {
		if isMissing(err) {
			return nil
		}
		return err
	}
	defer c.s.segs.release(g)
	f, b, err := g.frame(c.s.commit.key, e.id, segment.Update, int64(e.upOff), 1<<10)
	if err != nil {
		if errors.Is(err, ErrDamaged) {
			return nil
		}
		return err
	}
	var up segment.Envelope
	if up.Decode(b[:f.Head]) == nil {
		*env = up
	}
	return nil
}

// raw copies a record as it stands, so that it stays as damaged as it is.
func (c *copier) raw(g *segFile, e *entry) error {
	b, err := g.raw(int64(e.off), segment.FrameSize)
	if err != nil {
		return err
	}
	f, ok := c.s.commit.key.ParseFrame(b)
	if !ok || f.ID != e.id || f.Kind != segment.Accept {
		return g.damage(int64(e.off), "record header")
	}
	if b, err = g.raw(int64(e.off), f.Total()); err != nil {
		return err
	}
	at, off := len(c.w.buf), c.w.size
	c.w.buf = append(c.w.buf, b...)
	c.w.size += int64(len(b))
	c.add(at, off, c.unchanged(*e), c.move(*e, f.Head, e.flags&flagShared != 0))
	return nil
}

// raw reads n bytes at off as they are.
func (g *segFile) raw(off, n int64) ([]byte, error) {
	b := make([]byte, n)
	got, err := g.file.ReadAt(b, off)
	if int64(got) == n {
		return b, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, g.damage(off, "record is cut off")
	}
	return nil, fmt.Errorf("segment %d: %w", g.num, err)
}

// passing are the flags that no record tells of.
const passing = flagIndexed | flagTaken

// unchanged reports whether the message is still what it was.
func (c *copier) unchanged(was entry) func() bool {
	was.flags &^= passing
	return func() (same bool) {
		c.s.change(was.id, func(e *entry) {
			now := *e
			now.flags &^= passing
			same = now == was
		})
		return same
	}
}

// move is told where the copy of a message stands: from now on that is where it is. What changed since the copy was
// written stands behind it.
func (c *copier) move(was entry, head uint32, shared bool) func(seg, off uint32) {
	s := c.s
	return func(seg, off uint32) {
		var old, now entry
		s.change(was.id, func(e *entry) {
			if e.seg != was.seg || e.off != was.off {
				return
			}
			old = *e
			e.seg, e.off, e.hint, e.upSeg, e.upOff = seg, off, headHint(head), 0, 0
			if e.flags &^= flagShared; shared {
				e.flags |= flagShared
			}
			now = *e
		})
		if now.seg == 0 {
			return // it has ended since
		}
		s.segs.keep(&now, 1)
		s.segs.keep(&old, -1)
		if old.upSeg != 0 {
			s.segs.hold(old.upSeg, -1)
		}
		if now.flags&flagIndexed != 0 {
			s.index.touch(now.id)
		}
	}
}

// things copies the orders and notes that stand in the segment.
func (c *copier) things() {
	s := c.s
	s.ordersMu.Lock()
	defer s.ordersMu.Unlock()
	for _, st := range s.standing {
		if st.seg == c.num {
			c.order(st)
		}
	}
	for id, d := range s.done {
		if d.seg == c.num {
			c.done(id, d)
		}
	}
	for _, n := range s.notes {
		if n.seg == c.num {
			c.note(n)
		}
	}
}

func (c *copier) order(st *standing) {
	s, id := c.s, st.order.ID
	still := func() bool {
		s.ordersMu.Lock()
		defer s.ordersMu.Unlock()
		return s.standing[id] == st
	}
	head := func(b []byte) []byte { return appendOrder(b, &st.order) }
	c.record(segment.Order, message.ID{}, head, still, func(seg, _ uint32) {
		s.ordersMu.Lock()
		defer s.ordersMu.Unlock()
		if s.standing[id] == st {
			s.segs.hold(st.seg, -1)
			s.segs.hold(seg, 1)
			st.seg = seg
		}
	})
}

func (c *copier) done(id string, d *doneOrder) {
	s := c.s
	still := func() bool {
		s.ordersMu.Lock()
		defer s.ordersMu.Unlock()
		return s.done[id] == d
	}
	head := func(b []byte) []byte { return segment.AppendOrderDone(b, id, d.ids, keptOrder) }
	c.record(segment.OrderDone, message.ID{}, head, still, func(seg, _ uint32) {
		s.ordersMu.Lock()
		defer s.ordersMu.Unlock()
		if s.done[id] == d {
			s.segs.hold(d.seg, -1)
			s.segs.hold(seg, 1)
			d.seg = seg
		}
	})
}

func (c *copier) note(n note) {
	s := c.s
	text, err := s.segs.note(n)
	if err != nil {
		s.log.Warn("spool: a note cannot be copied", "error", err)
		return
	}
	find := func() int { return slices.IndexFunc(s.notes, func(k note) bool { return k.id == n.id }) }
	still := func() bool {
		s.ordersMu.Lock()
		defer s.ordersMu.Unlock()
		return find() >= 0
	}
	head := func(b []byte) []byte { return append(b, text...) }
	c.record(segment.Note, n.id, head, still, func(seg, off uint32) {
		s.ordersMu.Lock()
		defer s.ordersMu.Unlock()
		if i := find(); i >= 0 {
			s.segs.hold(s.notes[i].seg, -1)
			s.segs.hold(seg, 1)
			s.notes[i].seg, s.notes[i].off = seg, int64(off)
		}
	})
}
