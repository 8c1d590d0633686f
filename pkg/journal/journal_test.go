package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"kumo/pkg/option"
)

func openTest(t *testing.T, o ...FileOptions) *Journal {
	t.Helper()
	j, err := Open(Config{Files: o, NodeID: testNode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// numbered is a record that tells which one it is by num_attempts.
func numbered(n int) *Record {
	r := delivery()
	r.Attempts = n
	return r
}

func readAll(t *testing.T, dir string) []Entry {
	t.Helper()
	var all []Entry
	for e, err := range Tail(t.Context(), TailOptions{Dir: dir, Warn: func(err error) { t.Error(err) }}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func wantNumbers(t *testing.T, dir string, n int) {
	t.Helper()
	all := readAll(t, dir)
	if len(all) != n {
		t.Fatalf("%d records in %s, want %d", len(all), dir, n)
	}
	for i, e := range all {
		if e.Attempts != i {
			t.Fatalf("record %d has number %d", i, e.Attempts)
		}
	}
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "2*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestRecordsReadBackInOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	j := openTest(t, FileOptions{LogDir: dir})
	if got := segments(t, dir); len(got) != 0 {
		t.Fatalf("segments before the first record: %v", got)
	}
	for i := range 5000 {
		j.Record(numbered(i))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, dir, 5000)
	files := segments(t, dir)
	if len(files) != 1 {
		t.Fatalf("segments: %v", files)
	}
	info, err := os.Stat(files[0])
	if err != nil || info.Mode().Perm() != finishedMode {
		t.Errorf("a finished segment has mode %v (%v), want read-only", info.Mode(), err)
	}
}

func TestNoRecordNoSegment(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, FileOptions{LogDir: dir, PerRecord: map[string]PerRecord{"Delivery": {Enable: false}}})
	j.Record(delivery())
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if files := segments(t, dir); len(files) != 0 {
		t.Errorf("segments without a record: %v", files)
	}
}

func TestPerRecordChoosesPlaceAndName(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	j := openTest(t, FileOptions{LogDir: dir, PerRecord: map[string]PerRecord{
		"Reception": {Enable: true, Suffix: "_recv"},
		"Delivery":  {Enable: true, LogDir: other},
		AnyType:     {},
	}}, FileOptions{LogDir: filepath.Join(dir, "all")})
	for _, typ := range []Type{Reception, Delivery, Bounce} {
		r := delivery()
		r.Type = typ
		j.Record(r)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if files := segments(t, dir); len(files) != 1 || !strings.HasSuffix(files[0], "_recv") {
		t.Errorf("segments of receptions: %v", files)
	}
	if all := readAll(t, other); len(all) != 1 || all[0].Type != Delivery {
		t.Errorf("deliveries: %v", all)
	}
	if all := readAll(t, filepath.Join(dir, "all")); len(all) != 3 {
		t.Errorf("the second logger has %d records, want all 3", len(all))
	}
}

func TestSegmentsEndBySize(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, FileOptions{LogDir: dir, MaxFileSize: 10_000})
	for i := range 100 {
		j.Record(numbered(i))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, dir, 100)
	if n := len(segments(t, dir)); n < 9 || n > 15 {
		t.Errorf("%d segments for about 110,000 bytes", n)
	}
}

func TestFlushIsNeverMoreThanASecondBehind(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j := openTest(t, FileOptions{LogDir: dir, MaxSegmentDuration: option.Duration(time.Minute)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- j.Run(ctx) }()
		j.Record(numbered(0))
		time.Sleep(time.Second)
		wantNumbers(t, dir, 1)
		j.Record(numbered(1))
		time.Sleep(61 * time.Second) // the segment ends by age although nothing comes
		info, err := os.Stat(segments(t, dir)[0])
		if err != nil || info.Mode().Perm() != finishedMode {
			t.Errorf("a segment older than max_segment_duration has mode %v (%v)", info.Mode(), err)
		}
		j.Record(numbered(2))
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantNumbers(t, dir, 3)
		if n := len(segments(t, dir)); n != 2 {
			t.Errorf("%d segments, want 2", n)
		}
	})
}

func TestNamesAreUTCWithFractionAndKeepOrder(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 3, 1, 23, 30, 0, 5000, time.FixedZone("east", 2*3600))
	j, err := Open(Config{Files: []FileOptions{{LogDir: dir, MaxFileSize: 1}}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	j.Record(numbered(0))
	_ = j.Flush()
	now = now.Add(-time.Hour) // the clock goes back
	j.Record(numbered(1))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{"20260301-213000.000005000", "20260301-213000.000005001"}
	for i, f := range segments(t, dir) {
		if filepath.Base(f) != want[i] {
			t.Errorf("segment %d is called %s, want %s", i, filepath.Base(f), want[i])
		}
	}
	wantNumbers(t, dir, 2)
}

// TestZstdcatOfTheOpenSegment runs the real zstdcat while a writer works.
func TestZstdcatOfTheOpenSegment(t *testing.T) {
	zstdcat, err := exec.LookPath("zstdcat")
	if err != nil {
		t.Skip("SKIP: Debian package zstd is missing")
	}
	dir := t.TempDir()
	j := openTest(t, FileOptions{LogDir: dir})
	j.Record(numbered(0))
	if err := j.Flush(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 20_000 {
			j.Record(numbered(i))
			if i%20 == 0 {
				_ = j.Flush()
			}
		}
	})
	file := segments(t, dir)[0]
	for range 30 {
		cmd := exec.Command(zstdcat, file)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			t.Errorf("zstdcat of the open segment: %v: %s", err, stderr.String())
			break
		}
	}
	wg.Wait()
}

// A segment is seen when its first frame is in it and not before: zstdcat fails on an empty file.
func TestNoSegmentIsSeenEmpty(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, FileOptions{LogDir: dir, MaxFileSize: 1})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			for _, name := range segments(t, dir) {
				if info, err := os.Stat(name); err != nil || info.Size() == 0 {
					t.Errorf("%s: %v, empty: %v", name, err, err == nil)
					return
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for i := range 60 {
		j.Record(numbered(i))
		if err := j.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	wantNumbers(t, dir, 60)
}

// What a crash leaves between the making of a segment and its first frame goes at the next start; a name that is taken
// is not overwritten.
func TestHiddenSegments(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, ".20261120-145240.447105871"+hiddenMark)
	foreign := filepath.Join(dir, ".notes"+hiddenMark)
	if err := errors.Join(os.WriteFile(left, nil, 0o644), os.WriteFile(foreign, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	openTest(t, FileOptions{LogDir: dir})
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	taken := filepath.Join(dir, "20261120-120000.000000000")
	if err := os.WriteFile(taken, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := openSegment(dir, "", at)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.append([]byte("frame"), 5); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(taken); string(got) != "x" || filepath.Base(s.path) != "20261120-120000.000000001" {
		t.Errorf("taken holds %q, the segment is %s", got, s.path)
	}
	if err := s.finish(); err != nil {
		t.Fatal(err)
	}
}

// TestSegmentTakenAway is F54: deleted, renamed, truncated or replaced, or with its directory gone.
func TestSegmentTakenAway(t *testing.T) {
	tests := map[string]func(dir, file string) error{
		"deleted":   func(_, file string) error { return os.Remove(file) },
		"renamed":   func(_, file string) error { return os.Rename(file, file+".1") },
		"truncated": func(_, file string) error { return os.Truncate(file, 10) },
		"replaced": func(_, file string) error {
			return errors.Join(os.Remove(file), os.WriteFile(file, []byte("x"), 0o600))
		},
		"directory gone": func(dir, _ string) error { return os.RemoveAll(dir) },
	}
	for name, harm := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			j := openTest(t, FileOptions{LogDir: dir})
			j.Record(numbered(0))
			if err := j.Flush(); err != nil {
				t.Fatal(err)
			}
			file := segments(t, dir)[0]
			if err := harm(dir, file); err != nil {
				t.Fatal(err)
			}
			j.Record(numbered(1))
			j.Record(numbered(2))
			if err := j.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := j.Healthy(); err != nil {
				t.Error(err)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			seen := map[int]bool{}
			for e := range Tail(t.Context(), TailOptions{Dir: dir}) {
				seen[e.Attempts] = true
			}
			if !seen[1] || !seen[2] {
				t.Errorf("records after the damage are lost: %v", seen)
			}
		})
	}
}

// smallDisk mounts a tmpfs of 64 KiB; "" where that is not allowed.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		return ""
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// breakDisk makes writes to the log directory fail and returns what mends it: a full tmpfs where we may mount one,
// else a file in the directory's place.
func breakDisk(t *testing.T) (dir string, mend func()) {
	t.Helper()
	if dir = smallDisk(t); dir != "" {
		filler := filepath.Join(dir, "filler")
		_ = os.WriteFile(filler, make([]byte, 1<<20), 0o600) // ends with ENOSPC
		return dir, func() { _ = os.Remove(filler) }
	}
	dir = filepath.Join(t.TempDir(), "log")
	return dir, nil
}

// TestFullLogDisk is F53: mail goes on, records are kept up to back_pressure, half way there acceptance stops, then
// those who record wait; when there is room again, nothing is lost.
func TestFullLogDisk(t *testing.T) {
	dir, mend := breakDisk(t)
	j := openTest(t, FileOptions{LogDir: dir, BackPressure: 100})
	if mend == nil {
		if err := errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		mend = func() { _ = os.Remove(dir) }
	}
	for i := range 49 {
		j.Record(numbered(i))
	}
	if err := j.Flush(); err == nil {
		t.Fatal("the disk is full and Flush says nothing")
	}
	if err := j.Healthy(); err != nil {
		t.Errorf("49 of 100 records wait: %v, want mail to go on", err)
	}
	for i := 49; i < 100; i++ {
		j.Record(numbered(i)) // does not block
	}
	_ = j.Flush()
	if err := j.Healthy(); err == nil || !strings.Contains(err.Error(), "100 records wait for the disk") {
		t.Errorf("100 of 100 records wait: %v, want acceptance to stop", err)
	}
	more := make(chan struct{})
	go func() {
		j.Record(numbered(100))
		close(more)
	}()
	select {
	case <-more:
		t.Error("a record over back_pressure does not wait")
	case <-time.After(20 * time.Millisecond):
	}
	mend()
	if err := j.Flush(); err != nil {
		t.Fatal(err)
	}
	<-more
	if err := errors.Join(j.Flush(), j.Healthy(), j.Close()); err != nil {
		t.Error(err)
	}
	wantNumbers(t, dir, 101)
}

// Few records may be much text: acceptance stops before those who record have to wait.
func TestHeavyRecordsStopAcceptanceInTime(t *testing.T) {
	j := openTest(t, FileOptions{LogDir: t.TempDir(), BackPressure: 100, Headers: []string{"Subject"}})
	r := delivery()
	r.Msg.SetData([]byte("Subject: " + strings.Repeat("x", 60_000) + "\r\n\r\nbody\r\n"))
	j.Record(r)
	if err := j.Healthy(); err != nil {
		t.Errorf("a third of the bytes wait: %v, want mail to go on", err)
	}
	j.Record(r)
	if err := j.Healthy(); err == nil {
		t.Error("more than half of the bytes that may wait do, and mail is taken")
	}
	if err := errors.Join(j.Flush(), j.Healthy()); err != nil {
		t.Error(err)
	}
}

func TestEndGivesUpOnADeadDisk(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "log")
	synctest.Test(t, func(t *testing.T) {
		j := openTest(t, FileOptions{LogDir: dir})
		if err := errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		for i := range 7 {
			j.Record(numbered(i))
		}
		start := time.Now()
		err := j.Close()
		if err == nil || !strings.Contains(err.Error(), "7 records of "+dir+" are lost") {
			t.Errorf("Close says %v", err)
		}
		if took := time.Since(start); took < drainPatience || took > 2*drainPatience {
			t.Errorf("it took %v", took)
		}
		j.Record(numbered(8)) // neither blocks nor panics
	})
}

func TestLittleSpaceStopsAcceptance(t *testing.T) {
	for _, o := range []FileOptions{
		{LogDir: t.TempDir(), MinFreeSpace: Floor{Percent: 100}},
		{LogDir: t.TempDir(), MinFreeSpace: Floor{Count: 1 << 62}},
		{LogDir: t.TempDir(), MinFreeInodes: Floor{Count: 1 << 62}},
	} {
		j := openTest(t, o)
		if err := j.Healthy(); !errors.Is(err, ErrDiskFull) {
			t.Errorf("%+v: %v, want ErrDiskFull", o, err)
		}
	}
	if err := openTest(t, FileOptions{LogDir: t.TempDir(), MinFreeSpace: Floor{Count: 1}}).Healthy(); err != nil {
		t.Error(err)
	}
}

// TestCrashLeavesAReadableLog cuts the file of a dead process at every byte of its last frame.
func TestCrashLeavesAReadableLog(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, FileOptions{LogDir: dir})
	j.Record(numbered(0))
	_ = j.Flush()
	file := segments(t, dir)[0]
	first, _ := os.Stat(file)
	j.Record(numbered(1))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for n := first.Size(); n < int64(len(whole)); n++ {
		dir := t.TempDir()
		torn := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(torn, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		wantNumbers(t, dir, 1) // the reader stops before the torn frame
		openTest(t, FileOptions{LogDir: dir})
		info, err := os.Stat(torn)
		if err != nil || info.Size() != first.Size() || info.Mode().Perm() != finishedMode {
			t.Fatalf("cut at %d: %d bytes, mode %v after the next start, want %d, read-only", n, info.Size(), info.Mode(),
				first.Size())
		}
		wantNumbers(t, dir, 1)
	}
}

func TestSegmentsOfALivingProcessAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, FileOptions{LogDir: dir})
	j.Record(numbered(0))
	_ = j.Flush()
	openTest(t, FileOptions{LogDir: dir})
	info, err := os.Stat(segments(t, dir)[0])
	if err != nil || info.Mode().Perm()&0o200 == 0 {
		t.Errorf("a second journal finished the segment of the first: mode %v (%v)", info.Mode(), err)
	}
}

func TestOpenRefusesAPlaceThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Files: []FileOptions{{LogDir: filepath.Join(file, "log")}}}); err == nil {
		t.Error("a directory below a file is accepted")
	}
}

func TestManyWriters(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, FileOptions{LogDir: dir, BackPressure: 500, MaxFileSize: 200_000})
	done := make(chan error, 1)
	go func() { done <- j.Run(t.Context()) }()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				j.Record(numbered(i))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(j.Close(), <-done); err != nil {
		t.Fatal(err)
	}
	count := map[int]int{}
	for _, e := range readAll(t, dir) {
		count[e.Attempts]++
	}
	for i := range 500 {
		if count[i] != 8 {
			t.Fatalf("record %d is there %d times, want 8", i, count[i])
		}
	}
}

func TestOptionsCheck(t *testing.T) {
	tests := []struct {
		per  map[string]PerRecord
		want string
	}{
		{map[string]PerRecord{"Reception": {}, AnyType: {Suffix: ".csv"}}, ""},
		{map[string]PerRecord{"Recption": {}}, `unknown record type "Recption"`},
		{map[string]PerRecord{"Bounce": {Suffix: "/../x"}}, "slash"},
	}
	for _, tt := range tests {
		err := (&FileOptions{LogDir: "/log", PerRecord: tt.per}).Check()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.per, err, tt.want)
		}
	}
	if err := (&FileOptions{}).Check(); err == nil { // it would be the working directory
		t.Error("a logger without a directory is taken")
	}
}

func TestFloor(t *testing.T) {
	tests := []struct {
		in   any
		want string
		bad  bool
	}{
		{"10%", "10%", false},
		{" 2.5 %", "2.5%", false},
		{int64(1000), "1000", false},
		{"1_000", "1000", false},
		{"101%", "", true},
		{"-1%", "", true},
		{"NaN%", "", true},
		{"some", "", true},
		{int64(-1), "", true},
		{true, "", true},
	}
	for _, tt := range tests {
		var f Floor
		err := f.DecodeOption(tt.in)
		if (err != nil) != tt.bad || err == nil && f.String() != tt.want {
			t.Errorf("%v: %v, %v; want %q", tt.in, f, err, tt.want)
		}
	}
	for _, tt := range []struct {
		f           Floor
		free, total uint64
		full        bool
	}{
		{Floor{Percent: 10}, 10, 100, false},
		{Floor{Percent: 10}, 9, 100, true},
		{Floor{Count: 5}, 4, 100, true},
		{Floor{Count: 5}, 0, 0, false}, // a file system that does not count
		{Floor{}, 0, 100, false},
	} {
		if err := tt.f.check("bytes", tt.free, tt.total); errors.Is(err, ErrDiskFull) != tt.full {
			t.Errorf("%v with %d of %d free: %v", tt.f, tt.free, tt.total, err)
		}
	}
}

func TestOptionsDecode(t *testing.T) {
	s := option.SchemaOf[FileOptions]()
	r, err := s.Resolve("configure_local_logs", option.NewLayer(map[string]any{
		"log_dir": "/var/log/x", "max_segment_duration": "10 seconds", "min_free_space": int64(0),
		"headers": []any{"Subject"}, "per_record": map[string]any{"Any": map[string]any{"enable": false}},
	}, option.Origin{Kind: option.KindLua, At: "init.lua:3"}))
	if err != nil {
		t.Fatal(err)
	}
	o := r.Value
	if o.MaxFileSize != 1_000_000_000 || o.MaxSegmentDuration.Std() != 10*time.Second || o.BackPressure != 128_000 ||
		fmt.Sprint(o.MinFreeInodes) != "10%" || o.MinFreeSpace != (Floor{}) || o.PerRecord["Any"].Enable {
		t.Errorf("decoded %+v", o)
	}
}
