package dns

import (
	"bufio"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// hostsFile answers from a hosts file (hosts(5)). The file is looked at again at most once a second, and read
// again when its size or time changed. A file that cannot be read is empty: localhost works all the same.
type hostsFile struct {
	path string
	now  func() time.Time

	mu      sync.Mutex
	checked time.Time
	mtime   time.Time
	size    int64
	names   map[string][]netip.Addr
}

// maxHostsFile bounds what is read of a hosts file, in bytes.
const maxHostsFile = 4 << 20

// lookup is the addresses of a canonical name, IPv4 first; ok is false for names that the file does not have.
func (h *hostsFile) lookup(name string) (addrs []netip.Addr, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.now(); h.names == nil || now.Sub(h.checked) >= time.Second || now.Before(h.checked) {
		h.checked = now
		h.refresh()
	}
	if addrs, ok = h.names[name]; ok {
		return addrs, true
	}
	if isLocalhost(name) {
		return loopback, true
	}
	return nil, false
}

var loopback = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// isLocalhost reports the names that never leave the machine (RFC 6761 6.3).
func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

func (h *hostsFile) refresh() {
	st, err := os.Stat(h.path)
	if err != nil {
		h.names, h.mtime, h.size = map[string][]netip.Addr{}, time.Time{}, 0
		return
	}
	if h.names != nil && st.ModTime().Equal(h.mtime) && st.Size() == h.size {
		return
	}
	h.mtime, h.size = st.ModTime(), st.Size()
	h.names = readHosts(h.path)
}

func readHosts(path string) map[string][]netip.Addr {
	names := make(map[string][]netip.Addr)
	f, err := os.Open(path)
	if err != nil {
		return names
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	read := 0
	for sc.Scan() && read < maxHostsFile {
		read += len(sc.Bytes()) + 1
		addHostsLine(names, sc.Text())
	}
	for name, addrs := range names {
		names[name] = orderFamilies(addrs)
	}
	return names
}

func addHostsLine(names map[string][]netip.Addr, line string) {
	line, _, _ = strings.Cut(line, "#")
	words := strings.Fields(line)
	if len(words) < 2 {
		return
	}
	addr, err := netip.ParseAddr(words[0])
	if err != nil || addr.Zone() != "" {
		return
	}
	for _, w := range words[1:] {
		if name, err := Canonical(w); err == nil && len(names[name]) < maxAddrs {
			names[name] = append(names[name], addr.Unmap())
		}
	}
}

// orderFamilies puts IPv4 addresses first, each family in its order.
func orderFamilies(addrs []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		if a.Is4() {
			out = append(out, a)
		}
	}
	for _, a := range addrs {
		if !a.Is4() {
			out = append(out, a)
		}
	}
	return out
}
