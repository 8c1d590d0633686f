package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// Recovery is what Open found in the log.
type Recovery struct {
	Live     int           `json:"live"`     // messages
	Segments int           `json:"segments"` // files read
	Bytes    int64         `json:"bytes"`    // read
	Records  int64         `json:"records"`  // intact
	Torn     int64         `json:"torn"`     // bytes behind the last record of the last segment: never acknowledged
	Undone   int           `json:"undone"`   // messages of orders that were cut short; the orders are done again
	Missing  []uint32      `json:"missing"`  // numbers of segments that are not there
	Damaged  []DamagedPart `json:"damaged"`  // stretches that cannot be read
	Strays   []string      `json:"strays"`   // files that do not belong here, ignored
	Took     time.Duration `json:"took"`
}

// DamagedPart is a stretch of a segment that fails its checksums. It costs the record that it hits.
type DamagedPart struct {
	Segment uint32     `json:"segment"`
	Offset  int64      `json:"offset"`
	Length  int64      `json:"length"`
	ID      message.ID `json:"id"`   // zero when not even that can be read
	Kind    string     `json:"kind"` // of the record, "unknown" when not even that can be read
	Why     string     `json:"why"`
	Ended   bool       `json:"ended"` // the message has ended: nothing is lost
}

// replayer rebuilds the table from the log.
type replayer struct {
	fsys     FS
	dir      string
	key      segment.Key
	log      *slog.Logger
	progress func(done, total int64)

	table *table
	names *names
	marks *marks
	segs  *segments
	found *Recovery
	done  map[string]*doneOrder
	// Orders that something lasts of, and notes.
	standing map[string]*standing
	notes    []note
	// isDone asks elsewhere whether an order without an order-done record was completed all the same; may be nil.
	isDone func(order string) bool

	// A reader replays only what stands behind its index's checkpoint: from segment fromSeg, offset fromOff. orphan is
	// told about records of messages that were accepted before.
	fromSeg uint32
	fromOff int64
	orphan  func(kind segment.Kind, id message.ID, e entry, is segment.Standing)
	// orphanApplied is told, if it is not nil, what an applied record says about messages that were accepted before.
	orphanApplied func(id message.ID, a *segment.AppliedHead)
	// over is told, if it is not nil, which orders that were begun before are over.
	over func(order string)

	open    map[string]*openOrder
	damaged map[message.ID][]int
	brief   segment.Brief
	body    lastBody
	cur     uint32
	total   int64
	read    int64
}

// lastBody is the latest intact body of a segment, which the records behind it may share.
type lastBody struct {
	seg, size, crc uint32
	off            int64
}

// run reads the segments. They must have been opened by readHeaders.
func (r *replayer) run(ctx context.Context, files []logFile) error {
	r.open, r.damaged = make(map[string]*openOrder), make(map[message.ID][]int)
	if r.standing == nil {
		r.standing = make(map[string]*standing)
	}
	for _, l := range files {
		r.total += l.size
	}
	jobs := r.jobs(files)
	ahead := startAhead(ctx, r.segs, r.key, jobs)
	defer ahead.end()
	for i, l := range files {
		limit, known := ends(files, i)
		if limit > l.size {
			r.report(segment.Damage{Off: l.size, End: limit, Why: "file is shorter than it was"}, l.num)
		}
		r.gap(files, i)
		if l.num < r.fromSeg {
			continue
		}
		j := jobs[0]
		jobs = jobs[1:]
		if err := r.replay(ctx, ahead, j, known || i < len(files)-1); err != nil {
			return err
		}
		g := j.seg
		r.read += l.size - g.end
		if i == len(files)-1 && j.end < g.end {
			r.found.Torn = g.end - max(j.end, 0)
			g.end = j.end
		}
	}
	r.found.Segments = len(files)
	return nil
}

// jobs makes the segments known, and says which are to be read, and from where.
func (r *replayer) jobs(files []logFile) []*job {
	var jobs []*job
	for i, l := range files {
		limit, _ := ends(files, i)
		g := r.segs.add(l.num, min(limit, l.size), nil)
		if l.num < r.fromSeg {
			continue
		}
		j := &job{seg: g, from: segment.HeaderSize, out: make(chan *chunk, aheadChunks)}
		if g.num == r.fromSeg {
			j.from = max(j.from, min(r.fromOff, g.end))
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// gap reports segments that stood between i and the one before it.
func (r *replayer) gap(files []logFile, i int) {
	if i == 0 || !files[i].ok || files[i].header.Prev == 0 {
		return
	}
	prev := uint32(files[i].header.Prev)
	before := files[i-1].num
	if files[i-1].ok && prev > before && prev < files[i].num {
		r.found.Missing = append(r.found.Missing, prev)
		r.log.Error("spool: a segment is missing: its mail is lost", "segment", prev, "dir", r.dir)
	}
}

// replay makes of one segment what its records say.
func (r *replayer) replay(ctx context.Context, ahead *ahead, j *job, sealed bool) error {
	g, start := j.seg, r.read
	r.cur = g.num
	for c := range j.out {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range c.items {
			if d := c.items[i].bad; d != nil {
				if d.End < g.end || sealed || d.Kind != 0 && !d.Cut {
					r.report(*d, g.num)
				}
				continue
			}
			rec := &c.items[i].rec
			r.found.Records++
			if rec.Body > 0 {
				r.body = lastBody{seg: g.num, size: rec.Body, crc: rec.BodyCRC, off: rec.BodyOff()}
			}
			r.read = start + rec.Off
			if err := r.apply(*rec); err != nil {
				return fmt.Errorf("read segment %d: %w", g.num, err)
			}
		}
		r.tell()
		ahead.done(c)
	}
	if j.err != nil {
		return j.err
	}
	if g.end > segment.HeaderSize {
		r.found.Bytes += g.end
	}
	r.read = start + g.end
	r.tell()
	return nil
}

func (r *replayer) tell() {
	if r.progress != nil {
		r.progress(r.read, r.total)
	}
}

func (r *replayer) report(d segment.Damage, num uint32) {
	r.found.Damaged = append(r.found.Damaged, DamagedPart{
		Segment: num, Offset: d.Off, Length: d.End - d.Off, ID: d.ID, Kind: d.Kind.String(), Why: d.Why,
	})
	if d.Kind == segment.Accept {
		r.damaged[d.ID] = append(r.damaged[d.ID], len(r.found.Damaged)-1)
	}
}

func (r *replayer) apply(rec segment.Record) error {
	var err error
	switch rec.Kind {
	case segment.Accept:
		err = r.accept(rec)
	case segment.Update:
		err = r.update(rec)
	case segment.Reschedule:
		err = r.reschedule(rec)
	case segment.End:
		r.end(rec.ID)
		if len(rec.Data) == 1 && Ending(rec.Data[0]) == EndUndone {
			r.undo(rec.ID)
		}
	case segment.OrderDone:
		err = r.orderDone(rec)
	default:
		err = r.applyOrder(rec)
	}
	if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, segment.ErrEnvelope) && !errors.Is(err, errMarks) {
		return err // of the disk
	}
	if err != nil {
		r.report(segment.Damage{Off: rec.Off, End: rec.Off + rec.Total(), Kind: rec.Kind, ID: rec.ID, Why: err.Error()}, r.cur)
	}
	return nil
}

func (r *replayer) accept(rec segment.Record) error {
	b := &r.brief
	if err := b.Decode(rec.Data); err != nil {
		return err
	}
	if b.Behind != 0 {
		if err := r.shared(rec); err != nil {
			return err
		}
	}
	e := entry{
		id: rec.ID, created: b.Created, due: b.Due, seg: r.cur, off: uint32(rec.Off), hint: headHint(rec.Head), size: b.Size,
		queue: r.names.internBytes(b.Queue), attempts: clampAttempts(int(b.Attempts)),
	}
	if rec.Body != b.Size {
		e.flags |= flagShared
	}
	if err := r.marks.obey(&e, b.Standing); err != nil {
		return err
	}
	shard, h := r.table.lock(rec.ID)
	old, copied := entry{}, false
	if shard.get(rec.ID, h) != nil {
		old, copied = shard.remove(rec.ID, h)
	}
	shard.put(e, h)
	shard.Unlock()
	r.gone(rec.ID, &old, copied)
	r.segs.keep(&e, 1)
	if len(b.Order) == 0 && len(r.open) > 0 {
		r.undo(rec.ID) // a copy: it was taken for good
	}
	if len(b.Order) > 0 {
		r.member(string(b.Order), rec.ID, b.Count)
	}
	return nil
}

// shared checks that the body is there that a message shares. Of a batch that was never synced a disk can keep the
// envelope alone; were it taken, it would hide the message's earlier copy.
func (r *replayer) shared(rec segment.Record) error {
	b := &r.brief
	off := rec.Off - int64(b.Behind)
	if r.body == (lastBody{seg: r.cur, size: b.Size, crc: b.ShareCRC, off: off}) {
		return nil
	}
	if off < segment.HeaderSize || b.Size > segment.MaxBody {
		return segment.ErrEnvelope
	}
	g, err := r.segs.acquire(r.cur)
	if err != nil {
		return err
	}
	defer r.segs.release(g)
	body, err := g.raw(off, int64(b.Size))
	if err == nil {
		_, err = g.checked(body, b.Size, b.ShareCRC, rec.Off)
	}
	if err == nil {
		r.body = lastBody{seg: r.cur, size: b.Size, crc: b.ShareCRC, off: off}
	}
	return err
}

func (r *replayer) update(rec segment.Record) error {
	b := &r.brief
	if err := b.Decode(rec.Data); err != nil {
		return err
	}
	queue := r.names.internBytes(b.Queue)
	shard, h := r.table.lock(rec.ID)
	defer shard.Unlock()
	e := shard.get(rec.ID, h)
	if e == nil {
		if r.orphan != nil {
			r.orphan(segment.Update, rec.ID, entry{due: b.Due, attempts: clampAttempts(int(b.Attempts)), queue: queue, upSeg: r.cur, upOff: uint32(rec.Off)}, b.Standing)
		}
		return nil
	}
	if e.upSeg != 0 {
		r.segs.hold(e.upSeg, -1)
	}
	r.segs.hold(r.cur, 1)
	e.due, e.attempts, e.queue, e.upSeg, e.upOff = b.Due, clampAttempts(int(b.Attempts)), queue, r.cur, uint32(rec.Off)
	return r.marks.obey(e, b.Standing)
}

func (r *replayer) reschedule(rec segment.Record) error {
	due, attempts, err := segment.DecodeSchedule(rec.Data)
	if err != nil {
		return err
	}
	shard, h := r.table.lock(rec.ID)
	defer shard.Unlock()
	if e := shard.get(rec.ID, h); e != nil {
		e.due, e.attempts = due, clampAttempts(int(attempts))
	} else if r.orphan != nil {
		r.orphan(segment.Reschedule, rec.ID, entry{due: due, attempts: clampAttempts(int(attempts))}, segment.Standing{})
	}
	return nil
}

// end takes id out of the table.
func (r *replayer) end(id message.ID) {
	shard, h := r.table.lock(id)
	e, ok := shard.remove(id, h)
	shard.Unlock()
	r.gone(id, &e, ok)
}

// gone notes that what was known of id does not count any more: it has ended, or a copy of it was found. e is its entry,
// if there was one.
func (r *replayer) gone(id message.ID, e *entry, known bool) {
	if known {
		r.marks.forget(e)
		r.segs.keep(e, -1)
		if e.upSeg != 0 {
			r.segs.hold(e.upSeg, -1)
		}
	} else if r.orphan != nil {
		r.orphan(segment.End, id, entry{}, segment.Standing{})
	}
	if len(r.damaged) == 0 {
		return
	}
	for _, i := range r.damaged[id] {
		r.found.Damaged[i].Ended = true
	}
}

// isMissing reports an error that says that a file is not there.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
