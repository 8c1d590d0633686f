package spool_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"kumo/pkg/kumotest"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// image is a spool with a few messages in it.
type image struct {
	disk *kumotest.CrashFS
	seg  string // path of its only segment
	data []byte // of the segment
	mail map[message.ID]string
	// ends of the acceptances: what was written after each
	ends []int
}

func makeImage(t *testing.T, sizes ...int) *image {
	disk := kumotest.NewCrashFS()
	cfg := crashConfig(disk)
	cfg.SegmentSize = 1 << 20
	s, err := spool.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	im := &image{disk: disk, seg: filepath.Join(crashDir, "log", "0000000001.log"), mail: make(map[message.ID]string)}
	for i, size := range sizes {
		id := message.ID{9, byte(i), byte(i >> 8)}
		body := fmt.Sprintf("%s %s", id, strings.Repeat("b", size))
		if err := s.Accept(context.Background(), "", newMessage(id, body)); err != nil {
			t.Fatal(err)
		}
		im.mail[id] = body
		im.ends = append(im.ends, len(disk.Bytes(im.seg)))
	}
	_ = s.Close()
	im.data = disk.Bytes(im.seg)
	return im
}

// survivors opens the spool with data as its segment. Every message that is alive must be as it was accepted.
func (im *image) survivors(t *testing.T, what string, data []byte) (map[message.ID]bool, spool.Recovery) {
	t.Helper()
	disk := im.disk.Kill()
	disk.Put(im.seg, data)
	s, err := spool.Open(context.Background(), crashConfig(disk))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer s.Close()
	alive := make(map[message.ID]bool)
	s.Live(func(e spool.Entry) bool {
		m, err := s.Load(e.ID)
		if err != nil {
			t.Errorf("%s: load %s: %v", what, e.ID, err)
			return true
		}
		body, err := m.Data()
		if err != nil || string(body) != im.mail[e.ID] || describe(m) != describe(newMessage(e.ID, im.mail[e.ID])) {
			t.Errorf("%s: %s came back changed: %v", what, e.ID, err)
		}
		alive[e.ID] = true
		return true
	})
	return alive, s.Recovery()
}

// TestEveryBitFlipped is row S2 of the promises: a flipped bit costs at most the record that it is in, and that is
// reported.
func TestEveryBitFlipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		im := makeImage(t, 0, 40, 700, 1, 300)
		step := 1
		if testing.Short() {
			step = 13
		}
		for bit := 0; bit < len(im.data)*8; bit += step {
			data := append([]byte(nil), im.data...)
			data[bit/8] ^= 1 << (bit % 8)
			what := fmt.Sprintf("bit %d of byte %d flipped", bit%8, bit/8)
			alive, found := im.survivors(t, what, data)
			switch lost := len(im.mail) - len(alive); {
			case bit/8 < 128:
				if lost != 0 {
					t.Errorf("%s: %d messages lost for the segment's header", what, lost)
				}
			case lost != 1:
				t.Errorf("%s: %d messages lost", what, lost)
			case len(found.Damaged) != 1 && found.Torn == 0:
				t.Errorf("%s: not reported: %+v", what, found)
			}
		}
	})
}

// TestDamageIsReportedWithTheID damages the body of each message: the report names it.
func TestDamageIsReportedWithTheID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		im := makeImage(t, 100, 100, 100)
		for i, end := range im.ends {
			data := append([]byte(nil), im.data...)
			data[end-5] ^= 4
			_, found := im.survivors(t, "body", data)
			if len(found.Damaged) != 1 || found.Damaged[0].ID != (message.ID{9, byte(i)}) || found.Damaged[0].Kind != "accept" {
				t.Errorf("message %d: %+v", i, found.Damaged)
			}
		}
	})
}

// TestAnEnvelopeWithoutItsBodyIsNoMail: of a batch that was never synced, a disk can keep an envelope and lose the body
// that it shares. Found by kumo torture --seed 1 --point 211: mail that nobody could ever read was alive.
func TestAnEnvelopeWithoutItsBodyIsNoMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		im := makeImage(t, 50)
		body := []byte(strings.Repeat("shared", 100))
		s, err := spool.Open(context.Background(), crashConfig(im.disk))
		if err != nil {
			t.Fatal(err)
		}
		var ms []*message.Message
		for i := range 3 {
			m := newMessage(message.ID{8, byte(i)}, "")
			m.SetData(body)
			ms = append(ms, m)
		}
		if err := s.Accept(context.Background(), "", ms...); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		im.seg = filepath.Join(crashDir, "log", "0000000002.log")
		im.data = im.disk.Bytes(im.seg)
		for _, m := range ms {
			im.mail[m.ID] = string(body)
		}
		if alive, _ := im.survivors(t, "intact", im.data); len(alive) != 4 {
			t.Fatalf("%d messages are alive, want 4", len(alive))
		}
		data := append([]byte(nil), im.data...)
		data[strings.Index(string(data), "shared")+300] ^= 1
		alive, found := im.survivors(t, "the body is damaged", data)
		if len(alive) != 1 || len(found.Damaged) != 3 {
			t.Errorf("%d messages are alive, want the one with another body; reported: %+v", len(alive), found.Damaged)
		}
	})
}

// TestTruncatedAtEveryByte is fault F14: earlier records are intact, the torn one is gone.
func TestTruncatedAtEveryByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		im := makeImage(t, 30, 200, 0, 90)
		for n := range im.data {
			alive, found := im.survivors(t, fmt.Sprintf("cut at %d", n), im.data[:n])
			want, good := 0, 128
			for _, end := range im.ends {
				if end <= n {
					want, good = want+1, end
				}
			}
			if len(alive) != want {
				t.Errorf("cut at %d: %d messages, want %d", n, len(alive), want)
			}
			if n >= 128 && (found.Torn != int64(n-good) || len(found.Damaged) != 0) {
				t.Errorf("cut at %d: %+v, want %d torn bytes", n, found, n-good)
			}
		}
	})
}

// TestHoleOfZeros is fault F37: the scan goes on behind a hole.
func TestHoleOfZeros(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		im := makeImage(t, 100, 3000, 100, 3000, 100)
		for off := 0; off < len(im.data); off += 50 {
			data := append([]byte(nil), im.data...)
			end := min(off+4096, len(data))
			clear(data[off:end])
			alive, _ := im.survivors(t, fmt.Sprintf("zeros from %d", off), data)
			begin := 128
			for i, stop := range im.ends {
				untouched := stop <= off || begin >= end
				if alive[message.ID{9, byte(i)}] != untouched {
					t.Errorf("zeros from %d to %d: message %d from %d to %d alive: %v", off, end, i, begin, stop, !untouched)
				}
				begin = stop
			}
		}
	})
}

// TestMailThatContainsASpool accepts a message whose body is a copy of the segment, then damages the record so that
// the scan has to look for the next one inside of it.
func TestMailThatContainsASpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := makeImage(t, 10, 20) // somebody else's spool: the key differs
		im := makeImage(t, 10)
		disk := im.disk.Kill()
		s, err := spool.Open(context.Background(), crashConfig(disk))
		if err != nil {
			t.Fatal(err)
		}
		m := newMessage(message.ID{8}, string(other.data))
		if err := s.Accept(context.Background(), "", m); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		path := filepath.Join(crashDir, "log", "0000000002.log")
		data := disk.Bytes(path)
		data[128+40] ^= 1 // the frame's own checksum
		disk.Put(path, data)
		if s, err = spool.Open(context.Background(), crashConfig(disk)); err != nil {
			t.Fatal(err)
		}
		if s.Len() != 1 {
			t.Errorf("%d messages are alive: one was found inside of a mail", s.Len())
		}
		_ = s.Close()
	})
}

func TestAMissingSegmentIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := kumotest.NewCrashFS()
		s, err := spool.Open(context.Background(), crashConfig(disk))
		if err != nil {
			t.Fatal(err)
		}
		next := newID()
		for range 30 {
			if err := s.Accept(context.Background(), "", newMessage(next(), strings.Repeat("x", 1000))); err != nil {
				t.Fatal(err)
			}
		}
		_ = s.Close()
		if err := disk.Remove(filepath.Join(crashDir, "log", "0000000003.log")); err != nil {
			t.Fatal(err)
		}
		if s, err = spool.Open(context.Background(), crashConfig(disk)); err != nil {
			t.Fatal(err)
		}
		found := s.Recovery()
		if len(found.Missing) != 1 || found.Missing[0] != 3 || s.Len() >= 30 || s.Len() < 20 {
			t.Errorf("%d alive, %+v", s.Len(), found)
		}
		_ = s.Close()
	})
}

func TestTheFormatFileCanBeLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		im := makeImage(t, 10, 20, 30)
		path := filepath.Join(crashDir, "FORMAT")
		text := im.disk.Bytes(path)
		for bit := range len(text) * 8 {
			data := append([]byte(nil), text...)
			data[bit/8] ^= 1 << (bit % 8)
			im.disk.Put(path, data)
			if alive, _ := im.survivors(t, fmt.Sprintf("bit %d of FORMAT", bit), im.data); len(alive) != 3 {
				t.Errorf("bit %d of FORMAT: %d messages", bit, len(alive))
			}
		}
		_ = im.disk.Remove(path)
		if alive, _ := im.survivors(t, "no FORMAT", im.data); len(alive) != 3 {
			t.Errorf("no FORMAT: %d messages", len(alive))
		}
	})
}
