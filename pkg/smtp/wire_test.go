package smtp

import (
	"bytes"
	"strings"
	"testing"
)

func TestAppendReply(t *testing.T) {
	long := strings.Repeat("word ", 150)
	for _, c := range []struct {
		r    Reply
		want string
	}{
		{NewReply(250, "", "OK"), "250 OK\r\n"},
		{NewReply(250, "", ""), "250 \r\n"},
		{NewReply(250, "2.0.0", "OK"), "250 2.0.0 OK\r\n"},
		{NewReply(250, "2.0.0", ""), "250 2.0.0\r\n"},
		{NewReply(250, "", "a\nb\nc"), "250-a\r\n250-b\r\n250 c\r\n"},
		{NewReply(550, "5.7.1", "a\r\nb"), "550-5.7.1 a\r\n550 5.7.1 b\r\n"},
		{NewReply(550, "5.7.1", "a\n"), "550-5.7.1 a\r\n550 5.7.1\r\n"},
		{NewReply(550, "bad", "a"), "550 bad a\r\n"},
		{NewReply(501, "", "x\x00y\x1b[31m\x7f\rz\u0085\xff ü"), "501 x?y?[31m??z?? ü\r\n"},
		{NewReply(0, "", "x"), "451 x\r\n"},
		{NewReply(999, "", "x"), "451 x\r\n"},
	} {
		if got := string(AppendReply(nil, c.r)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.r, got, c.want)
		}
	}
	for _, text := range []string{long, strings.Repeat("x", 2000), strings.Repeat("ü", 1000)} {
		out := AppendReply(nil, NewReply(250, "2.0.0", text))
		var all string
		for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\r\n"), "\r\n") {
			if len(line) > 510 || !strings.Contains(line[:10], "2.0.0") {
				t.Errorf("line of %d octets: %.20q", len(line), line)
			}
			all += line[10:]
			if strings.Contains(text, " ") {
				all += " "
			}
		}
		if strings.TrimSpace(all) != strings.TrimSpace(text) {
			t.Errorf("%.20q was changed", text)
		}
	}
}

func TestParseReplyLine(t *testing.T) {
	for _, c := range []struct {
		line string
		code int
		more bool
		text string
	}{
		{"250 ok", 250, false, "ok"},
		{"250-ok", 250, true, "ok"},
		{"250", 250, false, ""},
		{"250 ", 250, false, ""},
		{"599 x", 599, false, "x"},
	} {
		code, more, text, err := ParseReplyLine([]byte(c.line))
		if err != nil || code != c.code || more != c.more || string(text) != c.text {
			t.Errorf("%q: %d %v %q %v", c.line, code, more, text, err)
		}
	}
	for _, bad := range []string{"", "2", "25", "abc", "000 x", "199 x", "600 x", "999 x", "99 x", "2500", "250x", "250\tx", " 250 x", "\xff\xff\xff", "2\x000 x", "-25 x", "+25 x"} {
		if code, _, _, err := ParseReplyLine([]byte(bad)); err == nil {
			t.Errorf("%q was taken as %d", bad, code)
		}
	}
}

func TestCutEnhanced(t *testing.T) {
	for _, c := range []struct{ in, code, rest string }{
		{"2.1.0 Ok", "2.1.0", "Ok"},
		{"5.7.26 x y", "5.7.26", "x y"},
		{"4.4.2", "4.4.2", ""},
		{"3.1.0 Ok", "", "3.1.0 Ok"},
		{"2.1 Ok", "", "2.1 Ok"},
		{"2.1.0.1 x", "", "2.1.0.1 x"},
		{"2.1000.0 x", "", "2.1000.0 x"},
		{"2.100.100 x", "2.100.100", "x"},
		{"[2.1.0] x", "", "[2.1.0] x"},
		{"", "", ""},
	} {
		if e, rest := cutEnhanced([]byte(c.in)); e.String() != c.code || string(rest) != c.rest {
			t.Errorf("%q: %q, %q", c.in, e, rest)
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add(250, "2.1.0", "text\r\nmore")
	f.Add(-1, "x", "\x00\xff")
	f.Fuzz(func(t *testing.T, code int, enhanced, text string) {
		out := AppendReply(nil, NewReply(code, enhanced, text))
		lines := bytes.Split(out, []byte("\r\n"))
		if len(lines[len(lines)-1]) != 0 {
			t.Fatalf("%q does not end in CRLF", out)
		}
		for i, line := range lines[:len(lines)-1] {
			c, more, _, err := ParseReplyLine(line)
			if err != nil || more != (i < len(lines)-2) || bytes.ContainsAny(line, "\r\n\x00") || len(line) > 510 {
				t.Fatalf("%q: %d %v %v", line, c, more, err)
			}
		}
	})
}

func BenchmarkAppendReply(b *testing.B) {
	r, buf := NewReply(250, "2.1.0", "OK"), make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		AppendReply(buf, r)
	}
}
