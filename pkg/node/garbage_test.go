package node

import "testing"

func TestGCPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 3200, 2 << 20: 3200, 8 << 20: 800, 64 << 20: 100, 1 << 30: 100} {
		if got := gcPercent(live); got != want {
			t.Errorf("with %d MiB live: %d %%, want %d %%", live>>20, got, want)
		}
	}
}
