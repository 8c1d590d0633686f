package node

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"kumo/pkg/policy"
)

func TestCgroupLimit(t *testing.T) {
	const mib = 1 << 20
	tests := map[string]struct {
		groups string
		files  map[string]string
		want   int64
	}{
		"none":                    {"0::/\n", nil, 0},
		"version 2":               {"0::/mail\n", map[string]string{"mail/memory.max": "67108864\n"}, 64 * mib},
		"of the group around":     {"0::/mail/kumo\n", map[string]string{"mail/kumo/memory.max": "max\n", "mail/memory.max": "33554432\n"}, 32 * mib},
		"the least counts":        {"0::/mail/kumo\n", map[string]string{"mail/kumo/memory.max": "16777216\n", "mail/memory.max": "33554432\n"}, 16 * mib},
		"container, version 2":    {"0::/docker/1234\n", map[string]string{"memory.max": "67108864\n"}, 64 * mib},
		"container, version 1":    {"5:cpu:/x\n4:memory:/docker/1234\n0::/\n", map[string]string{"memory/memory.limit_in_bytes": "67108864\n"}, 64 * mib},
		"version 1 with no limit": {"4:memory:/\n", map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"nonsense":                {"x\n0::\n", map[string]string{"memory.max": "lots\n"}, 0},
	}
	for name, tt := range tests {
		root := t.TempDir()
		for file, text := range tt.files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := cgroupLimit([]byte(tt.groups), root); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// TestMessagesOnTheirWayInShareMemory: together they take at most a third, but one is always let in.
func TestMessagesOnTheirWayInShareMemory(t *testing.T) {
	m := newMemory()
	m.SetLimit(policy.MemorySoft, 300)
	for _, n := range []int{32, 64} { // a session whose buffer doubles
		if !m.Take(n) {
			t.Fatalf("the first session gets no %d bytes", n)
		}
	}
	m.Give(32)
	if m.Take(64) {
		t.Error("a second session gets more than there is")
	}
	if !m.Take(16) {
		t.Error("a second session does not get what is left")
	}
	m.Give(16)
	if !m.Take(128) {
		t.Error("a session that is alone does not get more than there is")
	}
	m.Give(64)
	m.Give(128)
	if n := m.taken.Load(); n != 0 {
		t.Errorf("%d bytes are left over", n)
	}
}

// TestMemoryLimits: what policy does not set follows what it sets.
func TestMemoryLimits(t *testing.T) {
	expect := func(m *memory, when string, hard, soft, low int64) {
		t.Helper()
		if m.Limit(policy.MemoryHard) != hard || m.Limit(policy.MemorySoft) != soft || m.Limit(policy.MemoryLow) != low {
			t.Errorf("%s: hard %d, soft %d, low %d; want %d, %d, %d", when,
				m.Limit(policy.MemoryHard), m.Limit(policy.MemorySoft), m.Limit(policy.MemoryLow), hard, soft, low)
		}
	}
	m := newMemory()
	m.SetLimit(policy.MemoryHard, 4000)
	expect(m, "hard", 4000, 3000, 2400)
	m.SetLimit(policy.MemorySoft, 1000)
	expect(m, "soft", 4000, 1000, 800)
	m.SetLimit(policy.MemoryLow, 10)
	expect(m, "low", 4000, 1000, 10)
	m.SetLimit(policy.MemoryHard, 8000)
	expect(m, "hard again", 8000, 1000, 10)
}

// TestMemoryIsRelieved: room is made when there is none left, not every second, and each shortage is counted once.
func TestMemoryIsRelieved(t *testing.T) {
	m := newMemory()
	relieved := 0
	m.relieve = func() { relieved++ }
	now := time.Unix(1000, 0)
	if !m.look(now) || relieved > 0 || m.lows.Load() > 0 {
		t.Fatalf("with all the memory there is: relieved %d, low %d", relieved, m.lows.Load())
	}
	m.SetLimit(policy.MemoryLow, 1)
	if !m.look(now) || relieved > 0 || !m.low() {
		t.Errorf("low memory: relieved %d", relieved)
	}
	m.SetLimit(policy.MemorySoft, 1)
	for i := range 7 {
		if m.look(now.Add(time.Duration(i) * time.Second)) {
			t.Error("mail is taken without memory")
		}
	}
	if relieved != 2 || m.lows.Load() != 1 || m.overs.Load() != 1 {
		t.Errorf("in 7 seconds: relieved %d, low %d, over %d times", relieved, m.lows.Load(), m.overs.Load())
	}
	m.SetLimit(policy.MemorySoft, 1<<50)
	m.SetLimit(policy.MemoryLow, 1<<50)
	if !m.look(now) || m.low() {
		t.Error("does not heal")
	}
}
