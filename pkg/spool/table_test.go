package spool

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"kumo/pkg/message"
)

func TestEntryIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(entry{}); n != 64 {
		t.Errorf("an entry has %d bytes", n)
	}
}

// TestTableAgainstAMap does random things to a table and to a map, with ids that collide.
func TestTableAgainstAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var tab table
	want := make(map[message.ID]uint32)
	id := func() (id message.ID) {
		binary.LittleEndian.PutUint16(id[:], uint16(rng.IntN(6000))+1)
		return id
	}
	for step := range uint32(300_000) {
		k := id()
		shard, h := tab.lock(k)
		e := shard.get(k, h)
		if v, ok := want[k]; ok != (e != nil) || ok && e.size != v {
			t.Fatalf("step %d: entry %v, want %d, %v", step, e, v, ok)
		}
		grow := step/60_000%2 == 0
		switch {
		case e == nil && (grow || rng.IntN(3) == 0):
			shard.put(entry{id: k, size: step}, h)
			want[k] = step
		case e != nil && (!grow || rng.IntN(3) == 0):
			if got, ok := shard.remove(k, h); !ok || got.size != want[k] {
				t.Fatalf("step %d: removed %v, %v", step, got, ok)
			}
			delete(want, k)
		}
		shard.Unlock()
	}
	if tab.len() != len(want) {
		t.Errorf("%d entries, want %d", tab.len(), len(want))
	}
	seen := 0
	tab.each(func(e entry) bool {
		if want[e.id] != e.size {
			t.Errorf("entry %v", e)
		}
		seen++
		return true
	})
	if seen != len(want) {
		t.Errorf("each saw %d of %d", seen, len(want))
	}
	for k := range want {
		shard, h := tab.lock(k)
		shard.remove(k, h)
		shard.Unlock()
	}
	for i := range tab.shard {
		if len(tab.shard[i].chunks) > 1 {
			t.Errorf("an empty shard keeps %d chunks", len(tab.shard[i].chunks))
		}
	}
}

// BenchmarkMillionEntries measures what a million live messages cost in memory.
func BenchmarkMillionEntries(b *testing.B) {
	src := message.NewIDSource(time.Now)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		tab := new(table)
		for range 1_000_000 {
			e := entry{id: src.Next()}
			shard, h := tab.lock(e.id)
			shard.put(e, h)
			shard.Unlock()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "B/message")
		runtime.KeepAlive(tab)
	}
}
