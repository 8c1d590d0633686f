package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"time"

	"golang.org/x/sys/unix"
)

// cursor reads one segment, record by record, over every damage that it meets.
type cursor struct {
	path     string
	finished bool
	f        *os.File
	size     int64
	off      int64 // where the next frame begins
	start    int64 // of the frame in hand
	inFrame  bool
	torn     bool // the frame in hand has no end
	frames   frameReader
	warn     func(error)
	foreign  int64 // lines that are no records

	line Line      // the record in hand
	last time.Time // of the record before it
}

// openCursor opens a segment. A segment that is finished while it is read is read to its end at this moment.
func openCursor(path string, warn func(error)) (*cursor, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &cursor{path: path, f: f, size: info.Size(), finished: info.Mode()&0o222 == 0, warn: warn}, nil
}

func (c *cursor) close() {
	c.frames.close()
	_ = c.f.Close()
	if c.foreign > 0 {
		c.warn(fmt.Errorf("segment %s: %d lines are no records", c.path, c.foreign))
	}
}

// advance goes to the next record that f wants; false at the end.
func (c *cursor) advance(f *filter) bool {
	for {
		raw, ok := c.next()
		if !ok {
			return false
		}
		h := &c.line.head
		if h.quick(raw) && !f.wants(h) {
			continue
		}
		if !h.read(raw) {
			c.foreign++
			continue
		}
		if !f.wants(h) {
			continue
		}
		if t, ok := h.when(); ok {
			c.last = t
		}
		if f.over(c.last) {
			return false
		}
		c.line.Raw, c.line.Time = raw, c.last
		if f.within(c.last) {
			c.line.Type, c.line.ID = h.kind(), h.message()
			return true
		}
	}
}

// next is the next line, whatever it holds.
func (c *cursor) next() ([]byte, bool) {
	for {
		if !c.inFrame {
			if c.off >= c.size {
				return nil, false
			}
			c.enter()
			continue
		}
		line, err := c.frames.next()
		if err == nil && (!c.torn || !c.frames.cut) {
			return line, true
		}
		c.inFrame = false
		switch {
		case err == nil || errors.Is(err, io.EOF):
		case c.torn:
			c.warnTorn()
		default:
			c.warn(fmt.Errorf("segment %s at offset %d: %w", c.path, c.start, err))
			c.off = c.resync(c.start + 4)
		}
	}
}

// enter begins the frame at off.
func (c *cursor) enter() {
	c.start = c.off
	end, whole, err := frameEnd(c.f, c.off, c.size)
	c.torn = err == nil && !whole
	if !whole {
		// Where a frame's own lengths are damaged it seems to go on for ever: there may be good ones behind it.
		end = c.resync(c.start + 4)
	}
	c.off = end
	if err != nil {
		c.warn(fmt.Errorf("segment %s: %w: %d bytes are passed over", c.path, err, end-c.start))
		return
	}
	if err := c.frames.begin(c.f, c.start, end); err != nil {
		if !c.torn {
			c.warn(fmt.Errorf("segment %s at offset %d: %w", c.path, c.start, err))
		}
		return
	}
	c.inFrame = true
}

// warnTorn tells of a frame that has no end, unless it is being written just now.
func (c *cursor) warnTorn() {
	if c.finished || c.off < c.size {
		c.warn(fmt.Errorf("segment %s: no whole frame at offset %d: %d bytes, read as far as they go", c.path, c.start, c.off-c.start))
	}
}

// resync finds the next whole frame at or after off; the end of the segment when there is none.
func (c *cursor) resync(off int64) int64 {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], frameMagic)
	buf := make([]byte, 64<<10)
	for off < c.size {
		n, err := c.f.ReadAt(buf[:min(int64(len(buf)), c.size-off)], off)
		if n < len(magic) || err != nil && !errors.Is(err, io.EOF) {
			return c.size
		}
		i := bytes.Index(buf[:n], magic[:])
		if i < 0 {
			off += int64(n - len(magic) + 1)
			continue
		}
		off += int64(i)
		if _, whole, err := frameEnd(c.f, off, c.size); err == nil && whole {
			return off
		}
		off++
	}
	return c.size
}

// seek moves to the last frame that begins before t, so that a segment of an hour is not read for its last minute.
func (c *cursor) seek(t time.Time) {
	var frames []int64
	for off := int64(0); off < c.size; {
		end, whole, err := frameEnd(c.f, off, c.size)
		if err != nil || !whole {
			break
		}
		frames = append(frames, off)
		off = end
	}
	n := sort.Search(len(frames), func(i int) bool {
		first, ok := c.firstTime(frames[i])
		return !ok || !first.Before(t)
	})
	if n > 0 {
		c.off = frames[n-1]
	}
}

// firstTime is the moment of the first record of the frame at off.
func (c *cursor) firstTime(off int64) (time.Time, bool) {
	end, whole, err := frameEnd(c.f, off, c.size)
	if err != nil || !whole || c.frames.begin(c.f, off, end) != nil {
		return time.Time{}, false
	}
	var h head
	for range 100 {
		line, err := c.frames.next()
		if err != nil {
			return time.Time{}, false
		}
		if h.read(line) {
			return h.when()
		}
	}
	return time.Time{}, false
}
