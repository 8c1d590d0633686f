package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// place is where a stored message stands.
type place struct {
	seg, off, size uint32
	head           uint32 // about, see headHint
	upSeg, upOff   uint32
	shared         bool
}

func (e *entry) place() place {
	return place{
		seg: e.seg, off: e.off, head: e.head(), size: e.size, upSeg: e.upSeg, upOff: e.upOff,
		shared: e.flags&flagShared != 0,
	}
}

// find returns the entry of id when its latest update is in the log.
func (s *Spool) find(id message.ID) (entry, error) {
	for {
		shard, h := s.table.lock(id)
		e := shard.get(id, h)
		if e == nil {
			shard.Unlock()
			return entry{}, ErrGone
		}
		found := *e
		shard.Unlock()
		if found.pending == 0 {
			return found, nil
		}
		if err := s.commit.flush(false); err != nil {
			return entry{}, err
		}
	}
}

// Load brings a live message back, envelope and metadata at once, its body when asked for. It is for looking at the
// message, whatever its State, which stays; whoever wants to do something about it calls Take.
// Errors: ErrGone, ErrDamaged, those of the disk.
func (s *Spool) Load(id message.ID) (*message.Message, error) {
	for {
		e, err := s.find(id)
		var m *message.Message
		if err == nil {
			m, err = s.read(&e)
		}
		if err == nil {
			return m, nil
		}
		if !isMissing(err) || s.where(id) == e.place() {
			return nil, fmt.Errorf("load message %s: %w", id, err)
		}
		// It was copied to the end of the log meanwhile, and the segment that it stood in is deleted.
	}
}

// where is the place of a message now, zero if it has ended.
func (s *Spool) where(id message.ID) (p place) {
	s.change(id, func(e *entry) { p = e.place() })
	return p
}

// read brings the message of e back without its body.
func (s *Spool) read(e *entry) (*message.Message, error) {
	m, err := s.segs.envelope(e.id, e.place())
	if err != nil {
		return nil, err
	}
	m.Due, m.Attempts, m.Queue = fromNanos(e.due), int(e.attempts), s.names.get(e.queue)
	m.SetLoader(s)
	return m, nil
}

// Body implements message.Body: the bytes of a live message as they were accepted, checked against their
// checksum. Errors: ErrGone, ErrDamaged, those of the disk.
func (s *Spool) Body(id message.ID) ([]byte, error) {
	for {
		p := s.where(id)
		if p == (place{}) {
			return nil, fmt.Errorf("body of message %s: %w", id, ErrGone)
		}
		b, err := s.segs.body(id, p)
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || s.where(id) == p {
			return nil, fmt.Errorf("body of message %s: %w", id, err)
		}
	}
}

// frame reads the frame of id at off of segment seg, of which at most want bytes are known to be needed.
func (g *segFile) frame(key segment.Key, id message.ID, kind segment.Kind, off, want int64) (segment.Frame, []byte, error) {
	b := make([]byte, max(want, segment.FrameSize))
	n, err := g.file.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return segment.Frame{}, nil, fmt.Errorf("segment %d: %w", g.num, err)
	}
	f, ok := key.ParseFrame(b[:n])
	if !ok || f.ID != id || f.Kind != kind {
		return f, nil, g.damage(off, "record header")
	}
	if need := segment.FrameSize + int64(f.Head); int64(n) < need {
		if want >= need {
			return f, nil, g.damage(off, "record is cut off")
		}
		return g.frame(key, id, kind, off, need)
	}
	if segment.Checksum(b[segment.FrameSize:][:f.Head]) != f.HeadCRC {
		return f, nil, g.damage(off, "envelope")
	}
	return f, b[segment.FrameSize:n], nil
}

func (g *segFile) damage(off int64, what string) error {
	return fmt.Errorf("%w: segment %d, offset %d: %s", ErrDamaged, g.num, off, what)
}

// envelope reads the message's latest envelope. Due, Attempts and Queue are those of that record.
func (s *segments) envelope(id message.ID, p place) (*message.Message, error) {
	var m *message.Message
	err := s.record(id, p, func(g *segFile, off int64, head []byte) error {
		var e segment.Envelope
		if err := e.Decode(head); err != nil {
			return g.damage(off, err.Error())
		}
		var err error
		if m, err = restore(id, &e); err != nil {
			return g.damage(off, err.Error())
		}
		m.Size = int(p.size)
		return nil
	})
	return m, err
}

// latest is the message's latest envelope as it stands in the log.
func (s *segments) latest(e *entry) (*segment.Envelope, error) {
	env := new(segment.Envelope)
	err := s.record(e.id, e.place(), func(g *segFile, off int64, head []byte) error {
		if err := env.Decode(head); err != nil {
			return g.damage(off, err.Error())
		}
		return nil
	})
	return env, err
}

// record calls f with the head of the record that has the message's latest envelope.
func (s *segments) record(id message.ID, p place, f func(g *segFile, off int64, head []byte) error) error {
	num, off, kind, want := p.seg, int64(p.off), segment.Accept, segment.FrameSize+int64(p.head)
	if p.upSeg != 0 {
		num, off, kind, want = p.upSeg, int64(p.upOff), segment.Update, 1<<10
	}
	g, err := s.acquire(num)
	if err != nil {
		return err
	}
	defer s.release(g)
	fr, b, err := g.frame(s.key, id, kind, off, want)
	if err != nil {
		return err
	}
	return f(g, off, b[:fr.Head])
}

// restore makes a message of an envelope.
func restore(id message.ID, e *segment.Envelope) (*message.Message, error) {
	m := &message.Message{
		ID: id, Sender: mail.Restore(e.Sender), Meta: message.NewMeta(nil), Queue: e.Queue,
		Created: fromNanos(e.Created), Due: fromNanos(e.Due), Attempts: int(e.Attempts), Size: int(e.Size),
		LastResponse: e.LastResponse, History: e.History,
	}
	m.Recipients = make([]mail.Address, len(e.Recipients))
	for i, r := range e.Recipients {
		m.Recipients[i] = mail.Restore(r)
	}
	return m, m.Meta.UnmarshalJSON(e.Meta)
}

func (s *segments) body(id message.ID, p place) ([]byte, error) {
	g, err := s.acquire(p.seg)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, err
	}
	defer s.release(g)
	want := segment.FrameSize + int64(p.head)
	if !p.shared {
		want += int64(p.size)
	}
	f, b, err := g.frame(s.key, id, segment.Accept, int64(p.off), want)
	if err != nil {
		return nil, err
	}
	if !p.shared {
		if need := int64(f.Head) + int64(f.Body); int64(len(b)) < need && want < segment.FrameSize+need {
			if f, b, err = g.frame(s.key, id, segment.Accept, int64(p.off), segment.FrameSize+need); err != nil {
				return nil, err
			}
		}
		return g.checked(b[f.Head:min(len(b), int(f.Head)+int(f.Body))], f.Body, f.BodyCRC, int64(p.off))
	}
	var e segment.Envelope
	if err := e.Decode(b[:f.Head]); err != nil || e.Behind > uint64(p.off) {
		return nil, g.damage(int64(p.off), "envelope")
	}
	body := make([]byte, e.Size)
	n, err := g.file.ReadAt(body, int64(p.off)-int64(e.Behind))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("segment %d: %w", g.num, err)
	}
	return g.checked(body[:n], e.Size, e.ShareCRC, int64(p.off))
}

func (g *segFile) checked(body []byte, size, crc uint32, off int64) ([]byte, error) {
	if uint32(len(body)) != size || segment.Checksum(body) != crc {
		return nil, g.damage(off, "body")
	}
	return body, nil
}
