package segment

import (
	"encoding/binary"
	"hash/crc32"

	"kumo/pkg/message"
)

// Kind says what a frame records.
type Kind uint8

const (
	Accept     Kind = iota + 1 // a message was taken: envelope, body
	Update                     // its envelope changed: the whole envelope again, no body
	Reschedule                 // its due time and attempts changed
	End                        // it has ended
	OrderDone                  // an order that brings mail in was carried out
	Order                      // an order that acts on mail was begun
	OrderOver                  // nothing lasts of it any more
	Applied                    // what an order changed about many messages
	Note                       // bytes kept for the next daemon
	NotesDone                  // notes that it has dealt with
	Void                       // nothing: a copy that was overtaken while it was made
	kinds
)

func (k Kind) String() string {
	switch k {
	case Accept:
		return "accept"
	case Update:
		return "update"
	case Reschedule:
		return "reschedule"
	case End:
		return "end"
	case OrderDone:
		return "order-done"
	case Order:
		return "order"
	case OrderOver:
		return "order-over"
	case Applied:
		return "applied"
	case Note:
		return "note"
	case NotesDone:
		return "notes-done"
	case Void:
		return "void"
	}
	return "unknown"
}

// FrameSize is the length of a frame's header.
const FrameSize = 44

// MaxHead and MaxBody bound the two sections of a frame.
const (
	MaxHead = 64 << 20
	MaxBody = 1 << 30
)

// Frame is a frame's header: what follows it are Head bytes of envelope (or the like) and Body bytes of mail.
type Frame struct {
	Kind    Kind
	ID      message.ID
	Head    uint32 // length
	Body    uint32 // length
	HeadCRC uint32
	BodyCRC uint32
}

// Total is the length of the whole frame.
func (f Frame) Total() int64 { return FrameSize + int64(f.Head) + int64(f.Body) }

// Checksum is the CRC32C that frames use.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// ChecksumMore is the Checksum of what crc is the checksum of, and b behind it.
func ChecksumMore(crc uint32, b []byte) uint32 { return crc32.Update(crc, castagnoli, b) }

// AppendFrame appends the header of f, sealed with k.
func (k Key) AppendFrame(b []byte, f Frame) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, k.Mark)
	b = append(b, byte(f.Kind), Version, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, f.Head)
	b = binary.LittleEndian.AppendUint32(b, f.Body)
	b = append(b, f.ID[:]...)
	b = binary.LittleEndian.AppendUint32(b, f.HeadCRC)
	b = binary.LittleEndian.AppendUint32(b, f.BodyCRC)
	return binary.LittleEndian.AppendUint32(b, k.seal(b[at:at+FrameSize-4]))
}

// Reserve appends room for a frame header that Seal fills in when the head behind it is written.
func Reserve(b []byte) []byte {
	var room [FrameSize]byte
	return append(b, room[:]...)
}

// Seal fills in the header reserved at b[at:]; the head is everything behind it.
func (k Key) Seal(b []byte, at int, kind Kind, id message.ID, bodyLen, bodyCRC uint32) {
	head := b[at+FrameSize:]
	k.AppendFrame(b[at:at], Frame{
		Kind: kind, ID: id, Head: uint32(len(head)), HeadCRC: Checksum(head), Body: bodyLen, BodyCRC: bodyCRC,
	})
}

// Revoke turns the sealed frame at the begin of b into one of kind Void. Its lengths stay, so that what follows keeps
// its place, and so do its bytes, which others may share.
func (k Key) Revoke(b []byte) {
	b[4] = byte(Void)
	binary.LittleEndian.PutUint32(b[FrameSize-4:], k.seal(b[:FrameSize-4]))
}

// ParseFrame reads a frame header from b; false when it does not prove itself.
func (k Key) ParseFrame(b []byte) (Frame, bool) {
	if len(b) < FrameSize || binary.LittleEndian.Uint32(b) != k.Mark {
		return Frame{}, false
	}
	if binary.LittleEndian.Uint32(b[FrameSize-4:]) != k.seal(b[:FrameSize-4]) {
		return Frame{}, false
	}
	f := Frame{
		Kind:    Kind(b[4]),
		Head:    binary.LittleEndian.Uint32(b[8:]),
		Body:    binary.LittleEndian.Uint32(b[12:]),
		ID:      message.ID(b[16:32]),
		HeadCRC: binary.LittleEndian.Uint32(b[32:]),
		BodyCRC: binary.LittleEndian.Uint32(b[36:]),
	}
	ok := f.Kind > 0 && f.Kind < kinds && b[5] <= Version && f.Head <= MaxHead && f.Body <= MaxBody
	return f, ok
}

func (k Key) seal(b []byte) uint32 {
	return crc32.Update(uint32(k.Salt)^uint32(k.Salt>>32), castagnoli, b)
}
