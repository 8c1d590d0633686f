package policy

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kumo/pkg/dns"
	"kumo/pkg/egress"
	"kumo/pkg/intake"
	"kumo/pkg/listener"
	"kumo/pkg/luahost"
	"kumo/pkg/option"
	"kumo/pkg/queue"
	"kumo/pkg/smtp"
	"kumo/pkg/throttle"
)

// Options say which policy to load and what it may use.
type Options struct {
	Path   string // policy file
	Source []byte // text of the policy when it is no file, such as the built-in one
	Name   string // what errors and origins call it; default Path

	Version  string // kumo.version
	StateDir string // kumo.state_dir: where the built-in policies keep mail and logs

	// HTTPListener is called for each kumo.start_http_listener; its error is the policy's. nil: they are not offered.
	HTTPListener func(option.Layer) error

	Log     *slog.Logger     // diagnostics and kumo.log_*; default: discard
	Print   io.Writer        // Lua's print; default stderr
	Library fs.FS            // helpers that ship in the binary
	Timeout time.Duration    // the longest a handler may run; default luahost.DefaultTimeout
	Now     func() time.Time // default time.Now

	Memory    Memory          // limits of memory; nil: there are none to set
	Throttles throttle.Stores // of kumo.make_throttle; by default they count in this process
}

// Policy is a loaded policy. Safe for concurrent use.
type Policy struct {
	opt  Options
	host *luahost.Host

	secrets   secrets
	redis     sync.Map                     // what redis.open was asked for -> *redisConn
	resolver  atomic.Pointer[dns.Resolver] // of kumo.dns.lookup_…; nil at first
	resolvers sync.Map                     // name -> names, of kumo.dns.define_resolver
}

var (
	_ listener.Hooks = (*Policy)(nil)
	_ intake.Hooks   = (*Policy)(nil)
	_ queue.Configs  = (*Policy)(nil)
	_ egress.Configs = (*Policy)(nil)
)

// Load compiles the policy and runs its top level. Errors name file and line.
func Load(ctx context.Context, opt Options) (*Policy, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Version == "" {
		opt.Version = "unknown"
	}
	if opt.Throttles.Local == nil {
		now := opt.Now
		if now == nil {
			now = time.Now
		}
		opt.Throttles.Local = throttle.NewLocal(now)
	}
	p := &Policy{opt: opt}
	host, err := luahost.New(ctx, luahost.Options{
		Path: opt.Path, Source: opt.Source, Name: opt.Name,
		Modules: Modules(), Types: Types(), Events: Events(),
		Owner: p, Library: opt.Library,
		Log: opt.Log, Print: opt.Print, Now: opt.Now, Timeout: opt.Timeout,
	})
	if err != nil {
		return nil, err
	}
	p.host = host
	return p, nil
}

// Close frees the Lua states that are not at work.
func (p *Policy) Close() { p.host.Close() }

// Contexts is how many Lua contexts are alive, at work or not, and how many of them wait for work.
func (p *Policy) Contexts() (alive, spare int) { return p.host.Count() }

// Epoch counts the configuration epochs, from 1. Answers asked with refresh_strategy Epoch are good until it changes.
func (p *Policy) Epoch() uint64 { return p.host.Epoch() }

// Broken tells that the policy on disk does not load, so that the one of before is in force.
func (p *Policy) Broken() bool { return p.host.Broken() }

// Watch begins a new epoch whenever the policy's files or its monitored configuration change (luahost.Host.Watch).
func (p *Policy) Watch(ctx context.Context) error { return p.host.Watch(ctx) }

// Modules lists the modules of policies: the core first, because the others are its fields.
func Modules() []luahost.Module {
	return append([]luahost.Module{kumoModule, dnsModule, httpModule, redisModule, secretsModule, sqliteModule}, luahost.Modules()...)
}

// Types lists the kinds of userdata.
func Types() []*luahost.Type {
	return append([]*luahost.Type{&messageType, &connType, &addressType, &addressHeaderType, &mailboxType, &configType, &throttleType, &httpClientType, &httpRequestType, &httpResponseType, &httpHeadersType, &websocketType, &redisType, &sqliteType}, luahost.Types()...)
}

// of is the Policy whose state runs. Its host is not set yet while the policy loads for the first time.
func of(s *luahost.State) *Policy { return s.Owner().(*Policy) }

// answer sorts the outcome of an event: what kumo.reject raised is for the peer, the rest is a local fault.
func answer(err error) error {
	var reply *smtp.Error
	if errors.As(err, &reply) {
		return reply
	}
	return err
}
