package message

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"time"
)

// ID names a message: a version 1 UUID (RFC 9562 5.1), shown as 32 hexadecimal digits without dashes.
type ID [16]byte

// gregorian is the number of 100 ns ticks between 1582-10-15 and 1970-01-01.
const gregorian = 122192928000000000

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// AppendText appends the 32 digits to b.
func (id ID) AppendText(b []byte) ([]byte, error) { return hex.AppendEncode(b, id[:]), nil }

// MarshalText and UnmarshalText make IDs plain strings in JSON.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

func (id *ID) UnmarshalText(b []byte) error {
	v, err := ParseID(string(b))
	*id = v
	return err
}

// IsZero reports the zero ID, which no message has.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads 32 hexadecimal digits; dashes are tolerated.
func ParseID(s string) (ID, error) {
	var id ID
	clean := make([]byte, 0, 32)
	for i := 0; i < len(s); i++ {
		if s[i] != '-' {
			clean = append(clean, s[i])
		}
	}
	if len(clean) != 32 {
		return ID{}, fmt.Errorf("message id %q: want 32 hexadecimal digits", s)
	}
	if _, err := hex.Decode(id[:], clean); err != nil {
		return ID{}, fmt.Errorf("message id %q: want 32 hexadecimal digits", s)
	}
	return id, nil
}

// Time is the moment that the ID was made.
func (id ID) Time() time.Time {
	low := uint64(binary.BigEndian.Uint32(id[0:4]))
	mid := uint64(binary.BigEndian.Uint16(id[4:6]))
	high := uint64(binary.BigEndian.Uint16(id[6:8])) & 0x0fff
	ticks := int64(high<<48|mid<<32|low) - gregorian
	return time.Unix(ticks/1e7, ticks%1e7*100)
}

// IDSource makes IDs that are unique within the process whatever the clock does: a clock that stands still or
// steps back is followed by counting on from the last tick. Node and clock sequence are random per source, so that
// processes do not clash.
type IDSource struct {
	now func() time.Time

	mu   sync.Mutex
	last uint64
	tail [8]byte
}

// NewIDSource makes a source that reads its time from now.
func NewIDSource(now func() time.Time) *IDSource {
	s := &IDSource{now: now}
	_, _ = rand.Read(s.tail[:])
	s.tail[0] = s.tail[0]&0x3f | 0x80
	s.tail[2] |= 1 // multicast bit: a random node id, RFC 9562 6.10
	return s
}

// Next makes an ID.
func (s *IDSource) Next() ID {
	ticks := uint64(s.now().UnixNano()/100) + gregorian
	s.mu.Lock()
	if ticks <= s.last {
		ticks = s.last + 1
	}
	s.last = ticks
	s.mu.Unlock()
	var id ID
	binary.BigEndian.PutUint32(id[0:4], uint32(ticks))
	binary.BigEndian.PutUint16(id[4:6], uint16(ticks>>32))
	binary.BigEndian.PutUint16(id[6:8], uint16(ticks>>48)&0x0fff|0x1000)
	copy(id[8:], s.tail[:])
	return id
}

// NewSessionID makes a random UUID (version 4, RFC 9562 5.4) in its usual form: the session_id of records.
func NewSessionID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	var t [36]byte
	hex.Encode(t[:8], u[:4])
	hex.Encode(t[9:13], u[4:6])
	hex.Encode(t[14:18], u[6:8])
	hex.Encode(t[19:23], u[8:10])
	hex.Encode(t[24:], u[10:])
	t[8], t[13], t[18], t[23] = '-', '-', '-', '-'
	return string(t[:])
}
