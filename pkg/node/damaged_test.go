package node

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/kumotest"
	"kumo/pkg/spool"
)

// flip damages every place of the spool's log where text stands, as a failing disk does beside a running daemon.
func (b *box) flip(text string) {
	b.t.Helper()
	files, err := filepath.Glob(filepath.Join(b.spool(), "log", "*"))
	if err != nil || len(files) == 0 {
		b.t.Fatal("no segments", err)
	}
	n := 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			b.t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			b.t.Fatal(err)
		}
		for at := bytes.Index(data, []byte(text)); at >= 0; at = bytes.Index(data, []byte(text)) {
			data[at] = '?'
			if _, err := f.WriteAt([]byte("?"), int64(at)); err != nil {
				b.t.Fatal(err)
			}
			n++
		}
		if err := f.Close(); err != nil {
			b.t.Fatal(err)
		}
	}
	if n == 0 {
		b.t.Fatalf("%q is not in the log", text)
	}
}

// TestDamagedMessagesAreSetAside: a message whose envelope or body is damaged is tried once, logged, and held until an
// operator releases it; the others go out.
func TestDamagedMessagesAreSetAside(t *testing.T) {
	sink := kumotest.NewSink(t, false)
	b := newBox(t, sink.Addr, "1s")
	stop := b.serve()
	suspended := b.order(spool.OrderSuspend, spool.Command{Match: spool.Match{All: true}, Expires: time.Now().Add(time.Hour)})
	ids := b.inject(6, to(1))
	for _, id := range ids {
		b.eventually("it waits", func() bool { return b.records()[id.String()][journal.TransientFailure] > 0 })
	}
	b.order(spool.OrderHold, spool.Command{Match: spool.Match{All: true}}) // and so nothing is written about them meanwhile
	b.flip("message 2\r\n")
	b.flip("r4@d0.example")
	b.order(spool.OrderResume, spool.Command{Order: suspended.ID})
	b.order(spool.OrderRelease, spool.Command{Match: spool.Match{All: true}})
	sink.Wait(t, 4)
	held := func() bool { return len(b.rows(spool.Filter{State: spool.StateHeld})) == 2 }
	b.eventually("two messages are held", held)
	for _, i := range []int{2, 4} {
		if row := b.rows(spool.Filter{})[ids[i].String()]; row.State != spool.StateHeld || row.Order != damagedOrder {
			t.Errorf("message %d: %+v", i, row)
		}
	}
	tries := b.records()[ids[2].String()][journal.TransientFailure]
	released := b.order(spool.OrderRelease, spool.Command{Match: spool.Match{ByID: true}}, ids[2])
	if released.Counts.Done != 1 {
		t.Errorf("release came to %+v", released.Counts)
	}
	b.eventually("it is tried once more", func() bool {
		return b.records()[ids[2].String()][journal.TransientFailure] > tries && held()
	})
	stop()
	if r := b.records()[ids[4].String()]; r[journal.Delayed] != 1 {
		t.Errorf("what cannot be read has records %v", r)
	}
	if n := len(sink.Mail()); n != 4 {
		t.Errorf("%d messages were sent", n)
	}
}
