package segment

import (
	"encoding/binary"

	"kumo/pkg/message"
)

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
func AppendOrderDone(b []byte, order string, ids []message.ID, result string) []byte {
	b = appendIDs(AppendString(b, order), ids)
	return AppendString(b, result)
}

// DecodeOrderDone reads the head of an order-done record.
func DecodeOrderDone(b []byte) (order string, ids []message.ID, result string, err error) {
	r := reader{b: b}
	order, ids, result = string(r.bytes()), r.ids(), string(r.bytes())
	return order, ids, result, r.end()
}

// OrderHead is the head of an order record: what must be known of an order while something lasts of it.
type OrderHead struct {
	ID      string
	Kind    string
	Created int64 // nanoseconds since 1970
	Author  string
	Payload []byte // JSON
}

// AppendOrder appends the head of an order record.
func AppendOrder(b []byte, o *OrderHead) []byte {
	b = AppendString(b, o.ID)
	b = AppendString(b, o.Kind)
	b = binary.LittleEndian.AppendUint64(b, uint64(o.Created))
	b = AppendString(b, o.Author)
	return AppendString(b, string(o.Payload))
}

// Decode reads the head of an order record.
func (o *OrderHead) Decode(b []byte) error {
	r := reader{b: b}
	o.ID, o.Kind = string(r.bytes()), string(r.bytes())
	o.Created = int64(r.u64())
	o.Author = string(r.bytes())
	o.Payload = append([]byte(nil), r.bytes()...)
	return r.end()
}

// DecodeOrderOver reads the head of an order-over record, which is one string: the order.
func DecodeOrderOver(b []byte) (string, error) {
	r := reader{b: b}
	id := string(r.bytes())
	return id, r.end()
}

// AppliedHead is the head of an applied record.
type AppliedHead struct {
	Order  string
	Change byte
	At     int64 // nanoseconds since 1970
	Due    int64 // nanoseconds since 1970, for changes that have one
	IDs    []message.ID
}

// AppendApplied appends the head of an applied record.
func AppendApplied(b []byte, a *AppliedHead) []byte {
	b = AppendString(b, a.Order)
	b = append(b, a.Change)
	b = binary.LittleEndian.AppendUint64(b, uint64(a.At))
	b = binary.LittleEndian.AppendUint64(b, uint64(a.Due))
	return appendIDs(b, a.IDs)
}

// Decode reads the head of an applied record.
func (a *AppliedHead) Decode(b []byte) error {
	r := reader{b: b}
	a.Order = string(r.bytes())
	a.Change = r.take(1)[0]
	a.At, a.Due = int64(r.u64()), int64(r.u64())
	a.IDs = r.ids()
	return r.end()
}

// AppendNotesDone appends the head of a notes-done record.
func AppendNotesDone(b []byte, ids []message.ID) []byte { return appendIDs(b, ids) }

// DecodeNotesDone reads the head of a notes-done record.
func DecodeNotesDone(b []byte) ([]message.ID, error) {
	r := reader{b: b}
	ids := r.ids()
	return ids, r.end()
}

func appendIDs(b []byte, ids []message.ID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

func (r *reader) ids() []message.ID {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.b)/len(message.ID{})) {
		r.bad = true
		return nil
	}
	ids := make([]message.ID, n)
	for i := range ids {
		ids[i] = message.ID(r.take(16))
	}
	return ids
}
