package node

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kumo/pkg/policy"
)

// memory is the daemon's view of how much it may use (semantics.md 19): the hard limit is the first of cgroup, address
// space ulimit and RAM that is set, unless policy sets it; 75 % of it is the soft limit, above which no new mail is
// taken; above 80 % of that memory is low.
type memory struct {
	limits [3]atomic.Int64 // by policy.MemoryLimit
	set    [3]atomic.Bool  // by policy, so that it does not follow the others
	used   atomic.Int64
	taken  atomic.Int64 // by messages on their way in, as listener.Memory counts them

	relief  time.Time
	relieve func()      // gives back what can be had again; nil: nothing
	isLow   atomic.Bool // what the last look found
	isOver  atomic.Bool
	lows    atomic.Int64 // how often usage went over the low threshold
	overs   atomic.Int64 // how often it went over the limit
}

func newMemory() *memory {
	m := &memory{}
	m.limits[policy.MemoryHard].Store(memoryLimit())
	m.follow()
	return m
}

// follow works out the limits that policy has not set.
func (m *memory) follow() {
	if !m.set[policy.MemorySoft].Load() {
		m.limits[policy.MemorySoft].Store(m.Limit(policy.MemoryHard) / 4 * 3)
	}
	if !m.set[policy.MemoryLow].Load() {
		m.limits[policy.MemoryLow].Store(m.soft() / 5 * 4)
	}
}

// Limit and SetLimit are policy.Memory.
func (m *memory) Limit(which policy.MemoryLimit) int64 { return m.limits[which].Load() }

// SetLimit sets a limit, and those that follow from it.
func (m *memory) SetLimit(which policy.MemoryLimit, bytes int64) {
	m.limits[which].Store(bytes)
	m.set[which].Store(true)
	m.follow()
}

func (m *memory) soft() int64 { return m.Limit(policy.MemorySoft) }

// Take is listener.Memory: messages on their way in may take a third of the soft limit, since what becomes of them
// takes as much again. One message is always let in: n is twice what its session has already.
func (m *memory) Take(n int) bool {
	now := m.taken.Add(int64(n))
	if now > m.soft()/3 && now-int64(n) > int64(n)/2 {
		m.taken.Add(int64(-n))
		return false
	}
	return true
}

// Give is listener.Memory.
func (m *memory) Give(n int) { m.taken.Add(int64(-n)) }

// low reports that more than the low threshold is in use: bodies leave memory once they are stored.
func (m *memory) low() bool { return m.used.Load() > m.Limit(policy.MemoryLow) }

// look measures, counts, and makes room when there is none left. It is called once a second; false means that no mail
// is to be taken.
func (m *memory) look(now time.Time) bool {
	m.refresh()
	if m.low() {
		if !m.isLow.Swap(true) {
			m.lows.Add(1)
		}
	} else {
		m.isLow.Store(false)
	}
	if m.headroom() > 0 {
		m.isOver.Store(false)
		return true
	}
	if !m.isOver.Swap(true) {
		m.overs.Add(1)
	}
	if now.Sub(m.relief) >= reliefTime {
		m.relief = now
		if m.relieve != nil {
			m.relieve()
		}
		debug.FreeOSMemory() // which Go would do in its own time
		m.refresh()
	}
	return m.headroom() > 0
}

// collectSooner makes the collector work harder near the soft limit than it would by itself: garbage must not be what
// mail is refused for. GOMEMLIMIT, if set, says it otherwise.
func (m *memory) collectSooner() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(m.soft() / 10 * 9)
	}
}

// reliefTime is how often making room is tried: it costs a full collection.
const reliefTime = 5 * time.Second

// refresh reads the resident size. It is called once a second.
func (m *memory) refresh() {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return
	}
	f := bytes.Fields(b)
	if len(f) < 2 {
		return
	}
	if pages, err := strconv.ParseInt(string(f[1]), 10, 64); err == nil {
		m.used.Store(pages * int64(os.Getpagesize()))
	}
}

// headroom is how many bytes are left below the soft limit, 0 when none are.
func (m *memory) headroom() int64 {
	return max(0, min(m.soft(), m.Limit(policy.MemoryHard))-m.used.Load())
}

func memoryLimit() int64 {
	if groups, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		if n := cgroupLimit(groups, "/sys/fs/cgroup"); n > 0 {
			return n
		}
	}
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_AS, &l) == nil && l.Cur < 1<<62 {
		return int64(l.Cur)
	}
	return ram()
}

// cgroupLimit is the least memory.max (version 2) or memory.limit_in_bytes (version 1) of this process's groups and
// of those around them, 0 without one. groups is /proc/self/cgroup, root where the groups are mounted. In a container
// the paths in groups may be those of the host: then only the root is there, and is the container's own group.
func cgroupLimit(groups []byte, root string) int64 {
	total := ram()
	var least int64
	for line := range strings.Lines(string(groups)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		mount, file := root, "memory.max"
		if strings.Contains(part[1], "memory") {
			mount, file = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		} else if part[1] != "" {
			continue
		}
		for dir := filepath.Clean("/" + part[2]); ; dir = filepath.Dir(dir) {
			if n := readLimit(filepath.Join(mount, dir, file)); n > 0 && n < total && (least == 0 || n < least) {
				least = n
			}
			if dir == "/" {
				break
			}
		}
	}
	return least
}

// readLimit is the number in a file, 0 when there is none ("max").
func readLimit(file string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func ram() int64 {
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) != nil {
		return 1 << 32
	}
	return int64(si.Totalram) * int64(si.Unit)
}
