package node

import "testing"

func TestGCPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 1600, 1 << 20: 1600, 4 << 20: 400, 16 << 20: 100, 1 << 30: 100} {
		if got := gcPercent(live); got != want {
			t.Errorf("with %d MiB live: %d %%, want %d %%", live>>20, got, want)
		}
	}
}
