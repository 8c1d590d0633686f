package torture

import (
	"bufio"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

// sink is an SMTP server that takes everything, and counts. What arrives names itself and its checksum in its header
// (see load.go).
type sink struct {
	l  net.Listener
	wg sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]bool
	arrived map[string][]time.Time // by name and recipient
	wrong   []string
	stop    int  // arrivals until reached is closed; 0: never
	before  bool // the one that closes it is not answered before goOn
	reached chan struct{}
	resume  chan struct{}
}

func newSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{l: l, conns: make(map[net.Conn]bool), arrived: make(map[string][]time.Time)}
	s.wg.Go(s.serve)
	return s, nil
}

func (s *sink) addr() string { return s.l.Addr().String() }

func (s *sink) serve() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.wg.Go(func() {
			s.session(c)
			_ = c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

func (s *sink) close() {
	s.goOn()
	_ = s.l.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// session speaks as much SMTP as a client needs.
func (s *sink) session(c net.Conn) {
	r := textproto.NewReader(bufio.NewReader(c))
	say := func(line string) bool {
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		_, err := io.WriteString(c, line+"\r\n")
		return err == nil
	}
	if !say("220 sink.test ESMTP") {
		return
	}
	var to []string
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		answer := "250 OK"
		switch verb := strings.ToUpper(line); {
		case strings.HasPrefix(verb, "EHLO"):
			answer = "250-sink.test\r\n250-8BITMIME\r\n250 PIPELINING"
		case strings.HasPrefix(verb, "MAIL"), strings.HasPrefix(verb, "RSET"):
			to = nil
		case strings.HasPrefix(verb, "RCPT TO:<"):
			rcpt, _, _ := strings.Cut(line[len("RCPT TO:<"):], ">")
			to = append(to, rcpt)
		case strings.HasPrefix(verb, "DATA"):
			if !say("354 go on") {
				return
			}
			b, err := io.ReadAll(r.DotReader())
			if err != nil {
				return
			}
			s.take(to, string(b))
			to = nil
			if !s.answer(say) {
				return
			}
			continue
		case strings.HasPrefix(verb, "QUIT"):
			say("221 bye")
			return
		}
		if !say(answer) {
			return
		}
	}
}

// take counts a message for each of its recipients, and checks its bytes. The reader made line ends LF.
func (s *sink) take(to []string, data string) {
	header, text, _ := strings.Cut(data, "\n\n")
	_, rest, _ := strings.Cut(header, nameHeader+": ")
	line, _, _ := strings.Cut(rest, "\n")
	name, sum, _ := strings.Cut(line, " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	if is := fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))); is != sum {
		s.wrong = append(s.wrong, fmt.Sprintf("message %q arrived with %d bytes of text and checksum %s, want %s", name, len(text), is, sum))
	}
	for _, r := range to {
		s.arrived[name+" "+r] = append(s.arrived[name+" "+r], time.Now())
	}
}

// quiet waits until what dead clients have sent has been read to its end.
func (s *sink) quiet(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		s.mu.Lock()
		n := len(s.conns)
		s.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d connections of dead daemons do not end: %w", n, ctx.Err())
		}
	}
}

// stopAt returns a channel that is closed when so many more messages have arrived: before the last of them is answered, or
// after. While it is closed nothing more is answered.
func (s *sink) stopAt(n int, before bool) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop, s.before, s.reached, s.resume = n, before, make(chan struct{}), make(chan struct{})
	return s.reached
}

// goOn lets the sink answer again.
func (s *sink) goOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resume != nil {
		close(s.resume)
	}
	s.stop, s.resume = 0, nil
}

// answer says the reply to a message that has arrived, when it may.
func (s *sink) answer(say func(string) bool) bool {
	s.mu.Lock()
	resume, last := s.resume, false
	switch {
	case resume == nil:
	case s.stop > 0:
		s.stop--
		last = s.stop == 0
	}
	hold := resume != nil && (s.stop == 0 && !last || last && s.before)
	reached := s.reached
	s.mu.Unlock()
	if last && s.before {
		close(reached)
	}
	if hold {
		<-resume
	}
	ok := say("250 OK")
	if last && !s.before {
		close(reached)
	}
	return ok
}

// missing is how many of the names have not arrived.
func (s *sink) missing(names map[string]bool) (n int, one string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range names {
		if len(s.arrived[name]) == 0 {
			n, one = n+1, name
		}
	}
	return n, one
}
