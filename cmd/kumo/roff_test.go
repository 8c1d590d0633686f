package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"kumo/pkg/kumotest"
)

// TestOurReaderAgreesWithMandoc: kumo man shows without man(1) what mandoc would show, on lines of its own.
func TestOurReaderAgreesWithMandoc(t *testing.T) {
	mandoc := kumotest.Need(t, "mandoc", "mandoc")
	for name, text := range manual(t) {
		cmd := exec.Command(mandoc, "-T", "utf8", "-O", "width=78")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		want, got := shownWords(string(out)), shownWords(readRoff(text, 78, false))
		if !slices.Equal(want, got) {
			for i := range want {
				if i >= len(got) || want[i] != got[i] {
					t.Errorf("%s: mandoc goes on %q, we with %q", name, want[max(0, i-5):min(i+5, len(want))], got[max(0, i-5):min(i+5, len(got))])
					break
				}
			}
		}
	}
}

// shownWords are the words of a page between its first and last line, without overstriking.
func shownWords(text string) []string {
	var b strings.Builder
	for _, r := range text {
		if r != '\b' {
			b.WriteRune(r)
			continue
		}
		s := []rune(b.String())
		b.Reset()
		b.WriteString(string(s[:len(s)-1]))
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if last := lines[len(lines)-1]; strings.HasPrefix(last, "kumo  ") {
		lines = lines[:len(lines)-1]
	}
	return strings.Fields(strings.Join(lines[1:], "\n"))
}

func TestReadRoff(t *testing.T) {
	src := `.TH KUMO-X 1 2026-01-01 kumo "kumo manual"
.SH "NAME"
kumo-x \- one \[u00FC]ber
.SH "OPTIONS"
.TP
\fB\-v\fR
Short tag.
.IP
More of it.
.TP
\fB\-\-very\-long\fR
Text of a long tag that goes on and on.
.TP
\fBempty\fR
\&
.SH "EXAMPLE"
.RS 4
.EX
  print(\(aqa\e\(aq)

\&.dot
.EE
.RE
`
	want := `KUMO-X(1)

NAME
       kumo-x - one über

OPTIONS
       -v     Short tag.

              More of it.

       --very-long
              Text of a long tag
              that goes on and on.

       empty

EXAMPLE
             print('a\')

           .dot
`
	if got := readRoff(src, 36, false); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := readRoff(src, 36, true); !strings.Contains(got, "\x1b[1m--very-long\x1b[0m") || strings.ContainsAny(got, "\x00\x01\x02") {
		t.Errorf("styled: %q", got)
	}
}
