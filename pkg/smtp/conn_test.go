package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/mail"
)

// script gives a Conn whose peer says what it says and keeps what it hears.
func script(says string) (*Conn, *recorder) {
	r := &recorder{in: strings.NewReader(says)}
	c := NewConn(r)
	c.owed = 0
	return c, r
}

// recorder is a net.Conn in memory: reads come from in, writes are kept.
type recorder struct {
	in     io.Reader
	out    bytes.Buffer
	writes int
	limit  int // writes fail beyond so many octets; 0: never
	closed bool
}

func (r *recorder) Read(b []byte) (int, error) { return r.in.Read(b) }

func (r *recorder) Write(b []byte) (int, error) {
	r.writes++
	if r.limit > 0 && r.out.Len()+len(b) > r.limit {
		return 0, errors.New("broken pipe")
	}
	return r.out.Write(b)
}
func (r *recorder) Close() error                     { r.closed = true; return nil }
func (r *recorder) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (r *recorder) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (r *recorder) SetDeadline(time.Time) error      { return nil }
func (r *recorder) SetReadDeadline(time.Time) error  { return nil }
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

func TestReadReplies(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Reply
	}{
		{"250 ok\r\n", Reply{250, Enhanced{}, "ok", "X"}},
		{"250 ok\n", Reply{250, Enhanced{}, "ok", "X"}},
		{"250\r\n", Reply{250, Enhanced{}, "", "X"}},
		{"250-2.1.0 a\r\n250 2.1.0 b\r\n", Reply{250, Enhanced{2, 1, 0}, "a\nb", "X"}},
		{"550-a\r\n550-5.7.26 b\r\n550 5.7.26\r\n", Reply{550, Enhanced{5, 7, 26}, "a\nb\n", "X"}},
		{"421 4.3.2 \x00\x1b[1m\tx\x7f\r\n", Reply{421, Enhanced{4, 3, 2}, "  [1m x ", "X"}},
		{"550 gr\xfc\xdfe und Grüße\r\n", Reply{550, Enhanced{}, "gr\ufffde und Grüße", "X"}},
		{"250 a\rb\r\n", Reply{250, Enhanced{}, "a b", "X"}},
		{strings.Repeat("250-x\r\n", 99) + "250 y\r\n", Reply{250, Enhanced{}, strings.Repeat("x\n", 99) + "y", "X"}},
		{"250 " + strings.Repeat("x", 994) + "\r\n", Reply{250, Enhanced{}, strings.Repeat("x", 994), "X"}},
	} {
		for _, in := range []io.Reader{strings.NewReader(c.in), &dribble{c.in}} {
			conn := NewConn(&recorder{in: in})
			if r, err := conn.Read("X", time.Second); err != nil || r != c.want {
				t.Errorf("%.40q: %+v, %v", c.in, r, err)
			}
		}
	}
}

// dribble gives a byte per read.
type dribble struct{ s string }

func (d *dribble) Read(b []byte) (int, error) {
	if d.s == "" {
		return 0, io.EOF
	}
	b[0], d.s = d.s[0], d.s[1:]
	return 1, nil
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct {
		in   string
		kind Kind
	}{
		{"", KindClosed},
		{"250", KindClosed},
		{"250-a\r\n", KindClosed},
		{"abc\r\n", KindGarbage},
		{"\r\n", KindGarbage},
		{"250-a\r\n251 b\r\n", KindGarbage},
		{"250 " + strings.Repeat("x", 996) + "\r\n", KindTooLong},
		{strings.Repeat("x", 5000), KindTooLong},
		{strings.Repeat("250-x\r\n", 100) + "250 y\r\n", KindTooLong},
	} {
		conn := NewConn(&recorder{in: strings.NewReader(c.in)})
		r, err := conn.Read("X", time.Second)
		var e *ConnError
		if !errors.As(err, &e) || e.Kind != c.kind || e.Stage != "X" {
			t.Errorf("%.40q: %+v, %v", c.in, r, err)
		}
		if _, again := conn.Read("Y", time.Second); !errors.Is(again, err) || conn.Err() == nil {
			t.Errorf("%.40q: the error is not final: %v", c.in, again)
		}
		if !conn.sock.(*recorder).closed {
			t.Errorf("%.40q: the connection is still open", c.in)
		}
	}
}

func TestBriefReplies(t *testing.T) {
	c, _ := script("250 2.1.0 fine\r\n550 5.1.1 no\r\n")
	if r, err := c.ReadBrief("MAIL", time.Second); err != nil || r.Code != 250 || r.Text != "" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := c.ReadBrief("RCPT", time.Second); err != nil || r.Text != "no" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestGroupIsOneWrite(t *testing.T) {
	c, r := script("")
	from, _ := mail.ParseAddress(`"x > SIZE=1 <"@a.test`, false)
	to, _ := mail.ParseAddress("b@test", false)
	c.Rset()
	c.Mail(from, MailParams{Size: 5, EightBit: true, UTF8: true})
	c.Rcpt(to)
	c.Rcpt(mail.Address{})
	c.Data()
	if err := c.Flush("MAIL", time.Second); err != nil {
		t.Fatal(err)
	}
	want := "RSET\r\nMAIL FROM:<\"x > SIZE=1 <\"@a.test> SIZE=5 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<b@test>\r\nRCPT TO:<>\r\nDATA\r\n"
	if r.out.String() != want || r.writes != 1 {
		t.Errorf("%d writes: %q", r.writes, r.out.String())
	}
}

// TestEarlyAnswers is fault F73.
func TestEarlyAnswers(t *testing.T) {
	c, _ := script("250 one\r\n250 two\r\n")
	c.Rset()
	if err := c.Flush("RSET", time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read("RSET", time.Second); err != nil {
		t.Fatal(err)
	}
	var e *ConnError
	if err := c.Check(); !errors.As(err, &e) || e.Kind != KindEarly {
		t.Errorf("Check: %v", err)
	}
	for name, f := range map[string]func(*Conn) error{
		"Flush":     func(c *Conn) error { return c.Flush("MAIL", time.Second) },
		"WriteBody": func(c *Conn) error { return c.WriteBody([]byte("x\r\n"), time.Second) },
		"Check":     (*Conn).Check,
	} {
		c, r := script("250 one\r\n250 two\r\n")
		c.Rset()
		_ = c.Flush("RSET", time.Second)
		_, _ = c.Read("RSET", time.Second)
		sent := r.out.Len()
		if err := f(c); !errors.As(err, &e) || e.Kind != KindEarly || r.out.Len() != sent {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEhlo(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Caps
	}{
		{"250 x\r\n", Caps{}},
		{"250-PIPELINING\r\n250 8bitmime\r\n", Caps{EightBitMIME: true}}, // the first line is the greeting
		{
			"250-x\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n250-SIZE 1000\r\n250 AUTH plain LOGIN\r\n",
			Caps{true, true, true, true, true, true, 1000, []string{"PLAIN", "LOGIN"}},
		},
		{"250-x\r\n250-SIZE\r\n250 STARTTLSX\r\n", Caps{Size: true}},
		{"250-x\r\n250-SIZE 0\r\n250 \r\n", Caps{Size: true}},
		{"250-x\r\n250 SIZE -1\r\n", Caps{Size: true}},
		{"250-x\r\n250 SIZE 1e30\r\n", Caps{Size: true}},
		{"250-x\r\n250 SIZE 1000000000000000000000000000000\r\n", Caps{Size: true}},
		{"250-x\r\n250 AUTH" + strings.Repeat(" m", 400) + "\r\n", Caps{Auth: strings.Fields(strings.Repeat("M ", 16))}},
		{"550 no\r\n", Caps{}},
	} {
		conn, rec := script(c.in)
		if _, err := conn.Ehlo("client.test", time.Second); err != nil || fmt.Sprint(conn.Caps) != fmt.Sprint(c.want) {
			t.Errorf("%.40q: %+v, %v", c.in, conn.Caps, err)
		}
		if rec.out.String() != "EHLO client.test\r\n" {
			t.Errorf("said %q", rec.out.String())
		}
	}
	for _, bad := range []string{"", "a b", "a\r\nMAIL FROM:<x@y>", "a\x00", "ü.test", strings.Repeat("a", 256)} {
		c, r := script("250 x\r\n")
		if _, err := c.Ehlo(bad, time.Second); err == nil || r.out.Len() > 0 {
			t.Errorf("EHLO %q: %v, said %q", bad, err, r.out.String())
		}
	}
}

// undot is what a server makes of a message text.
func undot(t *testing.T, wire string) string {
	t.Helper()
	body, ok := strings.CutSuffix("\r\n"+wire, "\r\n.\r\n")
	if !ok || strings.Contains(body, "\r\n.\r\n") {
		t.Fatalf("%.80q does not end where it should", wire)
	}
	return strings.TrimPrefix(strings.ReplaceAll(body+"\r\n", "\r\n.", "\r\n"), "\r\n")
}

func TestBodies(t *testing.T) {
	big := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1000)
	for _, c := range []struct{ body, want string }{
		{"", ""},
		{"a", "a\r\n"},
		{"a\r\n", "a\r\n"},
		{".", ".\r\n"},
		{".\r\n", ".\r\n"},
		{"..\r\n.a\r\nb.\r\n.\r\n", "..\r\n.a\r\nb.\r\n.\r\n"},
		{"a\nb\n", "a\r\nb\r\n"},
		{"a\rb\r", "a\r\nb\r\n"},
		{"a\n.\nb", "a\r\n.\r\nb\r\n"},
		{"a\n.\r\nMAIL FROM:<x@y>\r\n", "a\r\n.\r\nMAIL FROM:<x@y>\r\n"},
		{"a\r.\rb", "a\r\n.\r\nb\r\n"},
		{"a\r\r\n.\r\n", "a\r\n\r\n.\r\n"},
		{"a\n\r\n", "a\r\n\r\n"},
		{"\n", "\r\n"},
		{"\r", "\r\n"},
		{"\r\n", "\r\n"},
		{big, big},
		{big + ".\r\n", big + ".\r\n"},
		{"." + big + big + big, "." + big + big + big},
		{big + "end", big + "end\r\n"},
		{big + "bare\nLF\r\n", big + "bare\r\nLF\r\n"},
		{strings.Repeat(".\r\n", 100_000), strings.Repeat(".\r\n", 100_000)},
		{strings.Repeat("x", 3<<20), strings.Repeat("x", 3<<20) + "\r\n"},
	} {
		conn, r := script("")
		if err := conn.WriteBody([]byte(c.body), time.Second); err != nil {
			t.Fatal(err)
		}
		wire := r.out.String()
		if got := undot(t, wire); got != c.want {
			t.Errorf("%.30q arrives as %.30q (%d for %d octets)", c.body, got, len(got), len(c.want))
		}
		if n := strings.Count(wire, "\r\n"); n != strings.Count(wire, "\r") || n != strings.Count(wire, "\n") {
			t.Errorf("%.30q: a bare CR or LF goes out", c.body)
		}
		if len(c.body) < smallBody && r.writes != 1 {
			t.Errorf("%.30q takes %d writes", c.body, r.writes)
		}
		if cap(conn.out) > keepBuffer {
			t.Errorf("a buffer of %d octets is kept", cap(conn.out))
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add([]byte("a\r\n.\r\nb"), 1)
	f.Add([]byte("\n.\r\r\n..\n"), 70_000)
	f.Fuzz(func(t *testing.T, body []byte, times int) {
		if times > 0 && len(body)*times < 200_000 {
			body = bytes.Repeat(body, times)
		}
		conn, r := script("")
		if err := conn.WriteBody(body, time.Second); err != nil {
			t.Fatal(err)
		}
		want := string(normalLines(body))
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\r\n"
		}
		if got := undot(t, r.out.String()); got != want {
			t.Fatalf("%q arrives as %q", body, got)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("250-a\r\n250 b\r\n354 go\r\n421 x\r\n"))
	f.Add([]byte("220 \xff\x00\r\n999 x\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		a := NewConn(&recorder{in: bytes.NewReader(in)})
		b := NewConn(&recorder{in: &dribble{string(in)}})
		for range 10 {
			ra, ea := a.Read("X", time.Second)
			rb, eb := b.Read("X", time.Second)
			if ra != rb || (ea == nil) != (eb == nil) {
				t.Fatalf("in one piece %+v %v, byte by byte %+v %v", ra, ea, rb, eb)
			}
			if ea != nil {
				return
			}
			if ra.Code < 200 || ra.Code > 599 || strings.ContainsAny(ra.Text, "\r\x00\x1b") || len(ra.Text) > MaxReplyLine*MaxReplyLines {
				t.Fatalf("%+v", ra)
			}
		}
	})
}

// TestLastWords: a server that refuses a message in the middle of its text is heard.
func TestLastWords(t *testing.T) {
	body := []byte(strings.Repeat("x\r\n", 30_000))
	c, r := script("552 5.3.4 too big\r\n")
	r.limit = 1000
	if err := c.WriteBody(body, time.Second); err != nil {
		t.Fatal(err)
	}
	if reply, err := c.Read(".", time.Second); err != nil || reply.Code != 552 {
		t.Errorf("%+v, %v", reply, err)
	}
	c, r = script("250 2.0.0 sure\r\n")
	r.limit = 1000
	_ = c.WriteBody(body, time.Second)
	var e *ConnError
	if reply, err := c.Read(".", time.Second); !errors.As(err, &e) {
		t.Errorf("a text that was cut off counts as taken: %+v", reply)
	}
	c, r = script("")
	r.limit = 1000
	if err := c.WriteBody(body, time.Second); !errors.As(err, &e) || e.Kind != KindClosed {
		t.Errorf("%v", err)
	}
}

// TestReplyDeadline: the time of a reply counts from its beginning to its end (F71), that of a write as well.
func TestReplyDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() {
			for {
				if _, err := theirs.Write([]byte("2")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		c := NewConn(ours)
		start := time.Now()
		_, err := c.Read("banner", 10*time.Second)
		var e *ConnError
		if !errors.As(err, &e) || e.Kind != KindTimeout || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		deaf, other := net.Pipe()
		defer other.Close()
		c = NewConn(deaf)
		c.Rset()
		start = time.Now()
		if err := c.Flush("RSET", 5*time.Second); !errors.As(err, &e) || e.Kind != KindTimeout || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestQuit(t *testing.T) {
	c, r := script("221 bye\r\n")
	c.Quit(time.Second)
	if r.out.String() != "QUIT\r\n" || !r.closed {
		t.Errorf("said %q, closed %v", r.out.String(), r.closed)
	}
	c, r = script("")
	c.Rset()
	_ = c.Flush("RSET", time.Second)
	c.Quit(time.Second) // a reply is owed: whatever comes would not answer QUIT
	if r.out.String() != "RSET\r\n" || !r.closed {
		t.Errorf("said %q, closed %v", r.out.String(), r.closed)
	}
}

func BenchmarkBody(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			body := []byte(strings.Repeat(strings.Repeat("x", 70)+"\r\n", size/72))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if dots, good := inspect(body, nil); !good || len(dots) > 0 {
					b.Fatal("the body is not what it was")
				}
			}
		})
	}
}

func BenchmarkReadReplies(b *testing.B) {
	group := "250 2.0.0 ok\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n"
	r := &recorder{in: &endless{group}}
	c := NewConn(r)
	b.ReportAllocs()
	for b.Loop() {
		for range 4 {
			if _, err := c.ReadBrief("X", time.Second); err != nil {
				b.Fatal(err)
			}
		}
	}
}

type endless struct{ s string }

func (e *endless) Read(b []byte) (int, error) { return copy(b, e.s), nil }
