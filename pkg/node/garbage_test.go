package node

import "testing"

func TestGCPercent(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		live, scanned uint64
		want          int
	}{
		{0, 0, 1600},
		{mb, mb, 1600},
		{4 * mb, mb, 400},
		{16 * mb, 16 * mb, 100},
		{1 << 30, 1 << 30, 100},
		{160 * mb, 4 * mb, 20},    // a million queued messages
		{160 * mb, 80 * mb, 50},   // half of it has pointers
		{1 << 40, 1 << 20, 19},    // a fifth in any case
		{160 * mb, 999 * mb, 100}, // the two are not measured at the same moment
	} {
		if got := gcPercent(c.live, c.scanned); got != c.want {
			t.Errorf("with %d MiB live, %d of them with pointers: %d %%, want %d %%", c.live/mb, c.scanned/mb, got, c.want)
		}
	}
}
