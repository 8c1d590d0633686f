package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Version is the version of the format that this package writes. Greater ones are refused.
const Version = 2

// HeaderSize is where the first frame of a segment begins: two copies of the header, so that one damaged block of
// bits does not hide the whole file.
const HeaderSize = 2 * copySize

const copySize = 64

var magic = [8]byte{'K', 'U', 'M', 'O', 'L', 'O', 'G', 0x1a}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Key is the secret of a spool, made once at random. Frames are sealed with it.
type Key struct {
	Mark uint32 // begins every frame
	Salt uint64 // goes into every frame header's checksum
}

// IsZero reports a Key that was not set.
func (k Key) IsZero() bool { return k == Key{} }

// Header stands at the beginning of a segment.
type Header struct {
	Key     Key
	Number  uint64 // of this segment; segments are written in ascending order
	Prev    uint64 // number of the segment written before, 0 for the first
	PrevEnd int64  // bytes of the segment before that count; what lies behind was never acknowledged
	Created int64  // nanoseconds since 1970, for people
}

// ErrHeader is a segment whose header cannot be read.
var ErrHeader = errors.New("segment header is damaged")

// VersionError is a segment of a later format.
type VersionError struct{ Have uint32 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("format version %d is newer than %d, which this program knows", e.Have, Version)
}

// Append appends the two copies of h to b.
func (h Header) Append(b []byte) []byte {
	at := len(b)
	b = append(b, magic[:]...)
	b = binary.LittleEndian.AppendUint32(b, Version)
	b = binary.LittleEndian.AppendUint32(b, h.Key.Mark)
	b = binary.LittleEndian.AppendUint64(b, h.Key.Salt)
	b = binary.LittleEndian.AppendUint64(b, h.Number)
	b = binary.LittleEndian.AppendUint64(b, h.Prev)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.PrevEnd))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Created))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
	return append(b, b[at:]...)
}

// ParseHeader reads a header from the first HeaderSize bytes of a segment; one good copy is enough.
// Errors: ErrHeader, *VersionError.
func ParseHeader(b []byte) (Header, error) {
	var newer error
	for at := 0; at+copySize <= len(b) && at < HeaderSize; at += copySize {
		h, err := parseCopy(b[at : at+copySize])
		if err == nil {
			return h, nil
		}
		if v := (*VersionError)(nil); errors.As(err, &v) {
			newer = err
		}
	}
	if newer != nil {
		return Header{}, newer
	}
	return Header{}, ErrHeader
}

func parseCopy(b []byte) (Header, error) {
	if !bytes.Equal(b[:8], magic[:]) || binary.LittleEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return Header{}, ErrHeader
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > Version {
		return Header{}, &VersionError{Have: v}
	}
	return Header{
		Key:     Key{Mark: binary.LittleEndian.Uint32(b[12:]), Salt: binary.LittleEndian.Uint64(b[16:])},
		Number:  binary.LittleEndian.Uint64(b[24:]),
		Prev:    binary.LittleEndian.Uint64(b[32:]),
		PrevEnd: int64(binary.LittleEndian.Uint64(b[40:])),
		Created: int64(binary.LittleEndian.Uint64(b[48:])),
	}, nil
}
