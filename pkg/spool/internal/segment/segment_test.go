package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"kumo/pkg/message"
)

var testKey = Key{Mark: 0x1badcafe, Salt: 0x0123456789abcdef}

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
		b = e.Append(Reserve(b))
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
	plain, extra := testEnvelope(), testEnvelope()
	extra.Extra = Extra{
		Standing: Standing{Hold: "h", Trash: "x", TrashedAt: 77},
		History:  []message.Try{{At: time.Unix(5, 6), Response: "451", Source: "s", Peer: "p"}, {Response: "452"}},
	}
	held := testEnvelope()
	held.Hold = "h"
	for _, want := range []Envelope{plain, extra, held} {
		envelopeRoundTrip(t, want)
	}
	long := testEnvelope()
	long.History = make([]message.Try, message.MaxHistory+1)
	if long.Decode(long.Append(nil)) == nil {
		t.Error("a history that is too long is taken")
	}
}

func envelopeRoundTrip(t *testing.T, want Envelope) {
	t.Helper()
	b := want.Append(nil)
	var got Envelope
	if err := got.Decode(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	var brief Brief
	err := brief.Decode(b)
	if err != nil || brief.Due != want.Due || string(brief.Queue) != want.Queue || string(brief.Order) != want.Order ||
		brief.Index != 1 || brief.Count != 2 || brief.Size != want.Size || brief.Attempts != want.Attempts ||
		brief.Standing != want.Standing || brief.History != nil {
		t.Errorf("brief: %+v, %v", brief, err)
	}
	for n := range b {
		plain := want
		plain.Extra = Extra{}
		if n == len(plain.Append(nil)) {
			continue // nothing is missing: it is the same without the extra
		}
		if got.Decode(b[:n]) == nil || brief.Decode(b[:n]) == nil {
			t.Errorf("cut at %d of %d is taken", n, len(b))
		}
	}
	if got.Decode(append(b, 0)) == nil || brief.Decode(append(b, 0)) == nil {
		t.Error("a byte too many is taken")
	}
}

func TestOrderDoneRoundTrip(t *testing.T) {
	ids := []message.ID{{1}, {2}}
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

func TestRecordsOfOrdersRoundTrip(t *testing.T) {
	order := OrderHead{ID: "o", Kind: "hold", Created: -5, Author: "a", Payload: []byte("{}")}
	applied := AppliedHead{Order: "o", Change: 3, At: 5, Due: -6, IDs: []message.ID{{1}, {2}}}
	var gotOrder OrderHead
	var gotApplied AppliedHead
	for _, c := range []struct {
		name   string
		bytes  []byte
		decode func([]byte) error
		same   func() bool
	}{
		{"order", AppendOrder(nil, &order), gotOrder.Decode, func() bool { return reflect.DeepEqual(gotOrder, order) }},
		{"applied", AppendApplied(nil, &applied), gotApplied.Decode, func() bool { return reflect.DeepEqual(gotApplied, applied) }},
		{"notes-done", AppendNotesDone(nil, applied.IDs), func(b []byte) error {
			ids, err := DecodeNotesDone(b)
			if err == nil && !slices.Equal(ids, applied.IDs) {
				t.Errorf("ids %v", ids)
			}
			return err
		}, func() bool { return true }},
		{"order-over", AppendString(nil, "o"), func(b []byte) error { _, err := DecodeOrderOver(b); return err }, func() bool { return true }},
	} {
		if err := c.decode(c.bytes); err != nil || !c.same() {
			t.Errorf("%s: %v", c.name, err)
		}
		for n := range c.bytes {
			if c.decode(c.bytes[:n]) == nil {
				t.Errorf("%s: cut at %d is taken", c.name, n)
			}
		}
		if c.decode(append(c.bytes, 0)) == nil {
			t.Errorf("%s: a byte too many is taken", c.name)
		}
	}
}

func TestARevokedRecordKeepsItsPlace(t *testing.T) {
	b := testSegment()
	testKey.Revoke(b[HeaderSize:])
	var kinds []Kind
	s := Scanner{
		Key: testKey, Limit: int64(len(b)),
		Intact:  func(r Record) error { kinds = append(kinds, r.Kind); return nil },
		Damaged: func(d Damage) { t.Errorf("%+v", d) },
	}
	if _, err := s.Scan(bytes.NewReader(b), HeaderSize); err != nil || !slices.Equal(kinds, []Kind{Void, Accept, Accept, End}) {
		t.Errorf("%v, %v", kinds, err)
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
	data = e.Append(Reserve(data))
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
	f.Add(e.Append(nil))
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
		if err := again.Decode(e.Append(nil)); err != nil || !reflect.DeepEqual(e, again) {
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
		data = e.Append(Reserve(data))
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
