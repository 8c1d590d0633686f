package spool

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// inlineBody is up to which length a body is copied beside its envelope; longer ones are handed to the kernel from
// where they are.
const inlineBody = 8 << 10

// maxAccept bounds the bytes of one Accept call.
const maxAccept = 2 << 30

// work is the scratch memory of one Accept or Update call.
type work struct {
	buf   []byte
	json  []byte
	cuts  []cut
	recs  []rec
	added []entry
	parts [][]byte
	size  int64 // of the whole: buf and the bodies of cuts
}

// cut is a body that goes in at buf[at:].
type cut struct {
	at   int
	body []byte
}

// rec is one record of the call.
type rec struct {
	bodyOff int64 // from the begin of the call's records
	body    []byte
	crc     uint32
}

func (s *Spool) getWork() *work {
	w, _ := s.works.Get().(*work)
	if w == nil {
		return new(work)
	}
	w.buf, w.cuts, w.recs, w.added, w.parts, w.size = w.buf[:0], w.cuts[:0], w.recs[:0], w.added[:0], w.parts[:0], 0
	return w
}

func (s *Spool) putWork(w *work) {
	clear(w.cuts)
	clear(w.recs)
	clear(w.parts)
	if cap(w.buf) <= 1<<20 && cap(w.json) <= 1<<20 {
		s.works.Put(w)
	}
}

// Accept makes messages durable: it returns when all of them, or with an error none of them, are on stable
// storage. Concurrent calls share a sync (group commit). After success it calls SetLoader(s) on each, and they are
// Taken: their caller has them.
//
// ctx is looked at before the messages are handed to the log; after that Accept waits for the disk whatever
// becomes of ctx, because an acceptance that was given up halfway would be neither.
//
// A non-empty order makes it idempotent: an order-done record goes with the messages, and messages of an order that
// a crash cut short are dropped at recovery. For an order that is in the log already nothing is written and the
// error is an *OrderDoneError with the ids that came of it.
//
// Errors: ErrFull, ErrUnhealthy, ErrClosed, ErrTooBig, ErrOrderDone, ctx's, and values that metadata cannot have.
func (s *Spool) Accept(ctx context.Context, order string, ms ...*message.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if order != "" {
		if err := s.beginOrder(order); err != nil {
			return err
		}
	}
	seg, err := s.accept(order, ms)
	if order != "" {
		s.endOrder(order, ms, seg, err)
	}
	return err
}

func (s *Spool) accept(order string, ms []*message.Message) (uint32, error) {
	if err := s.health.refuse(); err != nil {
		return 0, err
	}
	w := s.getWork()
	defer s.putWork(w)
	for i, m := range ms {
		if err := w.add(s.commit.key, order, i, len(ms), m); err != nil {
			return 0, fmt.Errorf("store message %s: %w", m.ID, err)
		}
	}
	orders := int64(0)
	if order != "" {
		w.addDone(s.commit.key, order, ms)
		orders = 1
	}
	if w.size == 0 {
		return 0, nil
	}
	if w.size > maxAccept {
		return 0, fmt.Errorf("store %d messages of %d bytes: %w", len(ms), w.size, ErrTooBig)
	}
	for i, m := range ms {
		w.added[i].queue = s.names.intern(m.Queue)
	}
	b, err := s.commit.enqueue(w.split(), w.size, w.added, orders, nil)
	if err != nil {
		return 0, err
	}
	<-b.done
	if err := b.refused(); err != nil {
		return 0, err
	}
	for _, m := range ms {
		m.SetLoader(s)
	}
	s.stats.accepted.Add(int64(len(ms)))
	return b.seg, nil
}

// placed takes messages that are on disk into the table.
func (s *Spool) placed(added []entry, seg uint32, end int64) {
	for i := range added {
		shard, h := s.table.lock(added[i].id)
		old, twice := entry{}, false
		if shard.get(added[i].id, h) != nil {
			old, twice = shard.remove(added[i].id, h)
		}
		shard.put(added[i], h)
		shard.Unlock()
		if twice { // ids are unique; but if one comes again, the later message counts, as it will after a restart
			s.letGo(&old)
		}
	}
	s.index.placed(added, seg, end)
}

// clampAttempts fits n into an entry: no schedule makes 65,535 attempts.
func clampAttempts(n int) uint16 { return uint16(min(max(n, 0), math.MaxUint16)) }

// add encodes the accept record of message i of n.
func (w *work) add(key segment.Key, order string, i, n int, m *message.Message) error {
	body, err := m.Data()
	if err != nil {
		return err
	}
	if len(body) > segment.MaxBody {
		return fmt.Errorf("%d bytes: %w", len(body), ErrTooBig)
	}
	r := rec{body: body}
	e := entry{
		id: m.ID, created: nanos(m.Created), due: nanos(m.Due), off: uint32(w.size), size: uint32(len(body)),
		attempts: clampAttempts(m.Attempts), flags: flagTaken,
	}
	at := len(w.buf)
	w.buf = segment.Reserve(w.buf)
	behind := uint64(0)
	if k := len(w.recs) - 1; k >= 0 && same(w.recs[k].body, body) {
		r.bodyOff, r.crc = w.recs[k].bodyOff, w.recs[k].crc
		behind = uint64(w.size - r.bodyOff)
		e.flags |= flagShared
	} else {
		r.crc = segment.Checksum(body)
	}
	if err := w.envelope(m, len(body), behind, r.crc, caused{order, i, n}, segment.Standing{}); err != nil {
		return err
	}
	head := len(w.buf) - at - segment.FrameSize
	if head > segment.MaxHead {
		return fmt.Errorf("envelope of %d bytes: %w", head, ErrTooBig)
	}
	e.hint = headHint(uint32(head))
	w.size += segment.FrameSize + int64(head)
	if behind != 0 {
		key.Seal(w.buf, at, segment.Accept, m.ID, 0, 0)
	} else {
		key.Seal(w.buf, at, segment.Accept, m.ID, uint32(len(body)), r.crc)
		r.bodyOff = w.size
		w.body(body)
	}
	w.recs, w.added = append(w.recs, r), append(w.added, e)
	return nil
}

// same reports whether a and b are the same bytes in memory: one body of several messages.
func same(a, b []byte) bool { return len(a) > 0 && len(a) == len(b) && &a[0] == &b[0] }

func (w *work) body(body []byte) {
	w.size += int64(len(body))
	if len(body) <= inlineBody {
		w.buf = append(w.buf, body...)
		return
	}
	w.cuts = append(w.cuts, cut{at: len(w.buf), body: body})
}

// caused says which order brings a message in: message i of n.
type caused struct {
	order string
	i, n  int
}

// envelope appends what segment.Envelope decodes.
func (w *work) envelope(m *message.Message, size int, behind uint64, crc uint32, by caused, is segment.Standing) error {
	var err error
	if w.json, err = m.Meta.AppendJSON(w.json[:0]); err != nil {
		return err
	}
	b := w.buf
	b = binary.LittleEndian.AppendUint64(b, uint64(nanos(m.Created)))
	b = binary.LittleEndian.AppendUint64(b, uint64(nanos(m.Due)))
	b = binary.AppendUvarint(b, uint64(clampAttempts(m.Attempts)))
	b = binary.AppendUvarint(b, uint64(size))
	b = binary.AppendUvarint(b, behind)
	if behind != 0 {
		b = binary.LittleEndian.AppendUint32(b, crc)
	}
	b = segment.AppendString(b, m.Queue)
	b = segment.AppendString(b, m.Sender.String())
	b = binary.AppendUvarint(b, uint64(len(m.Recipients)))
	for _, r := range m.Recipients {
		b = segment.AppendString(b, r.String())
	}
	b = segment.AppendString(b, m.LastResponse)
	b = segment.AppendString(b, by.order)
	if by.order != "" {
		b = binary.AppendUvarint(b, uint64(by.i))
		b = binary.AppendUvarint(b, uint64(by.n))
	}
	b = binary.AppendUvarint(b, uint64(len(w.json)))
	b = append(b, w.json...)
	w.buf = segment.AppendExtra(b, &segment.Extra{Standing: is, History: m.History})
	return nil
}

func (w *work) addDone(key segment.Key, order string, ms []*message.Message) {
	ids := make([]message.ID, len(ms))
	for i, m := range ms {
		ids[i] = m.ID
	}
	at := len(w.buf)
	w.buf = segment.AppendOrderDone(segment.Reserve(w.buf), order, ids, "")
	key.Seal(w.buf, at, segment.OrderDone, message.ID{}, 0, 0)
	w.size += int64(len(w.buf) - at)
}

// split returns the call's bytes in order: buf with the long bodies between.
func (w *work) split() [][]byte {
	from := 0
	for _, c := range w.cuts {
		w.parts = append(w.parts, w.buf[from:c.at], c.body)
		from = c.at
	}
	if from < len(w.buf) {
		w.parts = append(w.parts, w.buf[from:])
	}
	return w.parts
}

// beginOrder claims an order for the call.
func (s *Spool) beginOrder(order string) error {
	s.ordersMu.Lock()
	defer s.ordersMu.Unlock()
	if d := s.done[order]; d != nil {
		if d.seg == 0 {
			return fmt.Errorf("order %s: is being stored by another call", order)
		}
		return &OrderDoneError{Order: order, IDs: d.ids}
	}
	s.done[order] = &doneOrder{}
	return nil
}

func (s *Spool) endOrder(order string, ms []*message.Message, seg uint32, err error) {
	s.ordersMu.Lock()
	defer s.ordersMu.Unlock()
	if err != nil {
		delete(s.done, order)
		return
	}
	d := s.done[order]
	d.seg = seg
	for _, m := range ms {
		d.ids = append(d.ids, m.ID)
	}
}

// OrderDone reports whether the log has the completion of order, and the ids of the messages that came of it.
func (s *Spool) OrderDone(order string) ([]message.ID, bool) {
	s.ordersMu.Lock()
	defer s.ordersMu.Unlock()
	d := s.done[order]
	if d == nil || d.seg == 0 {
		return nil, false
	}
	return d.ids, true
}

// ForgetOrder lets the log forget that order is done, because its completion is now recorded elsewhere for good.
func (s *Spool) ForgetOrder(order string) {
	s.ordersMu.Lock()
	d := s.done[order]
	if d == nil || d.seg == 0 {
		s.ordersMu.Unlock()
		return
	}
	delete(s.done, order)
	s.segs.hold(d.seg, -1)
	s.ordersMu.Unlock()
}
