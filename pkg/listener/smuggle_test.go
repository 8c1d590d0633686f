package listener

import (
	"fmt"
	"strings"
	"testing"
)

const smuggled = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n.\r\n"

// TestOnlyCRLFDotCRLFEndsData is F101: every combination of line end, dot and line end, then commands, then the real
// end. Only the true end may end the data.
func TestOnlyCRLFDotCRLFEndsData(t *testing.T) {
	ends := []string{"\r\n", "\n", "\r", "\n\r", "\r\r\n"}
	var table []string
	for _, a := range ends {
		for _, b := range ends {
			table = append(table, a+"."+b)
		}
	}
	table = append(
		table,
		"\n\n.\n\n", "\r\r.\r\r", "\r\n\n.\n\r\n", "\x00\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n. \r\n", "\r\n .\r\n",
		"\r\n..\r\n", "\r\n\x2e\r\r\n", "\r\n.\n.\r\n.\r", "\x0b.\x0b", "\u0085.\u0085", "\u2028.\u2028", "\r\n.\t\r\n",
	)
	for _, mode := range []string{"Deny", "Allow", "Fix"} {
		for _, seq := range table {
			t.Run(fmt.Sprintf("%s/%q", mode, seq), func(t *testing.T) {
				t.Parallel()
				smuggle(t, mode, seq)
			})
		}
	}
}

func smuggle(t *testing.T, mode, seq string) {
	w := newWorld()
	c := start(t, w, map[string]any{"invalid_line_endings": mode}, friend)
	c.hello()
	c.ask("MAIL FROM:<a@example.org>", "250 ")
	c.ask("RCPT TO:<b@example.com>", "250 ")
	c.ask("DATA", "354 ")
	c.send("Subject: x\r\n\r\nfirst" + seq + smuggled + "\r\n.\r\n")
	c.send("QUIT\r\n")
	got := c.rest()
	// CRCRLF holds a CRLF: by RFC 5321 these bytes do end the data.
	ends := strings.Contains(seq, "\r\n.\r\n")
	if !ends {
		// The end within the smuggled text is a true one; "CRLF . CRLF" behind it are two unknown commands.
		if len(w.mail()) > 1 || len(w.mail()) == 1 && w.mail()[0].Sender.String() != "a@example.org" {
			t.Errorf("delivered %d messages, replies %q", len(w.mail()), got)
		}
		if len(got) != 4 || !strings.HasPrefix(got[3], "221") {
			t.Errorf("replies %q: want one to the data, two to what follows the true end, and 221", got)
		}
	} else if len(got) < 5 {
		t.Errorf("replies %q: want the data ended at the first CRLF.CRLF", got)
	}
	for _, m := range w.mail() {
		if s := strings.ReplaceAll(string(m.Data), "\r\n", ""); strings.ContainsAny(s, "\r\n") {
			t.Errorf("a bare CR or LF got in: %q", m.Data)
		}
	}
}

// TestBareLineEnds is F103.
func TestBareLineEnds(t *testing.T) {
	for _, text := range []string{
		"Subject: x\n\r\nbody\r\n", "Subject: x\r\n\r\nbo\ndy\r\n", "Subject: x\r\n\r\nbo\rdy\r\n", "\rSubject: x\r\n\r\n",
		"\nx\r\n", "x\r\r\n", "x\n\r\n", "\r\n\r\r\n",
	} {
		w := newWorld()
		c := start(t, w, nil, friend)
		c.hello()
		c.ask("MAIL FROM:<a@example.org>", "250 ")
		c.ask("RCPT TO:<b@example.com>", "250 ")
		c.ask("DATA", "354 ")
		c.ask(text+".", "552 5.6.0 message data must use CRLF for line endings")
		c.ask("NOOP", "250 ")
		if len(w.mail()) != 0 {
			t.Errorf("%q was taken in", text)
		}
	}
}

// TestEndInPieces is F105: the end is recognized wherever the segments part, dots are unstuffed, and the next
// command is in step.
func TestEndInPieces(t *testing.T) {
	const whole = "..first\r\nmiddle\r\n..\r\n...\r\nlast\r\n.\r\nNOOP\r\n"
	for cut := 1; cut < len(whole); cut++ {
		w := newWorld()
		s := pipeSession(t, w)
		got := s.talk("EHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n", whole[:cut], whole[cut:])
		if !strings.HasSuffix(got, "\r\n250 OK\r\n") || len(w.mail()) != 1 {
			t.Fatalf("cut at %d: %q", cut, got)
		}
		if want := ".first\r\nmiddle\r\n.\r\n..\r\nlast\r\n"; string(w.mail()[0].Data) != want {
			t.Errorf("cut at %d: got %q, want %q", cut, w.mail()[0].Data, want)
		}
	}
	pieces := []string{"EHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n"}
	for i := range len(whole) {
		pieces = append(pieces, whole[i:i+1])
	}
	w := newWorld()
	if got := pipeSession(t, w).talk(pieces...); !strings.HasSuffix(got, "\r\n250 OK\r\n") || len(w.mail()) != 1 {
		t.Errorf("byte by byte: %q", got)
	}
}
