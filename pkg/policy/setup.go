package policy

import (
	"context"
	"errors"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/dns"
	"kumo/pkg/journal"
	"kumo/pkg/listener"
	"kumo/pkg/luahost"
	"kumo/pkg/option"
	"kumo/pkg/spool"
)

// Setup is what pre_init and init declared, checked, with origins. Nothing of it exists yet.
type Setup struct {
	Spools []option.Resolved[spool.Options] // data and meta, in the order of definition
	Logs   []option.Resolved[journal.FileOptions]
	ESMTP  []option.Resolved[listener.Options]
	HTTP   []option.Layer // as handed to Options.HTTPListener

	SpoolinThreads   int  // 0: as many as there are processors
	DeliverUnhealthy bool // delivery goes on while the spool is unhealthy

	tasks []task // of spawn_task

	Resolver     *option.Resolved[dns.ResolverOptions]     // nil: /etc/resolv.conf
	DNSLimits    dns.Limits                                // kumo.dns.set_mx_…
	TestResolver *option.Resolved[dns.TestResolverOptions] // goes before Resolver
}

// Spool is the options of the spool of this name.
func (s *Setup) Spool(name string) (spool.Options, bool) {
	for i := range s.Spools {
		if s.Spools[i].Value.Name == name {
			return s.Spools[i].Value, true
		}
	}
	return spool.Options{}, false
}

// check refuses a setup that cannot keep mail.
func (s *Setup) check() error {
	if len(s.Spools) == 0 {
		return errors.New("no spools have been defined: call kumo.define_spool { name = 'data', path = … } and kumo.define_spool { name = 'meta', path = … } in the init event")
	}
	for _, name := range []string{"data", "meta"} {
		if _, ok := s.Spool(name); !ok {
			return fmt.Errorf("no spool named %s has been defined: add kumo.define_spool { name = '%s', path = … } to the init event", name, name)
		}
	}
	return nil
}

// Start runs pre_init and init and returns what they declared. Call it once.
func (p *Policy) Start(ctx context.Context) (Setup, error) {
	s, err := p.host.Acquire(ctx)
	if err != nil {
		return Setup{}, err
	}
	defer p.host.Release(s)
	return p.start(s)
}

func (p *Policy) start(s *luahost.State) (Setup, error) {
	scope := &initScope{setup: &Setup{}, http: p.opt.HTTPListener}
	s.Scope = scope
	if err := s.FireAll(evPreInit); err != nil {
		return Setup{}, err
	}
	if err := s.FireAll(evInit); err != nil {
		return Setup{}, err
	}
	if err := scope.setup.check(); err != nil {
		return Setup{}, err
	}
	if err := checkFilters(s, scope.setup.Logs); err != nil {
		return Setup{}, err
	}
	return *scope.setup, nil
}

// checkFilters refuses logs whose filter_event nobody handles: a misspelt one would let everything through.
func checkFilters(s *luahost.State, logs []option.Resolved[journal.FileOptions]) error {
	for _, l := range logs {
		event := l.Value.FilterEvent
		if event == "" || s.Handles(event) {
			continue
		}
		e, _ := l.Trace.Find("filter_event")
		return fmt.Errorf("%s: configure_local_logs: filter_event: nobody handles the event %q: add kumo.on('%s', function(msg) … end)", e.Origin.At, event, event)
	}
	return nil
}

// ErrInvalid is the error of Validate when a handler called kumo.validation_failed.
var ErrInvalid = errors.New("the configuration did not pass validation")

// Validate runs pre_init, init and the validate_config handlers. Call it instead of Start.
func (p *Policy) Validate(ctx context.Context) (Setup, error) {
	s, err := p.host.Acquire(ctx)
	if err != nil {
		return Setup{}, err
	}
	defer p.host.Release(s)
	setup, err := p.start(s)
	if err != nil {
		return Setup{}, err
	}
	scope := &initScope{setup: &Setup{}, validating: true}
	s.Scope = scope
	if err := s.FireAll(evValidateConfig); err != nil {
		return Setup{}, err
	}
	if scope.failed {
		return Setup{}, ErrInvalid
	}
	return setup, nil
}

// Main fires the event main with args: kumo serve --script. It runs as long as ctx lets it.
func (p *Policy) Main(ctx context.Context, args []string) error {
	if !p.host.Has(evMain) {
		return errors.New("the policy does not handle the event main: write kumo.on('main', function(...) … end)")
	}
	s, err := p.host.Acquire(ctx)
	if err != nil {
		return err
	}
	defer p.host.Release(s)
	s.Script()
	words := make([]lua.LValue, len(args))
	for i, a := range args {
		words[i] = lua.LString(a)
	}
	_, _, err = s.Fire(evMain, words...)
	return err
}
