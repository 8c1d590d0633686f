package spool_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// queued is a spool of n scheduled messages of 1 KB, and their ids.
func queued(b *testing.B, s *spool.Spool, n int) []message.ID {
	next := newID()
	body := strings.Repeat("x", 1024)
	ids := make([]message.ID, 0, n)
	for range n / 100 {
		ms := make([]*message.Message, 100)
		for i := range ms {
			ms[i] = newMessage(next(), body)
			ms[i].SetData([]byte(body))
			ids = append(ids, ms[i].ID)
		}
		if err := s.Accept(context.Background(), "", ms...); err != nil {
			b.Fatal(err)
		}
	}
	for _, id := range ids {
		s.Give(id)
	}
	return ids
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkRecovery opens a spool of 100,000 queued messages of 1 KB.
func BenchmarkRecovery(b *testing.B) {
	dir := b.TempDir()
	const n = 100_000
	s := open(b, dir)
	queued(b, s, n)
	_ = s.Close()
	memory := 0.0
	start := cpu()
	spent := time.Duration(0)
	for b.Loop() {
		s := open(b, dir)
		if s.Len() != n {
			b.Fatalf("%d messages", s.Len())
		}
		b.StopTimer()
		spent += cpu() - start
		memory = heap()
		_ = s.Close()
		s = nil
		memory -= heap()
		start = cpu()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/n, "cpu-ns/message")
	b.ReportMetric(memory/n, "B/message")
}

// BenchmarkApply bounces 100,000 messages into the trash and brings them back, 10,000 at a time.
func BenchmarkApply(b *testing.B) {
	s := open(b, b.TempDir())
	ids := queued(b, s, 100_000)
	start := cpu()
	for b.Loop() {
		for _, c := range []spool.Change{spool.ChangeTrash, spool.ChangeRestore} {
			for part := range slices.Chunk(ids, 10_000) {
				if a, err := s.Apply(context.Background(), "order", c, time.Time{}, part); err != nil || len(a.Done) != len(part) {
					b.Fatalf("%d done: %v", len(a.Done), err)
				}
			}
		}
	}
	b.ReportMetric(float64((cpu()-start).Nanoseconds())/float64(b.N)/float64(2*len(ids)), "cpu-ns/change")
	_ = s.Close()
}

// BenchmarkTake takes messages and gives them back.
func BenchmarkTake(b *testing.B) {
	s := open(b, b.TempDir())
	ids := queued(b, s, 10_000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		id := ids[i%len(ids)]
		if _, err := s.Take(id, time.Time{}); err != nil {
			b.Fatal(err)
		}
		s.Give(id)
		i++
	}
	_ = s.Close()
}

// BenchmarkCopy copies 20,000 messages of 1 KB to the end of the log. A page is 1 MiB, and the pace is 32 MB/s.
func BenchmarkCopy(b *testing.B) {
	s := open(b, b.TempDir())
	ids := queued(b, s, 20_000)
	start := cpu()
	for b.Loop() {
		if err := s.CopyAll(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu()-start).Nanoseconds())/float64(b.N)/float64(len(ids)), "cpu-ns/message")
	_ = s.Close()
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

// crowd is a spool of n messages in so many queues, all in the index.
func crowd(b *testing.B, dir string, n, queues int) *spool.Spool {
	b.Helper()
	s := openIndexed(b, dir)
	next := newID()
	for i := 0; i < n; i += 100 {
		ms := make([]*message.Message, 100)
		for k := range ms {
			ms[k] = newMessage(next(), "x")
			ms[k].Queue = fmt.Sprintf("t%d@d%d.test", (i+k)%queues%10, (i+k)%queues)
		}
		if err := s.Accept(context.Background(), "", ms...); err != nil {
			b.Fatal(err)
		}
		for _, m := range ms {
			s.Give(m.ID)
		}
	}
	written(b, dir, n)
	return s
}

// flow has 5,000 messages per second accepted and ended until stop is called.
func flow(b *testing.B, s *spool.Spool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	next := newID()
	wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			ms := make([]*message.Message, 50)
			for i := range ms {
				ms[i] = newMessage(next(), strings.Repeat("x", 1024))
			}
			if err := s.Accept(context.Background(), "", ms...); err != nil {
				b.Error(err)
				return
			}
			for _, m := range ms {
				_ = s.End(m.ID, spool.EndDelivered)
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// BenchmarkListQueue lists one queue of 10,000 messages of 50,000 while 5,000 per second go through the spool. The
// promise is 200 ms.
func BenchmarkListQueue(b *testing.B) {
	dir := b.TempDir()
	s := crowd(b, dir, 50_000, 5)
	stop := flow(b, s)
	ctx := context.Background()
	for b.Loop() {
		r, err := spool.OpenReader(ctx, dir)
		if err != nil {
			b.Fatal(err)
		}
		rows := 0
		err = r.List(ctx, spool.Filter{Queue: "t3@d3.test"}, func(spool.Row) error {
			rows++
			return nil
		})
		if rows != 10_000 || err != nil {
			b.Fatalf("%d rows, %v", rows, err)
		}
		_ = r.Close()
	}
	stop()
	_ = s.Close()
}

// BenchmarkSummary sums up 100,000 messages in 1,000 queues. The promise is 500 ms for a million.
func BenchmarkSummary(b *testing.B) {
	dir := b.TempDir()
	s := crowd(b, dir, 100_000, 1000)
	ctx := context.Background()
	for _, c := range []struct {
		name string
		want spool.Filter
	}{
		{"all", spool.Filter{}},
		{"tenant", spool.Filter{Match: spool.Match{Tenant: "t3"}}},
		{"where", spool.Filter{Match: spool.Match{Where: "attempts >= 0"}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				r, err := spool.OpenReader(ctx, dir)
				if err != nil {
					b.Fatal(err)
				}
				if q, err := r.Summary(ctx, c.want); err != nil || len(q) < 100 {
					b.Fatalf("%d queues, %v", len(q), err)
				}
				_ = r.Close()
			}
		})
	}
	_ = s.Close()
}

// BenchmarkMatch finds messages for an order among 100,000: by the table, by rows of the index, and by envelopes that
// the index does not have.
func BenchmarkMatch(b *testing.B) {
	dir := b.TempDir()
	s := crowd(b, dir, 100_000, 1000)
	match := func(b *testing.B, m spool.Match, want int) {
		for b.Loop() {
			n := 0
			err := s.Match(context.Background(), m, nil, func(ids []message.ID) error {
				n += len(ids)
				return nil
			})
			if n != want || err != nil {
				b.Fatalf("%d messages, %v", n, err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/message")
	}
	b.Run("tenant", func(b *testing.B) { match(b, spool.Match{Tenant: "t3"}, 10_000) })
	b.Run("where", func(b *testing.B) { match(b, spool.Match{Where: "size > 0 AND tenant = 't3'"}, 10_000) })
	_ = s.Close()
	s, err := spool.Open(context.Background(), spool.Config{Dir: dir, Log: quiet, NoIndex: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("noindex", func(b *testing.B) { match(b, spool.Match{Where: "size > 0 AND tenant = 't3'"}, 10_000) })
	_ = s.Close()
}

// BenchmarkIndexRebuild builds the index of 20,000 messages.
func BenchmarkIndexRebuild(b *testing.B) {
	dir := b.TempDir()
	const n = 20_000
	_ = crowd(b, dir, n, 100).Close()
	for b.Loop() {
		remove(b, dir, "index.db", "index.db-wal", "index.db-shm")
		s := openIndexed(b, dir)
		written(b, dir, n)
		_ = s.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
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
