package spool_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// checkID is the id of message n.
func checkID(n int) message.ID { return message.ID{3, byte(n), byte(n >> 8)} }

// storehouse makes a spool of n messages in small segments, two of which have ended, and an index that knows all.
func storehouse(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	s := openSmall(t, dir)
	for i := range n {
		if err := s.Accept(t.Context(), "", newMessage(checkID(i), fmt.Sprintf("%d %s", i, strings.Repeat("b", 300)))); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{1, n - 2} {
		if err := s.End(checkID(i), spool.EndDelivered); err != nil {
			t.Fatal(err)
		}
	}
	indexed(t, dir, n-2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openSmall(t *testing.T, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(t.Context(), spool.Config{Dir: dir, Log: quiet, SegmentSize: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func segFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "log", "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	slices.Sort(files)
	return files
}

func checked(t *testing.T, dir string, o spool.CheckOptions) spool.Report {
	t.Helper()
	r, err := spool.Check(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// kinds are the findings in short: kind, and the message where there is one; "~" marks what is harmless.
func kinds(r *spool.Report) string {
	var out []string
	for _, f := range r.Findings {
		text := f.Kind
		if f.ID != nil {
			text += fmt.Sprint(" ", int(f.ID[1]))
			if f.Lost && (f.Message == nil || f.Message.Queue != "queue" && f.Message.Queue == "" || len(f.Message.Recipients) == 0) {
				text += " without envelope"
			}
		}
		if f.Harmless {
			text = "~" + text
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func damage(t *testing.T, path string, change func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func flipAt(text string, at int) func(b []byte) []byte {
	return func(b []byte) []byte {
		i := bytes.Index(b, []byte(text))
		if i < 0 {
			panic("not there: " + text)
		}
		b[i+at] ^= 0x40
		return b
	}
}

func TestCheckOfASoundSpool(t *testing.T) {
	dir := storehouse(t, 40)
	r := checked(t, dir, spool.CheckOptions{})
	if !r.Sound() || len(r.Findings) != 0 || r.Live != 38 || r.Indexed != 38 || r.Held || r.Segments < 4 || r.Records < 42 {
		t.Errorf("%+v", r)
	}
	if again := checked(t, dir, spool.CheckOptions{Repair: true}); !again.Sound() || len(again.Findings) != 0 {
		t.Errorf("repaired what is whole: %+v", again)
	}
	if _, err := spool.Check(t.Context(), t.TempDir(), spool.CheckOptions{}); !errors.Is(err, spool.ErrNoSpool) {
		t.Errorf("empty directory: %v", err)
	}
}

// TestCheckFindsWhatIsWrong: each case harms a spool of 40 messages; what check says, and that repair leaves the rest
// of the mail as it was.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	whole := storehouse(t, 40)
	remove := func(n int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			files := segFiles(t, dir)
			if err := os.Remove(files[(n+len(files))%len(files)]); err != nil {
				t.Fatal(err)
			}
		}
	}
	inLog := func(text string, at int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, f := range segFiles(t, dir) {
				if b, _ := os.ReadFile(f); bytes.Contains(b, []byte(text)) {
					damage(t, f, flipAt(text, at))
					return
				}
			}
			t.Fatal("no segment holds it")
		}
	}
	sqlite := func(file, query string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			db, err := sql.Open("sqlite", filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(query); err != nil {
				t.Fatal(err)
			}
		}
	}
	garbage := func(file string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			_ = os.Remove(filepath.Join(dir, file+"-wal"))
			damage(t, filepath.Join(dir, file), func(b []byte) []byte { return bytes.Repeat([]byte("garbage "), max(len(b)/8, 1024)) })
		}
	}
	for _, c := range []struct {
		name string
		harm func(*testing.T, string)
		want string // how the findings begin
		lost int    // -1: some
	}{
		{"segment in the middle removed", remove(2), "missing segment, lost message ", -1},
		{"oldest segment removed", remove(0), "missing segment, lost message 0, lost message 2", -1},
		{"newest segment removed", remove(-1), "missing segment, lost message ", -1},
		{"body", inLog("7 bbb", 30), "damaged record 7", 1},
		{"body of a message that has ended", inLog("1 bbbbbb", 30), "damaged record 1", 0},
		{"envelope", inLog("\x03\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 40), "damaged record 9", 1},
		{"header", inLog("\x03\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 2), "damaged record, lost message 5", 1},
		{"hole", func(t *testing.T, dir string) {
			damage(t, segFiles(t, dir)[1], func(b []byte) []byte { copy(b[700:2600], make([]byte, 4096)); return b })
		}, "damaged record", -1},
		{"segment cut short", func(t *testing.T, dir string) {
			damage(t, segFiles(t, dir)[1], func(b []byte) []byte { return b[:len(b)/2] })
		}, "damaged record", -1},
		{"index gone", func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, "index.db")) }, "~index", 0},
		{"index damaged", garbage("index.db"), "index", 0},
		{"index wrong", sqlite("index.db", "UPDATE message SET due = 77 WHERE seq % 3 = 0"), "index", 0},
		{"index without rows", sqlite("index.db", "DELETE FROM message WHERE seq > 20"), "index", 0},
		{"index of another version", sqlite("index.db", "PRAGMA user_version = 99"), "~index", 0},
		{"orders damaged", garbage("orders.db"), "orders", 0},
		{"FORMAT damaged", func(t *testing.T, dir string) { damage(t, filepath.Join(dir, "FORMAT"), flipAt("key", 7)) }, "format file", 0},
		{"FORMAT gone", func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, "FORMAT")) }, "format file", 0},
		{"strays", func(t *testing.T, dir string) {
			log := filepath.Join(dir, "log")
			err := errors.Join(unix.Mkfifo(filepath.Join(log, "0000000099.log"), 0o600), os.Symlink("/etc/passwd", filepath.Join(log, "0000000098.log")),
				os.WriteFile(filepath.Join(log, "notes"), nil, 0o600), os.WriteFile(filepath.Join(dir, "core"), nil, 0o600))
			if err != nil {
				t.Fatal(err)
			}
		}, "~stray file, ~stray file, ~stray file, ~stray file", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			c.harm(t, dir)
			before := bodies(t, dir)
			r := checked(t, dir, spool.CheckOptions{})
			if got := kinds(&r); !strings.HasPrefix(got, c.want) || strings.Contains(got, "without") {
				t.Errorf("found %s; want %s", got, c.want)
			}
			if r.Lost != c.lost && (c.lost >= 0 || r.Lost == 0) || r.Live+r.Lost != 38 && c.name != "newest segment removed" { // with it goes an end

				t.Errorf("%d lost, %d live; want %d of 38 lost", r.Lost, r.Live, c.lost)
			}
			if harmless := strings.HasPrefix(c.want, "~"); r.Sound() != harmless {
				t.Errorf("sound: %t", r.Sound())
			}
			fixed := checked(t, dir, spool.CheckOptions{Repair: true})
			if !fixed.Sound() || fixed.Lost != r.Lost {
				t.Errorf("after repair: %s; lost %d, problems %d", kinds(&fixed), fixed.Lost, fixed.Problems)
			}
			for _, f := range fixed.Findings {
				if !f.Mended && !f.Harmless {
					t.Errorf("not mended: %+v", f)
				}
			}
			if again := checked(t, dir, spool.CheckOptions{}); !again.Sound() || again.Lost != 0 || again.Live != r.Live {
				t.Errorf("the next check: %s; live %d, before %d", kinds(&again), again.Live, r.Live)
			}
			if after := bodies(t, dir); len(after) != r.Live || fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("repair changed mail that was whole: %d messages, want %d", len(after), len(before))
			}
		})
	}
}

// bodies are all messages that the spool delivers.
func bodies(t *testing.T, dir string) map[message.ID]string {
	t.Helper()
	clone := t.TempDir()
	if err := os.CopyFS(clone, onlyFiles{os.DirFS(dir)}); err != nil {
		t.Fatal(err)
	}
	s, err := spool.Open(context.Background(), spool.Config{Dir: clone, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out := make(map[message.ID]string)
	s.Live(func(e spool.Entry) bool {
		m, err := s.Take(e.ID, e.Due)
		if err != nil {
			return true
		}
		if b, err := m.Data(); err == nil {
			out[e.ID] = string(b)
		}
		return true
	})
	return out
}

func TestCheckOfSharedBodies(t *testing.T) {
	dir := t.TempDir()
	s := openSmall(t, dir)
	body := "shared " + strings.Repeat("s", 500)
	shared := []byte(body)
	var ms []*message.Message
	for i := range 4 {
		m := newMessage(checkID(i), body)
		m.SetData(shared)
		ms = append(ms, m)
	}
	if err := s.Accept(t.Context(), "", ms...); err != nil {
		t.Fatal(err)
	}
	if err := s.Accept(t.Context(), "", newMessage(checkID(9), "another body")); err != nil {
		t.Fatal(err)
	}
	indexed(t, dir, 5)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r := checked(t, dir, spool.CheckOptions{}); !r.Sound() {
		t.Fatalf("%+v", r)
	}
	damage(t, segFiles(t, dir)[0], flipAt("shared ss", 20))
	r := checked(t, dir, spool.CheckOptions{})
	if got := kinds(&r); got != "damaged record 0, damaged record 1, damaged record 2, damaged record 3" || r.Lost != 4 {
		t.Errorf("found %s, %d lost", got, r.Lost)
	}
	fixed := checked(t, dir, spool.CheckOptions{Repair: true})
	if again := checked(t, dir, spool.CheckOptions{}); !fixed.Sound() || !again.Sound() || again.Live != 1 {
		t.Errorf("after repair: %s; then: %s, %d live", kinds(&fixed), kinds(&again), again.Live)
	}
}

// TestCheckBesideItsOwner: a daemon that works at full speed is no damage.
func TestCheckBesideItsOwner(t *testing.T) {
	dir := t.TempDir()
	s := openSmall(t, dir)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var n sync.Map
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := message.ID{4, byte(w), byte(i), byte(i >> 8), byte(i >> 16)}
				if err := s.Accept(context.Background(), "", newMessage(id, strings.Repeat("x", i%3000))); err != nil {
					t.Error(err)
					return
				}
				if i%7 != 0 {
					_ = s.End(id, spool.EndDelivered)
				} else {
					n.Store(id, true)
				}
			}
		})
	}
	deadline := time.Now().Add(3 * time.Second)
	for rounds := 0; time.Now().Before(deadline) || rounds < 2; rounds++ {
		if r := checked(t, dir, spool.CheckOptions{}); !r.Sound() || !r.Held {
			t.Errorf("round %d: %s", rounds, kinds(&r))
			break
		}
	}
	var held *spool.HeldError
	if _, err := spool.Check(t.Context(), dir, spool.CheckOptions{Repair: true}); !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Errorf("repair beside an owner: %v", err)
	}
	stop()
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	live := 0
	n.Range(func(any, any) bool { live++; return true })
	if r := checked(t, dir, spool.CheckOptions{}); !r.Sound() || r.Live != live {
		t.Errorf("at the end: %s; live %d, want %d", kinds(&r), r.Live, live)
	}
}

// TestCheckAfterKill: what a crash leaves is no damage either.
func TestCheckAfterKill(t *testing.T) {
	dir := storehouse(t, 20)
	files := segFiles(t, dir)
	damage(t, files[len(files)-1], func(b []byte) []byte { return b[:len(b)-10] })
	if r := checked(t, dir, spool.CheckOptions{}); !r.Sound() || r.Torn == 0 {
		t.Errorf("torn tail: %s, %+v", kinds(&r), r)
	}
}

func TestCheckBoundsItsList(t *testing.T) {
	dir := storehouse(t, 60)
	for _, f := range segFiles(t, dir) {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	r := checked(t, dir, spool.CheckOptions{Named: 3})
	n := 0
	for _, f := range r.Findings {
		if f.Kind == spool.FoundLost {
			n++
		}
	}
	if n != 3 || r.Lost != 58 || r.Counts[spool.FoundLost] != 58 {
		t.Errorf("%d named of %d lost; %v", n, r.Lost, r.Counts)
	}
}

// onlyFiles hides what os.CopyFS cannot copy.
type onlyFiles struct{ fs.FS }

func (o onlyFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(o.FS, name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return !e.IsDir() && !e.Type().IsRegular() }), err
}

// TestRepairOfLargeMail: damage goes also where next to nothing of the log is waste.
func TestRepairOfLargeMail(t *testing.T) {
	dir := t.TempDir()
	s, err := spool.Open(t.Context(), spool.Config{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := s.Accept(t.Context(), "", newMessage(checkID(i), fmt.Sprintf("%d %s", i, strings.Repeat("b", 50_000)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damage(t, segFiles(t, dir)[0], flipAt("7 bbb", 30_000))
	if r := checked(t, dir, spool.CheckOptions{Repair: true}); !r.Sound() || r.Lost != 1 {
		t.Errorf("repair: %s", kinds(&r))
	}
	if r := checked(t, dir, spool.CheckOptions{}); !r.Sound() || r.Live != 19 || r.Lost != 0 {
		t.Errorf("after it: %s, %d live", kinds(&r), r.Live)
	}
}
