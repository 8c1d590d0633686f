package node

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"kumo/pkg/cache"
	"kumo/pkg/policy"
	scripts "kumo/policy"
)

// Options are what a command line says about a node.
type Options struct {
	Policy  string // file, "" for the default (FindPolicy)
	User    string // --user of serve
	Version string
	Log     *slog.Logger
	Print   io.Writer // where Lua's print goes; default stderr

	// Reading, if not nil, is told by OpenReader how many bytes of how many of the log have been read, where the index is
	// not enough.
	Reading func(done, total int64)

	memory *memory // of serve
}

// loadLimit bounds how long the policy's top level, pre_init and init may take.
const loadLimit = 5 * time.Minute

// plan is a policy that was loaded and what it declared.
type plan struct {
	policy *policy.Policy
	setup  policy.Setup
	http   []httpListener
	source string // the policy's file, or what stands for it in messages
	memory *memory
	caches *cache.Set
}

// load loads the policy and runs nothing of it but its top level.
func load(ctx context.Context, o Options) (*plan, error) {
	path, err := FindPolicy(o.Policy)
	if err != nil {
		return nil, err
	}
	p := &plan{source: path, memory: o.memory}
	opt := policy.Options{
		Path: path, Version: o.Version, Log: o.Log, Print: o.Print,
		HTTPListener: p.addHTTP,
	}
	if o.memory != nil {
		opt.Memory = o.memory
	}
	if opt.StateDir, err = StateDir(); err != nil && path == "" {
		return nil, err
	}
	if path == "" {
		p.source = "the built-in default policy"
		opt.Name = "default.lua"
		opt.Source = []byte(scripts.Default)
	}
	ctx, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	if p.policy, err = policy.Load(ctx, opt); err != nil {
		return nil, err
	}
	return p, nil
}

// start loads the policy and runs pre_init and init.
func start(ctx context.Context, o Options) (*plan, error) {
	p, err := load(ctx, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	if p.setup, err = p.policy.Start(ctx); err != nil {
		p.policy.Close()
		return nil, err
	}
	return p, nil
}

// LogLevel reads KUMOD_LOG: comma-separated levels, each perhaps with a target before "="; the last one counts for
// everything. Unknown words are passed over; the default is info.
func LogLevel(env string) slog.Level {
	level := slog.LevelInfo
	for word := range strings.SplitSeq(env, ",") {
		if _, l, ok := strings.Cut(word, "="); ok {
			word = l
		}
		switch strings.ToLower(strings.TrimSpace(word)) {
		case "trace", "debug":
			level = slog.LevelDebug
		case "info":
			level = slog.LevelInfo
		case "warn":
			level = slog.LevelWarn
		case "error", "off":
			level = slog.LevelError
		}
	}
	return level
}
