package node

import (
	"context"

	"kumo/pkg/metric"
	"kumo/pkg/spool"
)

// Report is what --validate says about a good policy.
type Report struct {
	Policy string   `json:"policy" col:"POLICY"`
	Spool  string   `json:"spool" col:"SPOOL"`
	Logs   []string `json:"logs" col:"LOGS"`
	SMTP   []string `json:"smtp" col:"SMTP"`
	HTTP   []string `json:"http" col:"HTTP"`
	Valid  bool     `json:"valid" col:"VALID"`
}

// Validate loads the policy, runs pre_init, init and validate_config, and binds and creates nothing.
func Validate(ctx context.Context, o Options) (*Report, error) {
	o = quiet(o)
	p, err := load(ctx, o)
	if err != nil {
		return nil, err
	}
	defer p.policy.Close()
	if p.setup, err = p.policy.Validate(ctx); err != nil {
		return nil, err
	}
	if _, _, err := newPlanner(p, metric.NewRegistry()); err != nil {
		return nil, err
	}
	r := &Report{Policy: p.source, Spool: spoolConfig(p, o.Log).Dir, Valid: true}
	for _, l := range p.setup.Logs {
		r.Logs = append(r.Logs, l.Value.LogDir)
	}
	for _, l := range p.setup.ESMTP {
		r.SMTP = append(r.SMTP, l.Value.Listen)
	}
	for _, h := range p.http {
		r.HTTP = append(r.HTTP, h.options.Listen)
	}
	return r, nil
}

// Script loads the policy and runs its main event with args: no listener, no spool.
func Script(ctx context.Context, o Options, args []string) error {
	p, err := load(ctx, quiet(o))
	if err != nil {
		return err
	}
	defer p.policy.Close()
	return p.policy.Main(ctx, args)
}

// OpenReader opens a spool for looking, whether a daemon owns it or not.
func OpenReader(ctx context.Context, dir string, o Options) (*spool.Reader, error) {
	dir, err := SpoolDir(ctx, dir, quiet(o))
	if err != nil {
		return nil, err
	}
	return spool.OpenReader(ctx, dir, spool.ReaderOptions{Progress: o.Reading})
}
