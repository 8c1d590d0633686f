package listener

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
)

// sink takes everything and keeps nothing.
type sink struct{ ids *message.IDSource }

func (s sink) Accept(context.Context, *message.Submission) ([]message.ID, error) {
	return []message.ID{s.ids.Next()}, nil
}
func (sink) Record(*journal.Record) {}
func (sink) ListenerDomain(context.Context, string, string, *message.Meta) (Domain, error) {
	return Domain{}, nil
}

func sinkServer(b testing.TB) *Server {
	k := sink{message.NewIDSource(time.Now)}
	s, err := New(Parts{Options: options(b, map[string]any{"max_messages_per_connection": int64(1 << 40)}), Hooks: k, Intake: k, Recorder: k})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// cpu is the processor time of this process: on a machine that others use, the only figure that means something.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func letter(n int) string {
	var b strings.Builder
	b.WriteString("Subject: benchmark\r\nFrom: <a@example.org>\r\n\r\n")
	for b.Len() < n {
		b.WriteString("This is a line of a usual length, as mail programs make them when they wrap\r\n")
	}
	return b.String() + ".\r\n"
}

const envelope = "MAIL FROM:<sender@example.org>\r\nRCPT TO:<recipient@example.com>\r\nDATA\r\n"

// BenchmarkSession is a transaction without a network: what we ourselves cost.
func BenchmarkSession(b *testing.B) {
	for name, n := range map[string]int{"1KB": 1000, "100KB": 100_000} {
		b.Run(name, func(b *testing.B) {
			s := sinkServer(b)
			text := []byte(letter(n))
			conn := &scripted{silent: true, loop: 1, repeat: b.N - 1}
			conn.pieces = [][]byte{[]byte("EHLO a\r\n"), []byte(envelope)}
			for rest := text; len(rest) > 0; {
				k := min(len(rest), 4096)
				conn.pieces = append(conn.pieces, rest[:k:k])
				rest = rest[k:]
			}
			b.ReportAllocs()
			b.SetBytes(int64(n))
			before := cpu()
			b.ResetTimer()
			ss := s.newSession(context.Background(), conn)
			ss.run()
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
			if ss.mails != b.N {
				b.Fatalf("%d of %d messages", ss.mails, b.N)
			}
		})
	}
}

// BenchmarkLoopback is a transaction over loopback with the client in another process, so that cpu-us/op is the
// server's alone: the figure of the budget (15 us for 1 KB, 36 us for 100 KB, pipelined).
func BenchmarkLoopback(b *testing.B) {
	for name, n := range map[string]int{"1KB": 1000, "10KB": 10_000, "100KB": 100_000} {
		b.Run(name, func(b *testing.B) {
			r := serve(b, sinkServer(b))
			self, err := os.Executable()
			if err != nil {
				b.Fatal(err)
			}
			client := exec.Command(self, "-test.run=^TestBenchClient$")
			client.Env = append(os.Environ(), fmt.Sprintf("KUMO_BENCH_CLIENT=%s %d %d", r.addr, b.N, n))
			before := cpu()
			b.ResetTimer()
			out, err := client.CombinedOutput()
			if err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N)/1000, "cpu-us/op")
		})
	}
}

// TestBenchClient is the other process of BenchmarkLoopback: 20 connections, envelope in one write, then the text.
func TestBenchClient(t *testing.T) {
	var addr string
	var total, size int
	if _, err := fmt.Sscan(os.Getenv("KUMO_BENCH_CLIENT"), &addr, &total, &size); err != nil {
		return
	}
	text := letter(size)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			step := func(command string, replies int) {
				if _, err := io.WriteString(conn, command); err != nil {
					t.Error(err)
				}
				for range replies {
					line, err := in.ReadString('\n')
					if code, _ := strconv.Atoi(line[:min(3, len(line))]); err != nil || code < 200 || code >= 400 {
						t.Errorf("%q %v", line, err)
						return
					}
				}
			}
			step("EHLO a\r\n", 7)
			for range (total + 19 - i) / 20 {
				step(envelope, 3)
				step(text, 1)
			}
		})
	}
	wg.Wait()
}
