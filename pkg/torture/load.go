package torture

import (
	"context"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

// nameHeader has the name of a message of the load, and the checksum of its text.
const nameHeader = "X-Torture"

// load is a generator of SMTP traffic: several sessions that send message after message, and note each that was
// acknowledged.
type load struct {
	wg sync.WaitGroup

	mu    sync.Mutex
	acked map[string]bool // by name and recipient
	count int             // transactions acknowledged
	want  int             // close reached then
	reach chan struct{}
}

func newLoad() *load { return &load{acked: make(map[string]bool)} }

// start sends to addr until the server is gone or ctx ends. The channel is closed after want acknowledgements.
func (l *load) start(ctx context.Context, addr string, sessions, want int, seed uint64, tag string) <-chan struct{} {
	l.mu.Lock()
	l.count, l.want, l.reach = 0, want, make(chan struct{})
	reach := l.reach
	l.mu.Unlock()
	for i := range sessions {
		l.wg.Go(func() { l.session(ctx, addr, rand.New(rand.NewPCG(seed, uint64(i))), fmt.Sprintf("%s-%d", tag, i)) })
	}
	return reach
}

func (l *load) session(ctx context.Context, addr string, rng *rand.Rand, tag string) {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	c := textproto.NewConn(nc)
	if _, _, err := c.ReadResponse(220); err != nil || say(c, 250, "EHLO load.test") != nil {
		return
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s-%d", tag, i)
		if err := l.send(c, rng, name); err != nil {
			return
		}
	}
}

func say(c *textproto.Conn, code int, line string) error {
	if err := c.PrintfLine("%s", line); err != nil {
		return err
	}
	_, _, err := c.ReadResponse(code)
	return err
}

// send sends one message and notes that it was acknowledged.
func (l *load) send(c *textproto.Conn, rng *rand.Rand, name string) error {
	if err := say(c, 250, "MAIL FROM:<load@example.com>"); err != nil {
		return err
	}
	var keys []string
	for i := range 1 + rng.IntN(3) {
		to := fmt.Sprintf("to%d@dest%d.test", i, rng.IntN(3))
		if err := say(c, 250, "RCPT TO:<"+to+">"); err != nil {
			return err
		}
		keys = append(keys, name+" "+to)
	}
	if err := say(c, 354, "DATA"); err != nil {
		return err
	}
	text := text(rng)
	w := c.DotWriter()
	fmt.Fprintf(w, "From: load@example.com\nSubject: %s\n%s: %s %08x\n\n%s", name, nameHeader, name, crc32.ChecksumIEEE([]byte(text)), text)
	if err := w.Close(); err != nil {
		return err
	}
	if _, _, err := c.ReadResponse(250); err != nil {
		return err
	}
	l.ack(keys)
	return nil
}

// text makes lines of text, up to 60 kB of them, some with dots in front.
func text(rng *rand.Rand) string {
	var b strings.Builder
	lines := rng.IntN(8)
	if rng.IntN(10) == 0 {
		lines = rng.IntN(800)
	}
	for range lines {
		b.WriteString(strings.Repeat(".", rng.IntN(8)/6))
		for range rng.IntN(10) {
			fmt.Fprintf(&b, "%07x ", rng.Uint32()>>4)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (l *load) ack(keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		l.acked[k] = true
	}
	if l.count++; l.count == l.want {
		close(l.reach)
	}
}

// names are the messages that were acknowledged, by name and recipient.
func (l *load) names() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]bool, len(l.acked))
	for k := range l.acked {
		out[k] = true
	}
	return out
}
