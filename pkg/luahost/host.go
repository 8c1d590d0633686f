package luahost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"kumo/pkg/cache"
)

// Defaults of Options, KumoMTA's where it has them.
const (
	DefaultMaxAge    = 300 * time.Second
	DefaultMaxUses   = 1024
	DefaultMaxSpare  = 8192
	DefaultMaxStates = 1024
	DefaultTimeout   = 5 * time.Minute // data_processing_timeout's default
)

// Options say what a Host runs and what its policy can see.
type Options struct {
	Path   string // policy file; also the place that require looks beside
	Source []byte // the policy's text; nil: read from Path
	Name   string // what errors call the policy; default Path

	Modules []Module
	Types   []*Type
	Events  []Event

	// Owner is whoever made the Host; bindings get it back from State.Owner.
	Owner any
	// Caches measure and size what all States share; nil for caches that nobody looks at.
	Caches *cache.Set
	// Library is searched by require after package.path: modules that ship in the binary.
	Library fs.FS
	// SearchPath replaces the templates that package.path has after the policy's own directory.
	SearchPath []string

	Log       *slog.Logger     // default: discard
	Print     io.Writer        // where Lua's print goes; default os.Stderr
	Now       func() time.Time // default time.Now
	Timeout   time.Duration    // the longest a call may take, whatever its context says
	MaxStates int              // states alive at once; more calls wait
}

// Host holds a compiled policy and the pool of States that run it. Safe for concurrent use.
type Host struct {
	opt     Options
	file    bool // the policy comes from Options.Path
	edition atomic.Pointer[edition]
	byName  map[string]EventID
	warned  sync.Map // what was warned about already
	maxAge  atomic.Int64
	maxUses atomic.Int64
	pool    pool
	globs   *cache.Cache[string, []string] // of kumo.fs.glob

	monitor monitor
	boxes   sync.Map // name -> *mailbox, of kumo.mpsc
	memosMu sync.Mutex
	memos   map[string]*memo // by name
}

// New compiles the policy and runs its top level once, under ctx. Errors are *SyntaxError, *Error or of the file.
func New(ctx context.Context, opt Options) (*Host, error) {
	file := opt.Source == nil
	if err := opt.fill(); err != nil {
		return nil, err
	}
	proto, err := Compile(opt.Name, opt.Source)
	if err != nil {
		return nil, err
	}
	h := &Host{opt: opt, file: file, byName: make(map[string]EventID, len(opt.Events))}
	h.edition.Store(newEdition(proto, len(opt.Events)))
	h.monitor.epoch.Store(1)
	h.monitor.kick, h.monitor.globs = make(chan struct{}, 1), defaultGlobs()
	h.globs = cache.New[string, []string](opt.Caches, "mod_filesystem_glob_cache", cache.Options{})
	for i := range opt.Events {
		h.byName[opt.Events[i].Name] = EventID(i)
	}
	h.maxAge.Store(int64(DefaultMaxAge))
	h.maxUses.Store(DefaultMaxUses)
	h.pool.maxSpare.Store(DefaultMaxSpare)
	h.pool.maxLive = opt.MaxStates
	s, err := h.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	h.Release(s)
	return h, nil
}

func (o *Options) fill() error {
	if o.Name == "" {
		o.Name = o.Path
	}
	if o.Source == nil {
		src, err := readText(o.Path)
		if err != nil {
			return fmt.Errorf("read policy: %w", err)
		}
		o.Source = src
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Print == nil {
		o.Print = os.Stderr
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxStates <= 0 {
		o.MaxStates = DefaultMaxStates
	}
	if o.SearchPath == nil {
		o.SearchPath = []string{
			"/opt/kumomta/etc/policy/?.lua", "/opt/kumomta/etc/?.lua",
			"/opt/kumomta/share/?.lua", "/opt/kumomta/share/?/init.lua",
		}
	}
	return nil
}

// readText reads a Lua file of bounded size; only regular files, so that a pipe cannot hold up the start.
func readText(path string) ([]byte, error) {
	if path == "" {
		return nil, errors.New("no file was named")
	}
	return readRegular(path, MaxSource)
}

// readRegular reads a regular file of at most limit bytes.
func readRegular(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("larger than %d bytes", limit)}
	}
	return b, err
}

// dir is the directory that relative requires start from.
func (o *Options) dir() string {
	if o.Path == "" {
		return ""
	}
	return filepath.Dir(o.Path)
}

// Event is the id of the event with this name.
func (h *Host) Event(name string) (EventID, bool) {
	id, ok := h.byName[name]
	return id, ok
}

// EventName is the name of the event with this id.
func (h *Host) EventName(id EventID) string { return h.opt.Events[id].Name }

// Has reports whether the policy handles the event: one atomic read, so that rooms can skip Lua entirely.
func (h *Host) Has(id EventID) bool { return h.edition.Load().has[id].Load() }

// SetMaxAge sets the age at which a State is dropped (kumo.set_max_lua_context_age).
func (h *Host) SetMaxAge(d time.Duration) { h.maxAge.Store(int64(d)) }

// SetMaxUses sets the number of calls after which a State is dropped (kumo.set_max_lua_context_use_count).
func (h *Host) SetMaxUses(n int) { h.maxUses.Store(int64(n)) }

// SetMaxSpare bounds the States that wait for work (kumo.set_max_spare_lua_contexts).
func (h *Host) SetMaxSpare(n int) { h.pool.maxSpare.Store(int64(n)) }

// Close drops the States that wait for work; those at work are dropped when they are released.
func (h *Host) Close() {
	h.pool.maxSpare.Store(0)
	for _, s := range h.pool.drain() {
		s.close()
	}
}

// warnOnce logs a warning about the policy the first time that it is found.
func (h *Host) warnOnce(key, msg string) {
	if _, again := h.warned.LoadOrStore(key, true); !again {
		h.opt.Log.Warn(msg)
	}
}
