package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"kumo/pkg/message"
)

// Record is an intact frame that a scan found.
type Record struct {
	Frame
	Off  int64  // of the frame in the segment
	Data []byte // the head; valid until the scan goes on
}

// BodyOff is where the body begins.
func (r Record) BodyOff() int64 { return r.Off + FrameSize + int64(r.Head) }

// Damage is a stretch of a segment in which no frame could be read.
type Damage struct {
	Off, End int64
	Kind     Kind       // 0 when the header itself is damaged
	ID       message.ID // zero when the header itself is damaged
	Why      string
	Cut      bool // the segment ends within the record
}

// Scanner walks over the frames of one segment.
type Scanner struct {
	Key   Key
	Limit int64 // where the segment ends
	// Intact is called for each good frame in order. An error ends the scan.
	Intact func(Record) error
	// Damaged is called for each stretch between good frames, and for what follows the last one (End == Limit).
	Damaged func(Damage)

	src  io.ReaderAt
	buf  []byte
	from int64 // buf holds the segment's bytes from here
}

const scanWindow = 1 << 20

// Scan reads src from offset start to s.Limit. It returns where the last good frame ended. Errors are those of
// src and of Intact; damage is not an error.
func (s *Scanner) Scan(src io.ReaderAt, start int64) (int64, error) {
	s.src, s.buf, s.from = src, s.buf[:0], start
	end := start
	for off := start; off < s.Limit; {
		rec, bad, err := s.frame(off)
		if err != nil {
			return end, err
		}
		if bad == nil {
			if err := s.Intact(rec); err != nil {
				return end, err
			}
			off += rec.Total()
			end = off
			continue
		}
		if bad.End == 0 {
			if bad.End, err = s.resync(off + 1); err != nil {
				return end, err
			}
		}
		s.Damaged(*bad)
		off = bad.End
	}
	return end, nil
}

// frame reads the frame at off. Damage with End 0 has no length that could be trusted.
func (s *Scanner) frame(off int64) (Record, *Damage, error) {
	b, err := s.window(off, FrameSize)
	if err != nil {
		return Record{}, nil, err
	}
	f, ok := s.Key.ParseFrame(b)
	if !ok {
		return Record{}, &Damage{Off: off, Why: "frame header is damaged"}, nil
	}
	end := off + f.Total()
	bad := &Damage{Off: off, End: end, Kind: f.Kind, ID: f.ID}
	if end > s.Limit {
		bad.End, bad.Why, bad.Cut = s.Limit, "record is cut off", true
		return Record{}, bad, nil
	}
	if b, err = s.window(off, FrameSize+int64(f.Head)); err != nil {
		return Record{}, nil, err
	}
	if Checksum(b[FrameSize:]) != f.HeadCRC {
		bad.Why = "checksum of the envelope does not match"
		return Record{}, bad, nil
	}
	crc, err := s.crc(off+FrameSize+int64(f.Head), int64(f.Body))
	if err != nil {
		return Record{}, nil, err
	}
	if crc != f.BodyCRC {
		bad.Why = "checksum of the body does not match"
		return Record{}, bad, nil
	}
	if b, err = s.window(off, FrameSize+int64(f.Head)); err != nil {
		return Record{}, nil, err
	}
	return Record{Frame: f, Off: off, Data: b[FrameSize:]}, nil, nil
}

// resync finds the next frame at or after off whose header and head prove themselves; s.Limit when there is none.
func (s *Scanner) resync(off int64) (int64, error) {
	var mark [4]byte
	binary.LittleEndian.PutUint32(mark[:], s.Key.Mark)
	for off < s.Limit {
		b, err := s.window(off, scanWindow/2)
		if err != nil {
			return 0, err
		}
		if len(b) == 0 {
			return s.Limit, nil
		}
		i := bytes.Index(b, mark[:])
		if i < 0 {
			off += max(1, int64(len(b))-3)
			continue
		}
		off += int64(i)
		_, bad, err := s.frame(off)
		if err != nil {
			return 0, err
		}
		if bad == nil || bad.Kind != 0 {
			return off, nil
		}
		off++
	}
	return s.Limit, nil
}

// window returns the n bytes at off, fewer at the end of the segment. It is valid until the next call.
func (s *Scanner) window(off, n int64) ([]byte, error) {
	n = min(n, s.Limit-off)
	if off >= s.from && off+n <= s.from+int64(len(s.buf)) {
		return s.buf[off-s.from:][:n], nil
	}
	want := min(max(n, scanWindow), s.Limit-off)
	if int64(cap(s.buf)) < want {
		s.buf = make([]byte, want)
	}
	s.buf, s.from = s.buf[:want], off
	got, err := s.src.ReadAt(s.buf, off)
	s.buf = s.buf[:got]
	if int64(got) < want && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read at offset %d: %w", off+int64(got), err)
	}
	return s.buf[:min(n, int64(got))], nil
}

// crc is the checksum of the n bytes at off, read piece by piece.
func (s *Scanner) crc(off, n int64) (uint32, error) {
	var crc uint32
	for n > 0 {
		b, err := s.window(off, min(n, scanWindow))
		if err != nil {
			return 0, err
		}
		if len(b) == 0 {
			return ^crc, nil
		}
		crc = crc32.Update(crc, castagnoli, b)
		off += int64(len(b))
		n -= int64(len(b))
	}
	return crc, nil
}
