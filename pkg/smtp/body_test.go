package smtp

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// TestBodiesArriveWhole sends bodies of every path through WriteBody (copied, in stretches, in pieces, with more dots
// than are counted) and undoes the dots at the other end.
func TestBodiesArriveWhole(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	line := strings.Repeat("x", 70) + "\r\n"
	for _, size := range []int{0, 100, smallBody - 10, smallBody + 10, 200 << 10, rawPiece + 5000, 2*rawPiece + 77} {
		for _, dots := range []int{0, 1, 5, maxDots, maxDots + 50} {
			var b strings.Builder
			lines := size/len(line) + 1
			dotted := make(map[int]bool)
			for range dots {
				dotted[rnd.IntN(lines)] = true
			}
			for i := range lines {
				if dotted[i] {
					b.WriteString([]string{".", "..", ".\r\n.", ".x"}[rnd.IntN(4)])
				}
				b.WriteString(line)
			}
			sent := b.String()
			if rnd.IntN(2) == 0 {
				sent = strings.TrimSuffix(sent, "\r\n")
			}
			t.Run(fmt.Sprintf("%d bytes %d dots", size, dots), func(t *testing.T) { sendBody(t, sent) })
		}
	}
}

func sendBody(t *testing.T, sent string) {
	here, there := net.Pipe()
	defer there.Close()
	c := NewConn(here)
	c.owed = 0
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(there)
		got <- b
	}()
	if err := c.WriteBody([]byte(sent), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	_ = here.Close()
	wire := <-got
	text, ok := bytes.CutSuffix(wire, []byte("\r\n.\r\n"))
	if !ok || bytes.Contains(text, []byte("\r\n.\r\n")) {
		t.Fatalf("the end mark is not at the end, and only there")
	}
	var back []string
	for l := range strings.SplitSeq(string(text), "\r\n") {
		if strings.HasPrefix(l, ".") && !strings.HasPrefix(l, "..") {
			t.Fatalf("line %.20q has a single dot", l)
		}
		back = append(back, strings.TrimPrefix(l, "."))
	}
	// What a line ".." became of is "...", of which one dot goes.
	if want := strings.TrimSuffix(sent, "\r\n"); strings.Join(back, "\r\n") != want {
		t.Fatalf("%d bytes came back as %d others", len(want), len(strings.Join(back, "\r\n")))
	}
}
