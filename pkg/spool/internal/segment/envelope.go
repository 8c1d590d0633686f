package segment

import (
	"encoding/binary"
	"errors"
)

// Envelope is the head of accept and update records. Strings are kept as they are; Meta is a JSON object.
type Envelope struct {
	Created      int64 // nanoseconds since 1970
	Due          int64 // nanoseconds since 1970; 0 is "now"
	Attempts     uint32
	Sender       string
	Recipients   []string
	Queue        string
	LastResponse string
	Meta         []byte

	// The order that caused the message, "" if none: this is message Index of Count.
	Order string
	Index uint32
	Count uint32

	// Size is the length of the body. Behind, if not 0, says that the body does not follow this head but begins
	// so many bytes before this frame, in the same segment, where another frame has it; ShareCRC is its checksum.
	Size     uint32
	Behind   uint64
	ShareCRC uint32
}

// ErrEnvelope is a head that is not what its kind says.
var ErrEnvelope = errors.New("malformed record")

// AppendString appends a length and s.
func AppendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// Decode reads what spool.appendEnvelope wrote. Meta aliases b; the strings are copies.
func (e *Envelope) Decode(b []byte) error {
	r := reader{b: b}
	e.Created = int64(r.u64())
	e.Due = int64(r.u64())
	e.Attempts = uint32(r.uvarint())
	e.Size = uint32(r.uvarint())
	e.Behind = r.uvarint()
	if e.Behind != 0 {
		e.ShareCRC = r.u32()
	}
	e.Queue = string(r.bytes())
	e.Sender = string(r.bytes())
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		return ErrEnvelope
	}
	e.Recipients = make([]string, 0, n)
	for range n {
		e.Recipients = append(e.Recipients, string(r.bytes()))
	}
	e.LastResponse = string(r.bytes())
	e.Order = string(r.bytes())
	if e.Order != "" {
		e.Index, e.Count = uint32(r.uvarint()), uint32(r.uvarint())
	}
	e.Meta = r.bytes()
	return r.end()
}

// Brief is what recovery needs of an envelope. Queue and Order alias the bytes that it was read from.
type Brief struct {
	Created, Due int64
	Attempts     uint32
	Size         uint32
	Queue        []byte
	Order        []byte
	Index, Count uint32
}

// Decode reads the brief part of an envelope without allocating.
func (e *Brief) Decode(b []byte) error {
	r := reader{b: b}
	e.Created = int64(r.u64())
	e.Due = int64(r.u64())
	e.Attempts = uint32(r.uvarint())
	e.Size = uint32(r.uvarint())
	if r.uvarint() != 0 {
		r.u32()
	}
	e.Queue = r.bytes()
	r.bytes()
	n := r.uvarint()
	for i := uint64(0); i < n && !r.bad; i++ {
		r.bytes()
	}
	r.bytes()
	e.Order = r.bytes()
	e.Index, e.Count = 0, 0
	if len(e.Order) > 0 {
		e.Index, e.Count = uint32(r.uvarint()), uint32(r.uvarint())
	}
	r.bytes()
	return r.end()
}

// AppendSchedule appends the head of a reschedule record.
func AppendSchedule(b []byte, due int64, attempts uint32) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(due))
	return binary.AppendUvarint(b, uint64(attempts))
}

// DecodeSchedule reads the head of a reschedule record.
func DecodeSchedule(b []byte) (due int64, attempts uint32, err error) {
	r := reader{b: b}
	due, attempts = int64(r.u64()), uint32(r.uvarint())
	return due, attempts, r.end()
}

// AppendOrderDone appends the head of an order-done record. result is the order's own JSON, "" for none.
func AppendOrderDone(b []byte, order string, ids [][16]byte, result string) []byte {
	b = AppendString(b, order)
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return AppendString(b, result)
}

// DecodeOrderDone reads the head of an order-done record.
func DecodeOrderDone(b []byte) (order string, ids [][16]byte, result string, err error) {
	r := reader{b: b}
	order = string(r.bytes())
	n := r.uvarint()
	if n > uint64(len(r.b)/16) {
		return "", nil, "", ErrEnvelope
	}
	ids = make([][16]byte, 0, n)
	for range n {
		ids = append(ids, [16]byte(r.take(16)))
	}
	result = string(r.bytes())
	return order, ids, result, r.end()
}

// reader takes values off b; after the first that is not there everything is zero and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || uint64(len(r.b)) < n {
		r.bad = true
		return make([]byte, min(n, 16))
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || r.bad {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if r.bad || uint64(len(r.b)) < n {
		r.bad = true
		return nil
	}
	return r.take(n)
}

func (r *reader) end() error {
	if r.bad || len(r.b) != 0 {
		return ErrEnvelope
	}
	return nil
}
