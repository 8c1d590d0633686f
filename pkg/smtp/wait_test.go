package smtp

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitsOfAPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := NewConn(ours)
		done := make(chan struct{})
		go func() {
			defer close(done)
			say := func(after time.Duration, s string) {
				time.Sleep(after)
				_, _ = io.WriteString(theirs, s)
			}
			hear := func(n int) { _, _ = io.ReadFull(theirs, make([]byte, n)) }
			say(2*time.Second, "220 hi\r\n")
			hear(len("EHLO x.test\r\n"))
			say(500*time.Microsecond, "250 x\r\n") // not worth it
			hear(len("MAIL FROM:<>\r\nDATA\r\n"))
			say(time.Second, "250 ok\r\n")
			say(time.Second, "354 go\r\n")
			time.Sleep(3 * time.Second) // takes the text late
			hear(len("text\r\n.\r\n"))
			say(4*time.Second, "250-thinking\r\n")
			say(time.Second, "250 done\r\n")
		}()
		_, _ = c.Read("banner", time.Minute)
		_, _ = c.Ehlo("x.test", time.Minute)
		c.queue("MAIL FROM:<>\r\n")
		c.Data()
		_ = c.Flush("MAIL", time.Minute)
		_, _ = c.Read("MAIL", time.Minute)
		_, _ = c.Read("DATA", time.Minute)
		_ = c.WriteBody([]byte("text\r\n"), time.Minute)
		_, err := c.Read(".", time.Minute)
		<-done
		if err != nil {
			t.Fatal(err)
		}
		want := []Wait{{"banner", 2 * time.Second}, {"MAIL", time.Second}, {"DATA", time.Second}, {"body", 3 * time.Second}, {".", 5 * time.Second}}
		got := c.Waits()
		if len(got) != len(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("got %v, want %v", got[i], want[i])
			}
		}
		if again := c.Waits(); len(again) != 0 {
			t.Errorf("told again: %v", again)
		}
	})
}
