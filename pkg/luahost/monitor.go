package luahost

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/luahost/internal/glob"
)

// monitorPeriod is how often the monitored files are looked at (semantics.md 2.1).
const monitorPeriod = 10 * time.Second

// maxMonitored bounds one monitored file, in bytes; of larger ones only size and times count.
const maxMonitored = 64 << 20

// monitor counts configurations: whenever the content of a monitored file changes, a new epoch begins.
type monitor struct {
	epoch  atomic.Uint64
	broken atomic.Bool // what is on disk does not load; the policy of before is in force
	kick   chan struct{}

	mu    sync.Mutex
	globs []string

	// Only the goroutine that watches uses these.
	seen map[string]watched
}

// watched is a file as it was last read.
type watched struct {
	size    int64
	changed time.Time
	inode   any
	sum     [sha256.Size]byte
}

// defaultGlobs are monitored until the policy says otherwise.
func defaultGlobs() []string { return []string{"/opt/kumomta/etc/**/*.{lua,json,toml,yaml}"} }

// Epoch counts the configurations, from 1.
func (h *Host) Epoch() uint64 { return h.monitor.epoch.Load() }

// Broken tells that the policy's files were changed into something that does not load, so that the one of before is
// in force.
func (h *Host) Broken() bool { return h.monitor.broken.Load() }

// BumpEpoch begins a new epoch: what counts until the next one is asked again, and new States are made.
func (h *Host) BumpEpoch() {
	h.monitor.epoch.Add(1)
	select {
	case h.monitor.kick <- struct{}{}:
	default:
	}
}

// Watch looks every 10 s whether the content of a file has changed that the policy was read from or that the globs of
// kumo.set_config_monitor_globs name. If so the policy is loaded anew and an epoch begins. A policy that does not load
// leaves everything as it is; that is logged once for each change. It returns when ctx ends.
func (h *Host) Watch(ctx context.Context) error {
	tick := time.NewTicker(monitorPeriod)
	defer tick.Stop()
	last := h.fingerprint(ctx)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.monitor.kick: // the epoch has begun already
			h.renew(ctx)
			continue
		case <-tick.C:
		}
		now := h.fingerprint(ctx)
		if now == last || ctx.Err() != nil {
			continue
		}
		last = now
		if h.renew(ctx) {
			h.opt.Log.Info("configuration has changed", "epoch", h.monitor.epoch.Add(1))
			last = h.fingerprint(ctx) // the policy may require other files now
		}
	}
}

// renew loads the policy anew. It reports whether that worked.
func (h *Host) renew(ctx context.Context) bool {
	err := h.Reload(ctx)
	if err != nil && ctx.Err() == nil {
		h.monitor.broken.Store(true)
		h.opt.Log.Error("the policy does not load; the one of before stays in force", "error", err)
		return false
	}
	if h.monitor.broken.Swap(false) {
		h.opt.Log.Info("the policy loads again")
	}
	return err == nil
}

// fingerprint is the names and contents of all monitored files.
func (h *Host) fingerprint(ctx context.Context) [sha256.Size]byte {
	names, err := h.monitored(ctx.Err)
	if err != nil {
		h.warnOnce("globs "+err.Error(), "configuration monitor: "+err.Error())
	}
	seen := make(map[string]watched, len(names))
	sum := sha256.New()
	for _, name := range names {
		w, ok := h.monitor.look(name)
		if !ok {
			continue
		}
		seen[name] = w
		fmt.Fprintf(sum, "%d %s %x\n", len(name), name, w.sum)
	}
	h.monitor.seen = seen
	return [sha256.Size]byte(sum.Sum(nil))
}

// look reads a file again if its size, inode or times have changed. Not ok: it is not there, or no regular file.
func (m *monitor) look(name string) (w watched, ok bool) {
	st, err := os.Stat(name)
	if err != nil || !st.Mode().IsRegular() {
		return w, false
	}
	w = watched{size: st.Size(), changed: changeTime(st), inode: inode(st)}
	if old, ok := m.seen[name]; ok && old.size == w.size && old.changed.Equal(w.changed) && old.inode == w.inode {
		return old, true
	}
	f, err := os.Open(name)
	if err != nil {
		return w, false
	}
	defer f.Close()
	sum := sha256.New()
	if n, err := io.Copy(sum, io.LimitReader(f, maxMonitored)); err != nil || n == maxMonitored {
		fmt.Fprint(sum, w.size, w.changed)
	}
	w.sum = [sha256.Size]byte(sum.Sum(nil))
	return w, true
}

// monitored lists the files that the globs name, and those that the policy was read from.
func (h *Host) monitored(stop func() error) ([]string, error) {
	h.monitor.mu.Lock()
	globs := slices.Clone(h.monitor.globs)
	h.monitor.mu.Unlock()
	names := h.Files()
	var failed error
	for _, g := range globs {
		found, err := glob.Find(g, stop)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("glob %s: %w", g, err))
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	return slices.Compact(names), failed
}

// monitorFuncs are the functions about configuration epochs.
var monitorFuncs = []Func{
	{Name: "set_config_monitor_globs", Args: "{ glob, … }", Since: "2024.11.08-d383b033", Doc: "Which files to monitor: every 10 s their content is compared, and a change begins a new configuration epoch. The files that the policy itself was read from are always monitored. /opt/kumomta/etc/**/*.{lua,json,toml,yaml} when it is not called.", Example: `kumo.on('init', function()
  kumo.set_config_monitor_globs { '/etc/kumo/**/*.{lua,toml}' }
end)`, Go: func(l *lua.LState) int {
		v, err := ToGo(l.CheckTable(1))
		list, ok := v.([]any)
		if err != nil || !ok && l.CheckTable(1).Len() > 0 {
			l.ArgError(1, "a list of globs expected")
		}
		globs := make([]string, 0, len(list))
		for _, e := range list {
			s, ok := e.(string)
			if !ok || strings.ContainsRune(s, 0) {
				l.ArgError(1, "a list of globs expected")
			}
			globs = append(globs, s)
		}
		m := &From(l).host.monitor
		m.mu.Lock()
		m.globs = globs
		m.mu.Unlock()
		return 0
	}},
	{Name: "eval_config_monitor_globs", Args: "()", Returns: "list of strings", Since: "2024.11.08-d383b033", Doc: "The files that are monitored now.", Example: `print(#kumo.eval_config_monitor_globs())`, Go: func(l *lua.LState) int {
		s := From(l)
		names, err := s.host.monitored(s.guard.expired)
		if err != nil {
			Fail(l, fmt.Errorf("kumo.eval_config_monitor_globs: %w", err))
		}
		return pushNames(l, names)
	}},
	{Name: "bump_config_epoch", Args: "()", Since: "2024.11.08-d383b033", Doc: "Begins a new configuration epoch: what counts until the next one is asked again, and Lua contexts are renewed.", Example: `kumo.bump_config_epoch()`, Go: func(l *lua.LState) int {
		From(l).host.BumpEpoch()
		return 0
	}},
}
