package delivery

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"kumo/pkg/egress"
)

// sink answers as a fast server would: one write per group, one pass over the bytes. It takes MAIL, RCPT, DATA (and
// RSET) in any grouping and counts messages.
func sink(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 64<<10)
	r, w := 0, 0
	out := append(make([]byte, 0, 4096), "220 sink\r\n"...)
	data := false
	for {
		if _, err := c.Write(out); err != nil {
			return
		}
		out = out[:0]
		for len(out) == 0 {
			if r > 0 {
				w, r = copy(buf, buf[r:w]), 0
			}
			n, err := c.Read(buf[w:])
			if err != nil {
				return
			}
			w += n
			for {
				if data {
					i := bytes.Index(buf[r:w], []byte("\r\n.\r\n"))
					if i < 0 {
						r = max(r, w-4)
						break
					}
					r += i + 5
					data = false
					out = append(out, "250 2.0.0 OK ids=1234567890\r\n"...)
					continue
				}
				i := bytes.IndexByte(buf[r:w], '\n')
				if i < 0 {
					break
				}
				switch line := buf[r : r+i]; line[0] {
				case 'E':
					out = append(out, "250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"...)
				case 'D':
					out = append(out, "354 go\r\n"...)
					data = true
				case 'M':
					out = append(out, "250 2.1.0 sender ok\r\n"...)
				case 'R':
					out = append(out, "250 2.1.5 ok\r\n"...)
				case 'Q':
					_, _ = c.Write([]byte("221 bye\r\n"))
					return
				}
				r += i + 1
			}
		}
	}
}

func cpu() (us int64) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Sec*1e6 + u.Utime.Usec + u.Stime.Sec*1e6 + u.Stime.Usec
}

// BenchmarkDeliver is one message on a reused connection; cpu-us/msg is that of client and sink together.
func BenchmarkDeliver(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) { benchDeliver(b, size, context.Background()) })
	}
	b.Run("1KB-cancellable", func(b *testing.B) { benchDeliver(b, 1<<10, b.Context()) })
}

func benchDeliver(b *testing.B, size int, ctx context.Context) {
	d := &fakeDialer{tcp: true, scripts: []func(*peer){func(p *peer) { sink(p.Conn) }}}
	plan := testPlan()
	s, err := New(Options{Dialer: d, Hostname: "client.test"}).Carrier(plan).Open(ctx, plan)
	if err != nil {
		b.Fatal(err)
	}
	m := testMessage("someone@mx.test")
	line := strings.Repeat("x", 70) + "\r\n"
	m.SetData([]byte("Subject: x\r\n\r\n" + strings.Repeat(line, size/len(line))))
	b.ReportAllocs()
	start := cpu()
	for b.Loop() {
		if res := s.Deliver(ctx, m); len(res.Attempts) != 1 || res.Attempts[0].Response.Code != 250 {
			b.Fatalf("%+v", res)
		}
	}
	b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-us/msg")
	s.Close()
	d.running.Wait()
}

// BenchmarkDeliver20 is 1 KB over 20 connections that stay open.
func BenchmarkDeliver20(b *testing.B) {
	d := &fakeDialer{tcp: true, scripts: []func(*peer){func(p *peer) { sink(p.Conn) }}}
	plan := testPlan()
	carrier := New(Options{Dialer: d, Hostname: "client.test"}).Carrier(plan)
	body := []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 14))
	b.SetParallelism(20 / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	start := cpu()
	b.RunParallel(func(pb *testing.PB) {
		s, err := carrier.Open(context.Background(), plan)
		if err != nil {
			b.Error(err)
			return
		}
		defer s.Close()
		m := testMessage("someone@mx.test")
		m.SetData(body)
		for pb.Next() {
			if res := s.Deliver(context.Background(), m); len(res.Attempts) != 1 || res.Attempts[0].Response.Code != 250 {
				b.Errorf("%+v", res)
				return
			}
		}
	})
	b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-us/msg")
	d.running.Wait()
}

var _ egress.Session = (*session)(nil)
