package listener

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"kumo/pkg/message"
)

// FuzzSession: whatever comes, in whatever pieces, the session does not panic, answers with clean lines, and takes
// a message only where CRLF.CRLF was.
func FuzzSession(f *testing.F) {
	begin := "EHLO a\r\nMAIL FROM:<a@b.c> SMTPUTF8\r\nRCPT TO:<d@e.f>\r\nDATA\r\n"
	for _, s := range []string{
		begin + "x\r\n.\r\nQUIT\r\n", begin + ".\r\n" + begin + "\n.\n", "STARTTLS\r\nx", "BDAT 3 LAST\r\nx\r\n",
		"MAIL FROM:<\"a\\\"b\"@[IPv6:::1]> BODY=7BIT\r\n", "\r\n\x00\r\n\xff\r\n", "HELO " + strings.Repeat("x", 3000) + "\r\n",
		begin + "..\r\n.x\r\n.\r\r\n\r.\r\n",
	} {
		f.Add([]byte(s), uint8(7), uint8(0))
		f.Add([]byte(s), uint8(0), uint8(2))
	}
	modes := []LineEndings{Deny, Allow, Fix}
	servers := make([]*Server, len(modes))
	w := newWorld()
	for i, m := range modes {
		o := options(f, map[string]any{"max_message_size": int64(2000), "line_length_hard_limit": int64(78)})
		o.InvalidLineEndings = m
		servers[i] = newServer(f, w, o)
	}
	f.Fuzz(func(t *testing.T, input []byte, piece, mode uint8) {
		w.subs, w.records = nil, nil
		conn := &scripted{}
		for rest := input; len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			conn.pieces = append(conn.pieces, append([]byte(nil), rest[:n]...))
			rest = rest[n:]
		}
		servers[int(mode)%len(servers)].newSession(t.Context(), conn).run()
		checkReplies(t, conn.out.Bytes())
		checkMail(t, w.subs, input)
		for _, r := range w.records {
			checkClean(t, r.Response.Command)
		}
	})
}

func checkReplies(t *testing.T, out []byte) {
	for line := range bytes.Lines(out) {
		text, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || len(line) > 512 || len(text) < 4 || text[0] < '2' || text[0] > '5' {
			t.Errorf("reply line %q", line)
		}
		checkClean(t, string(text))
	}
}

func checkClean(t *testing.T, s string) {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
		t.Errorf("%q is not clean", s)
	}
}

func checkMail(t *testing.T, subs []message.Submission, input []byte) {
	if n := bytes.Count(input, []byte("\r\n.\r\n")); len(subs) > n {
		t.Errorf("%d messages from %d ends", len(subs), n)
	}
	for _, m := range subs {
		d := m.Data
		if len(d) > 2000 || len(d) > 0 && !bytes.HasSuffix(d, []byte("\r\n")) ||
			bytes.ContainsAny(bytes.ReplaceAll(d, []byte("\r\n"), nil), "\r\n") {
			t.Errorf("message %q", d)
		}
	}
}

// FuzzBody holds body against the words of RFC 5321: split at CRLF, the first line that is "." ends, a leading dot
// goes. The pieces in which the bytes come make no difference.
func FuzzBody(f *testing.F) {
	for _, s := range []string{"x\r\n.\r\n", ".\r\n", "..\r\n.\r\n", "a\n.\r\n.\r\n", "a\r\r\n.\r\nNOOP", "a\r\n.\n.\r\n\r\n.\r\n"} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(2))
	}
	// A line that is dropped because it is too long, cut in front of what looks like the end.
	f.Add([]byte(strings.Repeat("x", 60)+".\r\nNOOP\r\n.\r\n"), uint8(60))
	f.Add([]byte(strings.Repeat("x", 60)+"..\r\n.\r\n"), uint8(59))
	f.Fuzz(func(t *testing.T, raw []byte, piece uint8) {
		want, rest, done := plainly(raw)
		for _, keep := range []bool{true, false} {
			b := body{max: 1 << 20, limit: 50, keepBare: keep}
			buf := make([]byte, len(raw)+1)
			w, fed, got := 0, 0, false
			for fed < len(raw) && !got {
				n := copy(buf[w:], raw[fed:min(len(raw), fed+int(piece)+1)])
				w += n
				fed += n
				if got = b.scan(buf, w); !got && b.dropping() {
					w = b.compact(buf, w)
				}
			}
			if got != done {
				t.Fatalf("%q: end %v, want %v", raw, got, done)
			}
			if !got {
				continue
			}
			if left := string(buf[b.in:w]) + string(raw[fed:]); left != rest {
				t.Errorf("%q: what follows is %q, want %q", raw, left, rest)
			}
			if taken := len(raw) - len(rest); b.total != taken {
				t.Errorf("%q: took %d bytes, want %d", raw, b.total, taken)
			}
			if !b.dropping() && string(buf[:b.out]) != want {
				t.Errorf("%q: got %q, want %q", raw, buf[:b.out], want)
			}
			bare := strings.ContainsAny(strings.ReplaceAll(want, "\r\n", ""), "\r\n")
			if keep && b.bare(buf) != bare || !keep && !b.longLine && (b.bareLF || b.bare(buf)) != bare {
				t.Errorf("%q: bare line ends: want %v", raw, bare)
			}
		}
	})
}

// plainly is the message, what follows it, and whether there was an end.
func plainly(raw []byte) (msg, rest string, done bool) {
	var b strings.Builder
	s := string(raw)
	for {
		line, more, ok := strings.Cut(s, "\r\n")
		if !ok {
			return "", "", false
		}
		if line == "." {
			return b.String(), more, true
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
		s = more
	}
}

// FuzzMend: what mend makes has CRLF only, and the same text between line ends.
func FuzzMend(f *testing.F) {
	f.Add([]byte("a\rb\nc\r\nd\n\re\r\r\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, longest := mend(raw)
		n := 0
		for _, line := range strings.Split(string(got), "\r\n") {
			n = max(n, len(line))
			if strings.ContainsAny(line, "\r\n") {
				t.Errorf("%q became %q", raw, got)
			}
		}
		if n != longest {
			t.Errorf("%q: longest line %d, want %d", got, longest, n)
		}
		drop := strings.NewReplacer("\r", "", "\n", "")
		if drop.Replace(string(raw)) != drop.Replace(string(got)) {
			t.Errorf("%q became %q", raw, got)
		}
	})
}
