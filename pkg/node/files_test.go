package node

import "testing"

func TestSeats(t *testing.T) {
	for _, c := range []struct {
		want, n int
		files   uint64
		have    int
	}{
		{32768, 1, 1 << 20, 32768},
		{32768, 2, 65536, 16384},
		{32768, 1, 1024, 512},
		{32768, 3, 128, 21},
		{10, 3, 128, 10},
		{32768, 9, 8, 1},
		{32768, 1, 0, 32768},
		{32768, 1, 1<<64 - 1, 32768},
	} {
		if got := seats(c.want, c.n, c.files); got != c.have {
			t.Errorf("seats(%d, %d, %d) = %d, want %d", c.want, c.n, c.files, got, c.have)
		}
	}
}
