package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/node"
)

// version is set by the Makefile from git; it sorts as text, as KumoMTA's does.
var version = "dev"

// run runs one command line and returns its exit code.
func run(c *cli.Console, args []string) int {
	root := newRoot(c)
	root.SetArgs(args)
	root.SetIn(c.In)
	root.SetOut(c.Out)
	root.SetErr(c.Err)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the next one ends the process where it stands: a verb may be deep in something that
	// cannot be interrupted. (serve has its own second signal.)
	context.AfterFunc(ctx, stop)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil && !errors.As(err, new(*cli.Exit)) {
		err = cli.Errorf(cli.CodeInterrupted, "interrupted")
	}
	return c.Fail(usage(err))
}

// usage gives cobra's own errors, which are all about the command line, the exit code of one.
func usage(err error) error {
	if err == nil || errors.As(err, new(*cli.Exit)) || !strings.HasPrefix(err.Error(), "unknown command") {
		return err
	}
	return cli.Usagef("%w", err).WithHint("kumo --help lists the commands")
}

// newRoot is the written-out list of verbs.
func newRoot(c *cli.Console) *cobra.Command {
	root := &cobra.Command{
		Use:   "kumo",
		Short: "A mail-sending engine: SMTP in, Lua policy, a durable spool, SMTP out",
		Long: `kumo runs the mail-sending engine (kumo serve) and the tools that work beside it on the same spool, whether it runs
or not. Each command prints a table on a terminal and columns with tabs between them in a pipe; --format json and
--format jsonl print the same for programs. Data goes to stdout, everything else to stderr.

A command finds the spool by --spool DIR, else by KUMO_SPOOL, else by the policy: --policy FILE,
or ` + node.SystemPolicy + ` if that file exists, or the built-in one.

Exit codes: 0 done; 1 failed; 2 usage; 3 partly done; 4 lint errors; 10 no spool; 11 spool held by another process;
12 daemon unreachable; 130 interrupted.`,
		Example: `  kumo serve --policy init.lua
  kumo inject < message.eml
  kumo queue summary
  kumo log tail -f
  kumo man`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
	}
	root.CompletionOptions.DisableDefaultCmd = true // cmd_completion.go
	root.PersistentFlags().Var(&c.Format, "format", "how to print: text, json or jsonl")
	_ = root.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "json", "jsonl"}, cobra.ShellCompDirectiveNoFileComp))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return cli.Usagef("%w", err).WithHint("%s --help", cmd.CommandPath())
	})
	root.AddCommand(
		newServe(c),
		newInject(c),
		newQueue(c),
		newWhy(c),
		newSpool(c),
		newSQL(c),
		newTop(c),
		newRouteTest(c),
		newLog(c),
		newMan(c),
		newCompletion(c),
		newTorture(c),
		newVersion(c),
	)
	return root
}

// args checks the number of arguments and says what they are.
func args(least, most int, want string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || (most >= 0 && len(args) > most) {
			return cli.Usagef("%s: %d arguments, want %s", cmd.CommandPath(), len(args), want).WithHint("%s --help", cmd.CommandPath())
		}
		return nil
	}
}
