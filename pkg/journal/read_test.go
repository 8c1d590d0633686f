package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"kumo/pkg/message"
)

var readDay = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fact is a record of message n at second s.
func fact(typ Type, n, s int) string {
	at := readDay.Add(time.Duration(s) * time.Second)
	return fmt.Sprintf(`{"type":"%s","id":"%s","sender":"a\"b@x","recipient":"r%d@y","response":{"code":250,"content":"{}]"},"timestamp":%d,"event_time":"%s","created":%d,"created_time":"%s","num_attempts":%d}`+"\n",
		typ, message.ID{1, byte(n)}, n, at.Unix(), at.Format(time.RFC3339Nano), at.Unix(), at.Format(time.RFC3339Nano), n)
}

func stamp(s int) string { return readDay.Add(time.Duration(s) * time.Second).Format(nameLayout) }

// found reads all and returns the numbers of the records, and what was warned of.
func found(t *testing.T, o ReadOptions) (numbers []int, warned string) {
	t.Helper()
	var warnings []string
	o.Warn = func(err error) { warnings = append(warnings, err.Error()) }
	for e, err := range Read(t.Context(), o) {
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, e.Attempts)
	}
	return numbers, strings.Join(warnings, "\n")
}

func TestReadGivesTheOrderOfTime(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	put(t, a, stamp(0), 0o444, frameOf(t, fact(Reception, 1, 0)+fact(Reception, 3, 20)), frameOf(t, fact(Reception, 6, 50)))
	put(t, a, stamp(60), 0o644, frameOf(t, fact(Reception, 7, 60)))
	put(t, a, stamp(10)+"_d", 0o444, frameOf(t, fact(Delivery, 2, 10)+fact(Delivery, 5, 40)))
	put(t, b, stamp(30), 0o444, frameOf(t, fact(Bounce, 4, 30)+fact(Bounce, 8, 4000)))
	put(t, b, "notes", 0o444, []byte("hello"))
	both := []string{a, b, filepath.Join(b, "nothing"), a + "/"}
	at := func(s int) time.Time { return readDay.Add(time.Duration(s) * time.Second) }
	for _, c := range []struct {
		name string
		o    ReadOptions
		want string
	}{
		{"all", ReadOptions{}, "[1 2 3 4 5 6 7 8]"},
		{"types", ReadOptions{Types: []Type{Delivery, Bounce}}, "[2 4 5 8]"},
		{"ids", ReadOptions{IDs: []message.ID{{1, 6}, {1, 2}, {9}}}, "[2 6]"},
		{"no ids", ReadOptions{IDs: []message.ID{}}, "[]"},
		{"since", ReadOptions{Since: at(30)}, "[4 5 6 7 8]"},
		{"until", ReadOptions{Until: at(30)}, "[1 2 3]"},
		{"range", ReadOptions{Since: at(20), Until: at(21)}, "[3]"},
	} {
		c.o.Dirs = both
		got, warned := found(t, c.o)
		if fmt.Sprint(got) != c.want || warned != "" {
			t.Errorf("%s: %v, want %s; %s", c.name, got, c.want, warned)
		}
	}
}

func TestReadSeeks(t *testing.T) {
	dir := t.TempDir()
	var file []byte
	pad := strings.Repeat("x", 2000)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	raw := uint32(1)
	for i := range 3000 { // text that does not compress
		var noise strings.Builder
		for range 2000 {
			raw = raw*1664525 + 1013904223
			noise.WriteByte('a' + byte(raw>>24)%26)
		}
		text := strings.Replace(fact(Delivery, i, i), `"sender":"`, `"sender":"`+pad+noise.String(), 1)
		file = enc.EncodeAll([]byte(text), file)
	}
	if len(file) <= seekFrom {
		t.Fatalf("%d bytes are too few for this test", len(file))
	}
	put(t, dir, stamp(0), 0o444, file)
	got, warned := found(t, ReadOptions{Dirs: []string{dir}, Since: readDay.Add(2998 * time.Second)})
	if fmt.Sprint(got) != "[2998 2999]" || warned != "" {
		t.Errorf("%v; %s", got, warned)
	}
	c, err := openCursor(filepath.Join(dir, stamp(0)), func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if c.seek(readDay.Add(2900 * time.Second)); c.off < c.size*9/10 {
		t.Errorf("reads from offset %d of %d", c.off, c.size)
	}
}

func TestReadPassesDamageOver(t *testing.T) {
	frame := func(n ...int) []byte {
		var text strings.Builder
		for _, i := range n {
			text.WriteString(fact(Delivery, i, i))
		}
		return frameOf(t, text.String())
	}
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[(at+len(b))%len(b)] ^= 0xff
		return b
	}
	stream := func(n, cut int) []byte { // as KumoMTA writes: one frame, flushed now and then
		var out bytes.Buffer
		w, _ := zstd.NewWriter(&out)
		for i := range n {
			_, _ = w.Write([]byte(fact(Delivery, i, i)))
			_ = w.Flush()
		}
		return out.Bytes()[:out.Len()-cut]
	}
	for _, c := range []struct {
		name  string
		parts [][]byte
		want  string
		warn  string
	}{
		{"torn", [][]byte{frame(1, 2), frame(3)[:20]}, "[1 2]", "no whole frame"},
		{"block length", [][]byte{frame(1), flip(frame(2), 7), frame(3)}, "[1 3]", "offset"},
		{"checksum", [][]byte{frame(1), flip(frame(2), -1), frame(3)}, "[1 3]", "CRC"},
		{"magic", [][]byte{frame(1), flip(frame(2), 0), frame(3), frame(4)}, "[1 3 4]", "not a zstd frame"},
		{"hole", [][]byte{frame(1), make([]byte, 4096), frame(3)}, "[1 3]", "not a zstd frame"},
		{"foreign", [][]byte{frameOf(t, "time,id\n"+fact(Delivery, 1, 1)+"{\"type\":\n[]\n"), frame(2)}, "[1 2]", "3 lines are no records"},
		{"KumoMTA", [][]byte{stream(5, 0)}, "[0 1 2 3 4]", "no whole frame"},
		{"KumoMTA, torn", [][]byte{stream(5, 9)}, "[0 1 2 3]", "no whole frame"},
		{"no time", [][]byte{frameOf(t, `{"type":"Delivery","id":"x","num_attempts":4}`+"\n")}, "[4]", ""},
		{"other order", [][]byte{frameOf(t, ` { "num_attempts" : 4 , "id":null, "type" : "Delivery" } `+"\n")}, "[4]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, stamp(0), 0o444, c.parts...)
			got, warned := found(t, ReadOptions{Dirs: []string{dir}})
			if fmt.Sprint(got) != c.want || (warned == "") != (c.warn == "") || !strings.Contains(warned, c.warn) {
				t.Errorf("%v, want %s; warned %q, want %q", got, c.want, warned, c.warn)
			}
		})
	}
	t.Run("being written", func(t *testing.T) {
		dir := t.TempDir()
		put(t, dir, stamp(0), 0o644, frame(1), frame(2)[:30])
		if got, warned := found(t, ReadOptions{Dirs: []string{dir}}); fmt.Sprint(got) != "[1]" || warned != "" {
			t.Errorf("%v; %s", got, warned)
		}
	})
}

func TestReadBoundsWhatIsOpen(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 * maxCursors {
		put(t, dir, fmt.Sprintf("%s_%d", stamp(0), i), 0o444, frameOf(t, fact(Delivery, i, i)))
	}
	o := ReadOptions{Dirs: []string{dir}}
	s := &scan{o: o, filter: newFilter(&o)}
	if err := s.list(); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	n := 0
	s.f = func(*Line) error {
		if n++; len(s.open) > maxCursors {
			t.Fatalf("%d segments are open", len(s.open))
		}
		return nil
	}
	if err := s.run(t.Context()); err != nil || n != 3*maxCursors {
		t.Errorf("%d records, %v", n, err)
	}
}

func TestScanEnds(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, stamp(0), 0o444, frameOf(t, fact(Delivery, 1, 1)+fact(Delivery, 2, 2)))
	boom := errors.New("boom")
	if err := Scan(t.Context(), ReadOptions{Dirs: []string{dir}}, func(*Line) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
	for range Read(t.Context(), ReadOptions{Dirs: []string{dir}}) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Scan(ctx, ReadOptions{Dirs: []string{dir}}, func(*Line) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := Scan(t.Context(), ReadOptions{Dirs: []string{filepath.Join(dir, stamp(0))}}, nil); err == nil {
		t.Error("a file is taken for a directory")
	}
}

func TestLineFields(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, stamp(0), 0o444, frameOf(t, fact(Delivery, 1, 1)+
		strings.Replace(fact(Bounce, 2, 2), `"recipient":"r2@y"`, `"recipient":["x@y","\u0041@z"]`, 1)+
		strings.Replace(fact(Bounce, 3, 3), `"recipient":"r3@y"`, `"recipient":""`, 1)))
	var got []string
	err := Scan(t.Context(), ReadOptions{Dirs: []string{dir}}, func(l *Line) error {
		var rcpts []string
		l.EachRecipient(func(r []byte) { rcpts = append(rcpts, string(r)) })
		got = append(got, fmt.Sprintf("%s %d %t %v %s%s", l.Type, l.ID[1], l.Created().Equal(l.Time), rcpts, l.Field("sender"), l.Field("nothing")))
		return nil
	})
	want := []string{`Delivery 1 true [r1@y] "a\"b@x"`, `Bounce 2 true [x@y A@z] "a\"b@x"`, `Bounce 3 true [] "a\"b@x"`}
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestReadWhileItIsWritten(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, FileOptions{LogDir: dir})
	defer j.Close()
	for n := range 3 {
		j.Record(numbered(n))
		if err := j.Flush(); err != nil {
			t.Fatal(err)
		}
		if got, warned := found(t, ReadOptions{Dirs: []string{dir}}); len(got) != n+1 || warned != "" {
			t.Errorf("after %d records: %v %s", n+1, got, warned)
		}
	}
}

// FuzzEachField proves that the quick look at a line agrees with encoding/json, and never panics.
func FuzzEachField(f *testing.F) {
	f.Add([]byte(fact(Delivery, 1, 1)))
	f.Add([]byte(`{"a":{"b":["\\\"",{}]},"type":"x" , "id" : 1.5e3}`))
	f.Add([]byte(`{"type":"\\`))
	f.Fuzz(func(t *testing.T, line []byte) {
		got := map[string]string{}
		ok := eachField(line, func(k, v []byte) bool { got[string(k)] = string(v); return true })
		var h head
		h.read(line)
		h.quick(line)
		l := Line{Raw: line, head: h}
		l.Created()
		l.EachRecipient(func([]byte) {})
		var want map[string]json.RawMessage
		if json.Unmarshal(line, &want) != nil || want == nil {
			return
		}
		if !ok {
			t.Fatalf("%q is an object", line)
		}
		for k, v := range got {
			var name string
			if json.Unmarshal([]byte(`"`+k+`"`), &name) != nil || name != k {
				continue // an escaped name
			}
			if string(want[name]) != v && !bytes.Contains(line, []byte(`\`)) && bytes.Count(line, []byte(`"`+name+`"`)) == 1 {
				t.Fatalf("%s: %q, want %q", k, v, want[name])
			}
		}
	})
}

func BenchmarkScan(b *testing.B) {
	dir := b.TempDir()
	const n = 50_000
	j, err := Open(Config{Files: []FileOptions{{LogDir: dir}}})
	if err != nil {
		b.Fatal(err)
	}
	r := delivery()
	for range n {
		j.Record(r)
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	for name, o := range map[string]ReadOptions{"all": {}, "id": {IDs: []message.ID{{9}}}} {
		o.Dirs = []string{dir}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := Scan(b.Context(), o, func(*Line) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "records/s")
		})
	}
	_ = os.RemoveAll(dir)
}
