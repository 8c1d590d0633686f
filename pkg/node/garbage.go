package node

import (
	"runtime/debug"
	"runtime/metrics"
)

// gcRoom is how many bytes of garbage may lie around before they are collected, however small the live heap is: with
// Go's default a daemon with an empty queue would collect several hundred times a second under large messages. Much
// more room costs more in cold caches than it saves.
const gcRoom = 16 << 20

// garbage adjusts the collector to the size of the live heap. Memory without pointers, as that of a million queued
// messages, costs the collector nothing, and so must not let it wait until as much garbage lies around: what counts is
// the memory that it has to look through. Where all of it has pointers this is Go's default.
type garbage struct{ percent int }

// tune is called once a second; changing the setting stops the world, so that small differences are left alone.
func (g *garbage) tune() {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 || s[1].Value.Kind() != metrics.KindUint64 {
		return
	}
	want := gcPercent(s[0].Value.Uint64(), s[1].Value.Uint64())
	if g.percent != 0 && want*4 < g.percent*5 && want*5 > g.percent*4 {
		return
	}
	g.percent = want
	debug.SetGCPercent(want)
}

// gcPercent is how much garbage may lie around, in percent of the live heap, of which scanned bytes have pointers.
func gcPercent(live, scanned uint64) int {
	live = max(live, 1<<20)
	room := max(gcRoom, min(scanned, live), live/5)
	return int(min(room*100/live, 3200))
}
