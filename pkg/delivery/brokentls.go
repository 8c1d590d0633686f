package delivery

import (
	"maps"
	"sync"
	"time"
)

// maxBroken bounds how many sites are remembered; beyond it what has run out goes, or else everything.
const maxBroken = 10_000

// brokenTLS remembers the sites whose STARTTLS failed (remember_broken_tls). It lives as long as the process.
type brokenTLS struct {
	now   func() time.Time
	mu    sync.Mutex
	until map[string]time.Time
}

func newBrokenTLS(now func() time.Time) *brokenTLS {
	return &brokenTLS{now: now, until: make(map[string]time.Time)}
}

// add remembers site for d.
func (b *brokenTLS) add(site string, d time.Duration) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.until) >= maxBroken {
		maps.DeleteFunc(b.until, func(_ string, t time.Time) bool { return !t.After(now) })
	}
	if len(b.until) >= maxBroken {
		clear(b.until) // forgetting costs each site one more failed handshake
	}
	b.until[site] = now.Add(d)
}

// has reports whether site is remembered.
func (b *brokenTLS) has(site string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.until[site]
	if ok && !t.After(b.now()) {
		delete(b.until, site)
		return false
	}
	return ok
}
