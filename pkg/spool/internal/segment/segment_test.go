package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"kumo/pkg/message"
)

var testKey = Key{Mark: 0x1badcafe, Salt: 0x0123456789abcdef}

// encode writes what spool's envelope encoder writes; the round trip through the real one is tested there.
func (e *Envelope) encode(b []byte) []byte {
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
	return AppendString(b, string(e.Meta))
}

func testEnvelope() Envelope {
	return Envelope{
		Created: 1, Due: -1, Attempts: 300, Sender: "a@b", Recipients: []string{"c@d", ""}, Queue: "q", LastResponse: "451 x",
		Meta: []byte(`{"a":1}`), Order: "o", Index: 1, Count: 2, Size: 5, Behind: 99, ShareCRC: 7,
	}
}

func testSegment() []byte {
	b := Header{Key: testKey, Number: 7, Prev: 6, PrevEnd: 1234, Created: 5}.Append(nil)
	for i := range 3 {
		at := len(b)
		e := testEnvelope()
		b = e.encode(Reserve(b))
		body := bytes.Repeat([]byte{byte(i)}, 100*i)
		testKey.Seal(b, at, Accept, message.ID{byte(i)}, uint32(len(body)), Checksum(body))
		b = append(b, body...)
	}
	at := len(b)
	b = append(Reserve(b), 1)
	testKey.Seal(b, at, End, message.ID{1}, 0, 0)
	return b
}

func TestHeaderRoundTrip(t *testing.T) {
	h := Header{Key: testKey, Number: 1 << 40, Prev: 3, PrevEnd: 1 << 33, Created: -4}
	b := h.Append([]byte("xx"))[2:]
	if len(b) != HeaderSize {
		t.Fatalf("%d bytes", len(b))
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 0x10
		if got, err := ParseHeader(c); err != nil || got != h {
			t.Errorf("byte %d damaged: %+v, %v", i, got, err)
		}
	}
	for n := range copySize {
		if _, err := ParseHeader(b[:n]); !errors.Is(err, ErrHeader) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, at := range []int{0, copySize} { // a later format says so in both copies
		binary.LittleEndian.PutUint32(b[at+8:], Version+1)
		binary.LittleEndian.PutUint32(b[at+60:], Checksum(b[at:at+60]))
	}
	var newer *VersionError
	if _, err := ParseHeader(b); !errors.As(err, &newer) || newer.Have != Version+1 {
		t.Errorf("later format: %v", err)
	}
}

func TestEnvelopeRoundTrip(t *testing.T) {
	want := testEnvelope()
	b := want.encode(nil)
	var got Envelope
	if err := got.Decode(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	var brief Brief
	err := brief.Decode(b)
	if err != nil || brief.Due != want.Due || string(brief.Queue) != want.Queue || string(brief.Order) != want.Order ||
		brief.Index != 1 || brief.Count != 2 || brief.Size != want.Size || brief.Attempts != want.Attempts {
		t.Errorf("brief: %+v, %v", brief, err)
	}
	for n := range b {
		if got.Decode(b[:n]) == nil || brief.Decode(b[:n]) == nil {
			t.Errorf("cut at %d of %d is taken", n, len(b))
		}
	}
	if got.Decode(append(b, 0)) == nil || brief.Decode(append(b, 0)) == nil {
		t.Error("a byte too many is taken")
	}
}

func TestOrderDoneRoundTrip(t *testing.T) {
	ids := [][16]byte{{1}, {2}}
	b := AppendOrderDone(nil, "order", ids, `{"x":1}`)
	order, got, result, err := DecodeOrderDone(b)
	if err != nil || order != "order" || !reflect.DeepEqual(got, ids) || result != `{"x":1}` {
		t.Errorf("%q %v %q %v", order, got, result, err)
	}
	for n := range b {
		if _, _, _, err := DecodeOrderDone(b[:n]); err == nil {
			t.Errorf("cut at %d is taken", n)
		}
	}
}

// scan checks what a scan promises whatever the bytes are, and returns the ids that it found.
func scan(t *testing.T, data []byte) []message.ID {
	t.Helper()
	var ids []message.ID
	at := int64(HeaderSize)
	s := Scanner{
		Key: testKey, Limit: int64(len(data)),
		Intact: func(r Record) error {
			if r.Off != at || r.Off+r.Total() > int64(len(data)) || int64(len(r.Data)) != int64(r.Head) {
				t.Errorf("record %+v at %d of %d", r.Frame, at, len(data))
			}
			at = r.Off + r.Total()
			ids = append(ids, r.ID)
			var e Envelope
			var b Brief
			if (e.Decode(r.Data) == nil) != (b.Decode(r.Data) == nil) {
				t.Errorf("envelope and brief of %x do not agree", r.Data)
			}
			return nil
		},
		Damaged: func(d Damage) {
			if d.Off != at || d.End <= d.Off || d.End > int64(len(data)) {
				t.Errorf("damage %+v at %d of %d", d, at, len(data))
			}
			at = d.End
		},
	}
	end, err := s.Scan(bytes.NewReader(data), HeaderSize)
	if err != nil || end > int64(len(data)) || len(data) > HeaderSize && at != int64(len(data)) {
		t.Errorf("scan ended at %d and %d of %d: %v", end, at, len(data), err)
	}
	return ids
}

func TestScan(t *testing.T) {
	data := testSegment()
	if ids := scan(t, data); len(ids) != 4 || ids[3] != (message.ID{1}) {
		t.Errorf("%v", ids)
	}
	for i := HeaderSize; i < len(data); i++ {
		bad := bytes.Clone(data)
		bad[i] ^= 0x20
		if ids := scan(t, bad); len(ids) != 3 {
			t.Errorf("byte %d damaged: %d records", i, len(ids))
		}
		garbage := bytes.Repeat(data[HeaderSize:HeaderSize+7], i)[:i-HeaderSize]
		garbled := append(append(bytes.Clone(data[:HeaderSize]), garbage...), data[HeaderSize:]...)
		if ids := scan(t, garbled); len(ids) != 4 {
			t.Errorf("%d bytes of garbage before the records: %d records", i-HeaderSize, len(ids))
		}
	}
}

func TestScanOfARecordLongerThanItsWindow(t *testing.T) {
	data := testSegment()
	body := bytes.Repeat([]byte("long body "), 400_000)
	at := len(data)
	e := testEnvelope()
	data = e.encode(Reserve(data))
	testKey.Seal(data, at, Accept, message.ID{42}, uint32(len(body)), Checksum(body))
	data = append(data, body...)
	data = append(data, testSegment()[HeaderSize:]...)
	if ids := scan(t, data); len(ids) != 9 || ids[4] != (message.ID{42}) {
		t.Errorf("%d records", len(ids))
	}
	data[at+2_000_000] ^= 1
	if ids := scan(t, data); len(ids) != 8 {
		t.Errorf("with a damaged body: %d records", len(ids))
	}
	data[at+1] ^= 1
	if ids := scan(t, data); len(ids) != 8 {
		t.Errorf("with a damaged header: %d records", len(ids))
	}
}

// FuzzScan puts hostile bytes behind a good header.
func FuzzScan(f *testing.F) {
	data := testSegment()
	f.Add(data[HeaderSize:], uint16(0), byte(0))
	f.Add(data[HeaderSize:], uint16(5), byte(1))
	f.Add(data[HeaderSize:len(data)-7], uint16(60), byte(255))
	f.Add([]byte{0xfe, 0xca, 0xad, 0x1b, 1, 1}, uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, tail []byte, at uint16, x byte) {
		b := append(bytes.Clone(data[:HeaderSize]), tail...)
		if i := HeaderSize + int(at); i < len(b) {
			b[i] ^= x
		}
		scan(t, b)
		_, _ = ParseHeader(tail)
		_, _, _, _ = DecodeOrderDone(tail)
		_, _, _ = DecodeSchedule(tail)
	})
}

// FuzzEnvelope decodes hostile heads.
func FuzzEnvelope(f *testing.F) {
	e := testEnvelope()
	f.Add(e.encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Envelope
		var brief Brief
		err := e.Decode(b)
		if (err == nil) != (brief.Decode(b) == nil) {
			t.Fatalf("envelope: %v, brief does not agree", err)
		}
		if err != nil {
			return
		}
		var again Envelope
		if err := again.Decode(e.encode(nil)); err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("%+v became %+v: %v", e, again, err)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	data := testSegment()[:HeaderSize]
	body := bytes.Repeat([]byte("x"), 1024)
	for i := range 10_000 {
		at := len(data)
		e := testEnvelope()
		data = e.encode(Reserve(data))
		testKey.Seal(data, at, Accept, message.ID{byte(i)}, uint32(len(body)), Checksum(body))
		data = append(data, body...)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	s := Scanner{Key: testKey, Limit: int64(len(data)), Intact: func(Record) error { return nil }, Damaged: func(Damage) {}}
	for b.Loop() {
		if _, err := s.Scan(bytes.NewReader(data), HeaderSize); err != nil {
			b.Fatal(err)
		}
	}
}
