package node

import (
	"runtime/debug"
	"runtime/metrics"
)

// gcRoom is how many bytes of garbage may lie around before they are collected, however small the live heap is: with
// Go's default a daemon with an empty queue would collect several hundred times a second under large messages. Much
// more room costs more in cold caches than it saves.
const gcRoom = 16 << 20

// garbage adjusts the collector to the size of the live heap. With a large one it is Go's default.
type garbage struct{ percent int }

// tune is called once a second; changing the setting stops the world, so that small differences are left alone.
func (g *garbage) tune() {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return
	}
	want := gcPercent(s[0].Value.Uint64())
	if g.percent != 0 && want*4 < g.percent*5 && want*5 > g.percent*4 {
		return
	}
	g.percent = want
	debug.SetGCPercent(want)
}

func gcPercent(live uint64) int {
	return int(min(max(gcRoom*100/max(live, 1<<20), 100), 3200))
}
