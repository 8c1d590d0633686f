package journal

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
)

// pieceSize is how much text makes a frame: a piece is compressed and written as soon as there is that much.
const pieceSize = 256 << 10

// stream is one series of segments: a directory and a suffix. Its pending part belongs to the logger's lock, the
// rest to whoever holds the logger's write lock.
type stream struct {
	dir, suffix string
	header      []byte // at the start of each segment

	pending []byte // lines that were recorded

	spare []byte // the other buffer
	todo  []byte // lines that were taken and are not written yet; a part of spare
	frame []byte // scratch for compression
	text  []byte // scratch for a piece with the header before it
	seg   *segment
	last  time.Time // name of the newest segment
}

func (s *stream) String() string { return filepath.Join(s.dir, "*"+s.suffix) }

// writeTodo compresses and writes what was taken, piece by piece, and tells done of each piece that is written.
// After an error the rest stays to do.
func (s *stream) writeTodo(enc *zstd.Encoder, o *FileOptions, now time.Time, done func(lines, size int)) error {
	for len(s.todo) > 0 {
		if err := s.roll(o, now); err != nil {
			return err
		}
		piece := cut(s.todo, min(pieceSize, o.MaxFileSize.Bytes()-s.seg.raw))
		text := piece
		if s.seg.raw == 0 && len(s.header) > 0 {
			s.text = append(append(s.text[:0], s.header...), piece...)
			text = s.text
		}
		s.frame = enc.EncodeAll(text, s.frame[:0])
		switch err := s.seg.append(s.frame, len(text)); {
		case errors.Is(err, errGone):
			// It is nobody's segment now. What it held is with whoever took it; the piece goes into a new one.
			_ = s.seg.f.Close()
			s.seg = nil
			continue
		case err != nil:
			return fmt.Errorf("write segment %s: %w", s.seg.path, err)
		}
		s.last = s.seg.start
		s.todo = s.todo[len(piece):]
		done(bytes.Count(piece, []byte{'\n'}), len(piece))
	}
	return nil
}

// cut is the front of text, whole lines only: as many as fit into limit, but at least one.
func cut(text []byte, limit int64) []byte {
	if int64(len(text)) <= limit {
		return text
	}
	if limit > 0 {
		if i := bytes.LastIndexByte(text[:limit], '\n'); i >= 0 {
			return text[:i+1]
		}
	}
	return text[:bytes.IndexByte(text, '\n')+1]
}

// roll finishes the segment when it is full or old, and opens one if there is none.
func (s *stream) roll(o *FileOptions, now time.Time) error {
	if s.seg != nil && s.seg.raw >= o.MaxFileSize.Bytes() {
		if err := s.finish(); err != nil {
			return err
		}
	}
	if err := s.age(o, now); err != nil {
		return err
	}
	if s.seg != nil {
		return nil
	}
	if !now.After(s.last) {
		now = s.last.Add(time.Nanosecond) // the clock stood still or went back: names keep their order
	}
	seg, err := openSegment(s.dir, s.suffix, now)
	if err != nil {
		return fmt.Errorf("open a log segment: %w", err)
	}
	s.seg, s.last = seg, seg.start
	return nil
}

// age finishes the segment when it has reached max_segment_duration.
func (s *stream) age(o *FileOptions, now time.Time) error {
	if limit := o.MaxSegmentDuration.Std(); s.seg != nil && limit > 0 && now.Sub(s.seg.start) >= limit {
		return s.finish()
	}
	return nil
}

func (s *stream) finish() error {
	if s.seg == nil {
		return nil
	}
	seg := s.seg
	s.seg = nil
	if err := seg.finish(); err != nil {
		return fmt.Errorf("finish segment %s: %w", seg.path, err)
	}
	return nil
}

// syncSegment puts the open segment on stable storage. After a failed sync nobody knows what the disk has: the
// segment is given up and the next record opens another.
func (s *stream) syncSegment() error {
	if err := s.seg.sync(); err != nil {
		seg := s.seg
		s.seg = nil
		_ = seg.f.Close()
		return fmt.Errorf("sync segment %s: %w", seg.path, err)
	}
	return nil
}
