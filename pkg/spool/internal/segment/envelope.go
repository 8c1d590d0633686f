package segment

import (
	"encoding/binary"
	"errors"
	"time"

	"kumo/pkg/message"
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

	Extra
}

// Extra is what format 2 adds to an envelope. Nothing is written when all of it is empty.
type Extra struct {
	Standing
	History []message.Try // latest attempts, oldest first
}

// Standing is what orders have made of a message.
type Standing struct {
	Hold      string // order that holds it, "" if none
	Trash     string // order that bounced it into the trash, "" if none
	TrashedAt int64  // nanoseconds since 1970
}

// The parts of an Extra, as a set of bits.
const (
	extraHold = 1 << iota
	extraTrash
	extraHistory
	extraAll = 1<<iota - 1
)

// AppendExtra appends x, nothing if it is empty.
func AppendExtra(b []byte, x *Extra) []byte {
	var parts byte
	if x.Hold != "" {
		parts |= extraHold
	}
	if x.Trash != "" {
		parts |= extraTrash
	}
	if len(x.History) > 0 {
		parts |= extraHistory
	}
	if parts == 0 {
		return b
	}
	b = append(b, parts)
	if x.Hold != "" {
		b = AppendString(b, x.Hold)
	}
	if x.Trash != "" {
		b = AppendString(b, x.Trash)
		b = binary.LittleEndian.AppendUint64(b, uint64(x.TrashedAt))
	}
	if len(x.History) > 0 {
		b = binary.AppendUvarint(b, uint64(len(x.History)))
	}
	for i := range x.History {
		t := &x.History[i]
		b = binary.LittleEndian.AppendUint64(b, uint64(unixNano(t.At)))
		b = AppendString(b, t.Response)
		b = AppendString(b, t.Source)
		b = AppendString(b, t.Peer)
	}
	return b
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// extra reads what AppendExtra wrote; with history only if keep is set.
func (r *reader) extra(x *Extra, keep bool) {
	*x = Extra{}
	if len(r.b) == 0 || r.bad {
		return
	}
	parts := r.take(1)[0]
	if parts == 0 || parts > extraAll {
		r.bad = true
	}
	if parts&extraHold != 0 {
		x.Hold = string(r.bytes())
	}
	if parts&extraTrash != 0 {
		x.Trash, x.TrashedAt = string(r.bytes()), int64(r.u64())
	}
	if parts&extraHistory == 0 {
		return
	}
	n := r.uvarint()
	if n > message.MaxHistory {
		r.bad = true
		return
	}
	for i := uint64(0); i < n && !r.bad; i++ {
		at, response, source, peer := r.u64(), r.bytes(), r.bytes(), r.bytes()
		if keep && !r.bad {
			x.History = append(x.History, message.Try{
				At: fromNano(int64(at)), Response: string(response), Source: string(source), Peer: string(peer),
			})
		}
	}
}

// ErrEnvelope is a head that is not what its kind says.
var ErrEnvelope = errors.New("malformed record")

// AppendString appends a length and s.
func AppendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// Append appends what Decode reads.
func (e *Envelope) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Created))
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Due))
	b = binary.AppendUvarint(b, uint64(e.Attempts))
	b = binary.AppendUvarint(b, uint64(e.Size))
	b = binary.AppendUvarint(b, e.Behind)
	if e.Behind != 0 {
		b = binary.LittleEndian.AppendUint32(b, e.ShareCRC)
	}
	b = AppendString(b, e.Queue)
	b = AppendString(b, e.Sender)
	b = binary.AppendUvarint(b, uint64(len(e.Recipients)))
	for _, r := range e.Recipients {
		b = AppendString(b, r)
	}
	b = AppendString(b, e.LastResponse)
	b = AppendString(b, e.Order)
	if e.Order != "" {
		b = binary.AppendUvarint(b, uint64(e.Index))
		b = binary.AppendUvarint(b, uint64(e.Count))
	}
	b = binary.AppendUvarint(b, uint64(len(e.Meta)))
	b = append(b, e.Meta...)
	return AppendExtra(b, &e.Extra)
}

// Decode reads what Append, and for new messages the spool, wrote. Meta aliases b; the strings are copies.
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
	r.extra(&e.Extra, true)
	return r.end()
}

// Brief is what recovery needs of an envelope. Queue and Order alias the bytes that it was read from.
type Brief struct {
	Created, Due int64
	Attempts     uint32
	Size         uint32
	Behind       uint64
	ShareCRC     uint32
	Queue        []byte
	Order        []byte
	Index, Count uint32
	Extra        // without the history
}

// Decode reads the brief part of an envelope; it allocates only for messages that orders have changed.
func (e *Brief) Decode(b []byte) error {
	r := reader{b: b}
	e.Created = int64(r.u64())
	e.Due = int64(r.u64())
	e.Attempts = uint32(r.uvarint())
	e.Size = uint32(r.uvarint())
	e.Behind, e.ShareCRC = r.uvarint(), 0
	if e.Behind != 0 {
		e.ShareCRC = r.u32()
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
	r.extra(&e.Extra, false)
	return r.end()
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
