package listener

import (
	"strings"
	"testing"
	"time"
)

// TestHeavyContent is F116 and F120 as far as they are ours: it is taken as it is, unchanged, in linear time.
func TestHeavyContent(t *testing.T) {
	for name, text := range map[string]string{
		"folded":    "Subject: x\r\n" + strings.Repeat("\tfolded\r\n", 128<<10) + "\r\n",
		"many":      strings.Repeat("X-Header: value\r\n", 20000) + "\r\n",
		"dots":      strings.Repeat(".\r\n", 100_000),
		"empty":     strings.Repeat("\r\n", 500_000),
		"bytes":     "Subj\xffect: \x00\x1b\x7f\xfe\r\n\r\n\x00\x80\r\n",
		"no header": "just text\r\n",
	} {
		w := newWorld()
		begin := time.Now()
		got := pipeSession(t, w).talk("EHLO a\r\n"+envelope, strings.ReplaceAll("\r\n"+text, "\r\n.", "\r\n..")[2:], ".\r\n")
		if len(w.mail()) != 1 || string(w.mail()[0].Data) != text {
			t.Errorf("%s: %.200q", name, got)
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
}
