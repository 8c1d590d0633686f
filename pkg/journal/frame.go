package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	frameMagic     = 0xFD2FB528
	skippableMagic = 0x184D2A50 // the low four bits are free
)

var errNotZstd = errors.New("not a zstd frame")

// frameEnd finds where the zstd frame at off ends (RFC 8878 3.1) without decoding it. whole is false when the frame
// goes on after size, which is how a frame looks that is being written, or that a crash cut off.
func frameEnd(r io.ReaderAt, off, size int64) (end int64, whole bool, err error) {
	var head [18]byte
	n, err := r.ReadAt(head[:min(int64(len(head)), size-off)], off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, false, err
	}
	h := head[:n]
	if len(h) < 5 {
		return 0, false, nil
	}
	magic := binary.LittleEndian.Uint32(h)
	if magic&^0xf == skippableMagic {
		if len(h) < 8 {
			return 0, false, nil
		}
		end = off + 8 + int64(binary.LittleEndian.Uint32(h[4:]))
		return end, end <= size, nil
	}
	if magic != frameMagic {
		return 0, false, fmt.Errorf("%w at offset %d", errNotZstd, off)
	}
	pos := off + headerSize(h[4])
	end, whole, err = blocksEnd(r, pos, size)
	if whole && h[4]&4 != 0 {
		end += 4 // content checksum
	}
	return end, whole && end <= size, err
}

// headerSize is the length of magic number and frame header, from the frame header descriptor.
func headerSize(descriptor byte) int64 {
	single := descriptor>>5&1 == 1
	size := int64(5)
	if !single {
		size++ // window descriptor
	}
	size += int64([4]int{0, 1, 2, 4}[descriptor&3]) // dictionary id
	switch descriptor >> 6 {
	case 0:
		if single {
			size++
		}
	case 1:
		size += 2
	case 2:
		size += 4
	case 3:
		size += 8
	}
	return size
}

// blocksEnd walks over the blocks from pos to the end of the last one.
func blocksEnd(r io.ReaderAt, pos, size int64) (end int64, whole bool, err error) {
	var b [3]byte
	for pos+3 <= size {
		if _, err := r.ReadAt(b[:], pos); err != nil {
			return 0, false, err
		}
		header := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		pos += 3
		switch header >> 1 & 3 {
		case 1:
			pos++ // one byte, repeated
		case 3:
			return 0, false, fmt.Errorf("%w: reserved block type at offset %d", errNotZstd, pos-3)
		default:
			pos += int64(header >> 3)
		}
		if header&1 == 1 {
			return pos, pos <= size, nil
		}
	}
	return 0, false, nil
}
