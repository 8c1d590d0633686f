package spool_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAcceptEnd accepts and ends 1 KB messages on the disk of the temporary directory.
func BenchmarkAcceptEnd(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10} {
		for _, writers := range []int{1, 20, 64} {
			b.Run(fmt.Sprintf("%dKB/%d", size>>10, writers), func(b *testing.B) { acceptEnd(b, size, writers) })
		}
	}
}

func acceptEnd(b *testing.B, size, writers int) {
	s := open(b, b.TempDir())
	next := newID()
	conn := message.NewMeta(nil)
	conn.Set("received_from", "127.0.0.1:2525")
	conn.Set("hostname", "mx.example.com")
	conn.Set("reception_protocol", "ESMTP")
	body := strings.Repeat("x", size)
	b.ReportAllocs()
	b.SetBytes(int64(size))
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{})
	b.ResetTimer()
	start := cpu()
	for range writers {
		go func() {
			m := newMessage(message.ID{}, body)
			for left.Add(-1) >= 0 {
				m.ID, m.Meta = next(), message.NewMeta(conn)
				if err := s.Accept(context.Background(), "", m); err != nil {
					b.Error(err)
				}
				if err := s.End(m.ID, spool.EndDelivered); err != nil {
					b.Error(err)
				}
			}
			done <- struct{}{}
		}()
	}
	for range writers {
		<-done
	}
	b.StopTimer()
	st := s.Stats()
	b.ReportMetric(float64(cpu()-start)/1e3/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(b.N)/float64(max(1, st.Syncs)), "msgs/sync")
	b.ReportMetric(float64(st.Written)/float64(b.N)-float64(size), "overhead-B/op")
	_ = s.Close()
}
