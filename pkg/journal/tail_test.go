package journal

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
)

func frameOf(t testing.TB, text string, o ...zstd.EOption) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, o...)
	if err != nil {
		t.Fatal(err)
	}
	return enc.EncodeAll([]byte(text), nil)
}

func line(n int) string { return fmt.Sprintf(`{"type":"Delivery","id":"x","num_attempts":%d}`+"\n", n) }

func collect(t *testing.T, o TailOptions) (numbers []int, warnings []string) {
	t.Helper()
	o.Warn = func(err error) { warnings = append(warnings, err.Error()) }
	for e, err := range Tail(t.Context(), o) {
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, e.Attempts)
	}
	return numbers, warnings
}

func put(t *testing.T, dir, name string, mode os.FileMode, parts ...[]byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), bytes.Join(parts, nil), mode); err != nil {
		t.Fatal(err)
	}
}

func TestTailPassesDamageOver(t *testing.T) {
	good := frameOf(t, line(1)+line(2))
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1 // the checksum
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}
	tests := []struct {
		name  string
		parts [][]byte
		want  string
		warn  string
	}{
		{"good", [][]byte{good, good}, "[1 2 1 2]", ""},
		{"empty", nil, "[]", ""},
		{"torn", [][]byte{good, good[:len(good)-3]}, "[1 2]", "no whole frame"},
		{"header only", [][]byte{good, good[:3]}, "[1 2]", "no whole frame"},
		{"checksum", [][]byte{good, bad, good}, "[1 2 1 2]", "CRC"},
		{"garbage", [][]byte{good, []byte("this is not zstd at all")}, "[1 2]", "not a zstd frame"},
		{"skippable frame", [][]byte{skippable, good}, "[1 2]", ""},
		{"no record", [][]byte{frameOf(t, line(1)+"id,sender\n\n"+line(2))}, "[1 2]", "not a record"},
		{"no line end", [][]byte{frameOf(t, strings.TrimSuffix(line(1), "\n")), good}, "[1 1 2]", ""},
		{"raw block", [][]byte{frameOf(t, line(3), zstd.WithEncoderCRC(false))}, "[3]", ""},
		{"long line", [][]byte{frameOf(t, `{"type":"`+strings.Repeat("x", 200_000)+`","num_attempts":4}`+"\n"+line(5))}, "[4 5]", ""},
		{"too long", [][]byte{frameOf(t, strings.Repeat("x", maxLine+70_000)), good}, "[1 2]", "longer than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "20260301-120000.000000000", 0o444, tt.parts...)
			got, warnings := collect(t, TailOptions{Dir: dir})
			if fmt.Sprint(got) != tt.want {
				t.Errorf("read %v, want %s", got, tt.want)
			}
			if (len(warnings) > 0) != (tt.warn != "") || !strings.Contains(strings.Join(warnings, "\n"), tt.warn) {
				t.Errorf("warned %q, want %q", warnings, tt.warn)
			}
		})
	}
}

func TestTailReadsKumoMTASegments(t *testing.T) {
	dir := t.TempDir()
	var text strings.Builder
	for i := range 20_000 {
		text.WriteString(line(i))
	}
	var one bytes.Buffer
	w, _ := zstd.NewWriter(&one)
	_, _ = w.Write([]byte(text.String()))
	_ = w.Close()
	put(t, dir, "20260301-120000", 0o444, one.Bytes())
	put(t, dir, "notes.txt", 0o444, []byte("hello"))
	got, warnings := collect(t, TailOptions{Dir: dir})
	if len(got) != 20_000 || len(warnings) != 0 {
		t.Errorf("%d records, warnings %v", len(got), warnings)
	}
}

func TestTailBeginsWhereItIsTold(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "20260301-120000.000000000", 0o444, frameOf(t, line(1)))
	put(t, dir, "20260301-130000.000000000_x", 0o644, frameOf(t, line(2)))
	put(t, dir, "20260301-140000.000000000", 0o644, frameOf(t, line(3)), frameOf(t, line(4))[:5])
	for from, want := range map[Start]string{FromOldest: "[1 2 3]", FromNewest: "[3]", FromEnd: "[]"} {
		if got, _ := collect(t, TailOptions{Dir: dir, From: from}); fmt.Sprint(got) != want {
			t.Errorf("from %d: %v, want %s", from, got, want)
		}
	}
	only := TailOptions{Dir: dir, Match: func(e *Entry) bool { return e.Attempts == 2 }}
	if got, _ := collect(t, only); fmt.Sprint(got) != "[2]" {
		t.Errorf("with Match: %v", got)
	}
}

func TestTailFollows(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j := openTest(t, FileOptions{LogDir: dir, MaxFileSize: 3000})
		done := make(chan error, 1)
		go func() { done <- j.Run(t.Context()) }()
		j.Record(numbered(0))
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan int)
		go func() {
			defer close(got)
			for e, err := range Tail(ctx, TailOptions{Dir: dir, From: FromEnd, Follow: true}) {
				if err != nil {
					t.Error(err)
				}
				got <- e.Attempts
			}
		}()
		synctest.Wait()
		for i := 1; i < 20; i++ {
			start := time.Now()
			j.Record(numbered(i))
			if n := <-got; n != i {
				t.Fatalf("followed to record %d, want %d", n, i)
			}
			if late := time.Since(start); late > time.Second {
				t.Errorf("record %d came after %v", i, late)
			}
		}
		cancel()
		if _, more := <-got; more {
			t.Error("the sequence goes on after its context ended")
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
}

func TestTailOfNothing(t *testing.T) {
	for _, err := range Tail(t.Context(), TailOptions{Dir: filepath.Join(t.TempDir(), "none")}) {
		if err == nil {
			t.Error("a directory that is not there is read")
		}
	}
}

func TestEntryKeepsTheLine(t *testing.T) {
	text := strings.TrimSuffix(string(encode(delivery(), nil, nil)), "\n")
	e, err := parseEntry([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if e.Peer.Addr != "142.251.2.27" || e.Response.Enhanced.Class != 2 || e.Recipients[0] != "user@recipient.example.com" ||
		!e.Time().Equal(testTime) {
		t.Errorf("read %+v", e)
	}
	if b, err := e.MarshalJSON(); err != nil || string(b) != text {
		t.Errorf("printed again: %s (%v)", b, err)
	}
	many, err := parseEntry([]byte(`{"recipient":["a","b"],"timestamp":7}`))
	if err != nil || len(many.Recipients) != 2 || many.Time().Unix() != 7 {
		t.Errorf("%+v, %v", many, err)
	}
}

func TestNodeID(t *testing.T) {
	dir := t.TempDir()
	const a, b = "557f3ad4-2c8c-11ee-976e-782d7e12e173", "00000000-0000-1000-8000-000000000001"
	file := filepath.Join(dir, "id")
	if err := os.WriteFile(file, []byte(b+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		id, path, want string
	}{
		{a, file, a},
		{"", file, b},
		{"nonsense", file, ""},
		{"", broken, ""},
		{"", filepath.Join(dir, "no", "id"), ""},
	}
	for _, tt := range tests {
		env := map[string]string{"KUMO_NODE_ID": tt.id, "KUMO_NODE_ID_PATH": tt.path}
		got, err := NodeID(func(k string) string { return env[k] })
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%v: %q, %v; want %q", env, got, err, tt.want)
		}
	}
	fresh := map[string]string{"KUMO_NODE_ID_PATH": filepath.Join(dir, "fresh")}
	first, err := NodeID(func(k string) string { return fresh[k] })
	if err != nil || first[14] != '1' {
		t.Fatalf("derived %q, %v; want a version 1 UUID", first, err)
	}
	if text, err := os.ReadFile(fresh["KUMO_NODE_ID_PATH"]); err != nil || strings.TrimSpace(string(text)) != first {
		t.Errorf("the file holds %q (%v), want %s", text, err, first)
	}
	if again := deriveNodeID(hardware()); again != first {
		t.Errorf("derived again: %s, then %s", first, again)
	}
}

func TestSegmentNames(t *testing.T) {
	tests := []struct {
		name, suffix string
		ok           bool
	}{
		{"20260301-120000", "", true},
		{"20260301-120000.123456", "", true},
		{"20260301-120000.123456789_recv", "_recv", true},
		{"20260301-120000.csv", ".csv", true},
		{"20260301-120000_x.1", "_x.1", true},
		{"20260301 120000", "", false},
		{"2026-301-120000", "", false},
		{".probe-1", "", false},
		{"", "", false},
	}
	for _, tt := range tests {
		if s, ok := segmentSuffix(tt.name); s != tt.suffix || ok != tt.ok {
			t.Errorf("%q: %q, %v", tt.name, s, ok)
		}
	}
}

func FuzzSegment(f *testing.F) {
	good := frameOf(f, line(1)+line(2))
	f.Add(good)
	f.Add(append(bytes.Clone(good), good[:7]...))
	f.Add([]byte{0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "20260301-120000"), b, 0o444); err != nil {
			t.Fatal(err)
		}
		for _, err := range Tail(t.Context(), TailOptions{Dir: dir}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
