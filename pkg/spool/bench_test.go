package spool_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
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

// diskBytes is how many bytes this process has caused to be written to disks.
func diskBytes() float64 {
	b, _ := os.ReadFile("/proc/self/io")
	_, text, _ := strings.Cut(string(b), "\nwrite_bytes: ")
	text, _, _ = strings.Cut(text, "\n")
	n, _ := strconv.ParseFloat(text, 64)
	return n
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
	s := openIndexed(b, b.TempDir())
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
	start, disk := cpu(), diskBytes()
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
	b.ReportMetric((diskBytes()-disk)/float64(b.N)/float64(size), "written/payload")
	b.ReportMetric(float64(b.N)/float64(max(1, st.Syncs)), "msgs/sync")
	b.ReportMetric(float64(st.Written)/float64(b.N)-float64(size), "overhead-B/op")
	_ = s.Close()
}

// BenchmarkRecovery opens a spool of 100,000 queued messages of 1 KB.
func BenchmarkRecovery(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir)
	next := newID()
	body := strings.Repeat("x", 1024)
	for range 1000 {
		ms := make([]*message.Message, 100)
		for i := range ms {
			ms[i] = newMessage(next(), body)
		}
		if err := s.Accept(context.Background(), "", ms...); err != nil {
			b.Fatal(err)
		}
	}
	_ = s.Close()
	for b.Loop() {
		s := open(b, dir)
		if s.Len() != 100_000 {
			b.Fatalf("%d messages", s.Len())
		}
		b.StopTimer()
		_ = s.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/message")
}

// BenchmarkList lists 20,000 messages beside their owner.
func BenchmarkList(b *testing.B) {
	dir := b.TempDir()
	s := openIndexed(b, dir)
	next := newID()
	const n = 20_000
	for range n / 100 {
		ms := make([]*message.Message, 100)
		for i := range ms {
			ms[i] = newMessage(next(), "x")
		}
		if err := s.Accept(context.Background(), "", ms...); err != nil {
			b.Fatal(err)
		}
	}
	ctx := context.Background()
	rows := func() int {
		r, err := spool.OpenReader(ctx, dir)
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		rows := 0
		err = r.List(ctx, spool.Filter{}, func(spool.Row) error {
			rows++
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		return rows
	}
	indexed(b, dir, n)
	for b.Loop() {
		if got := rows(); got != n {
			b.Fatalf("%d rows", got)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
	_ = s.Close()
}

// BenchmarkSpace measures what node does every second.
func BenchmarkSpace(b *testing.B) {
	s := open(b, b.TempDir())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Space(); err != nil {
			b.Fatal(err)
		}
	}
	_ = s.Close()
}
