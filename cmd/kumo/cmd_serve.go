package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/node"
)

func newServe(c *cli.Console) *cobra.Command {
	var policy, user string
	var validate, script bool
	cmd := &cobra.Command{
		Use:   "serve [--policy FILE] [--user NAME] [--validate] [--script [-- ARG…]]",
		Short: "Run the daemon",
		Long: `serve runs the policy and what it declares: listeners, spool, logs, deliveries. It says on stderr which policy runs,
where each listener is bound, and "initialization complete" when mail can come.

Without --policy it runs ` + node.SystemPolicy + ` if that file exists, else a built-in policy: SMTP on
127.0.0.1:2525, HTTP on 127.0.0.1:8000, relay for this machine only, mail and logs under $XDG_STATE_HOME/kumo or
~/.local/state/kumo.

SIGINT and SIGTERM drain: no new mail is taken, deliveries in hand finish, the rest stays in the spool. A second
signal aborts; what was acknowledged is in the spool all the same.

Exit codes: 0 drained, or the policy is valid; 1 the policy or a listener failed; 2 usage; 11 another process holds the
spool; 130 aborted by a second signal.`,
		Example: `  kumo serve
  kumo serve --policy /opt/kumomta/etc/policy/init.lua --user kumod
  kumo serve --policy init.lua --validate
  kumo serve --policy tool.lua --script -- one two`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 && !script {
				return cli.Usagef("serve takes no arguments, and got %q", args[0]).WithHint("the policy is named by --policy")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts := node.Options{Policy: policy, User: user, Version: version}
			if !validate && !script {
				defer setAside(c)()
				opts.Print = c.Err
			}
			opts.Log = diagnostics(c)
			switch {
			case validate && script:
				return cli.Usagef("--validate and --script cannot go together")
			case validate:
				return validatePolicy(cmd.Context(), c, opts)
			case script:
				opts.Print = c.Out // a script is a tool: what it prints is its data
				return node.Script(cmd.Context(), opts, args)
			}
			ctx, abort := secondSignal(cmd.Context())
			defer abort()
			if err := node.Serve(ctx, cmd.Context(), opts); err != nil {
				return serveError(err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&policy, "policy", "", "policy `FILE` to run")
	cmd.Flags().StringVar(&user, "user", "", "become user `NAME`; needed when started as root")
	cmd.Flags().BoolVar(&validate, "validate", false, "only check the policy: bind nothing, create nothing")
	cmd.Flags().BoolVar(&script, "script", false, "run the policy's main event with the arguments after --, then exit")
	_ = cmd.MarkFlagFilename("policy", "lua")
	return cmd
}

// setAside makes the daemon independent of who reads its stderr: a full pipe delays nothing, and a closed one does not
// end the process, as SIGPIPE would. The function that it returns waits for what is still to be written.
func setAside(c *cli.Console) func() {
	signal.Ignore(syscall.SIGPIPE)
	aside := cli.NewAside(c.Err)
	c.Err = aside
	return func() { _ = aside.Close() }
}

// diagnostics is the daemon's log on stderr, unbuffered. KUMOD_LOG sets its level.
func diagnostics(c *cli.Console) *slog.Logger {
	return cli.NewLog(c.Err, node.LogLevel(os.Getenv("KUMOD_LOG")))
}

// secondSignal is a context that ends at the second SIGINT or SIGTERM, when the first has ended drain.
func secondSignal(drain context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(drain))
	again := make(chan os.Signal, 2)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer signal.Stop(again)
		for range 2 {
			select {
			case <-again:
			case <-ctx.Done():
				return
			}
		}
		cancel()
	}()
	return ctx, cancel
}

// serveError gives an aborted daemon and a held spool their exit codes.
func serveError(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return cli.Errorf(cli.CodeInterrupted, "serve: aborted")
	case errors.Is(err, node.ErrUser):
		return cli.Usagef("serve: %w", err)
	}
	return spoolError("serve", err)
}

func validatePolicy(ctx context.Context, c *cli.Console, opts node.Options) error {
	report, err := node.Validate(ctx, opts)
	if err != nil {
		return err
	}
	return c.Print(report)
}
