package main

import (
	"bytes"
	"io"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
)

// shells are those that completion can be had for.
var shells = []string{"bash", "zsh", "fish", "powershell"}

// shellScript is what kumo completion prints.
type shellScript struct {
	Shell  string `json:"shell"`
	Script string `json:"script"`
}

// WriteText prints the script and nothing else.
func (s shellScript) WriteText(_ *cli.Console, w io.Writer) error {
	_, err := io.WriteString(w, s.Script)
	return err
}

func newCompletion(c *cli.Console) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a script that completes kumo's commands in a shell",
		Long: `completion prints a script for bash, zsh, fish or powershell. Once the shell has read it, the Tab key completes
commands, flags, their values, names of manual pages and ids of waiting messages.

Exit codes: 0 done; 1 failed; 2 usage.`,
		Example: `  source <(kumo completion bash)
  kumo completion bash > /etc/bash_completion.d/kumo
  kumo completion zsh > "${fpath[1]}/_kumo"
  kumo completion fish > ~/.config/fish/completions/kumo.fish`,
		Args:      args(1, 1, "one of bash, zsh, fish and powershell"),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			var b bytes.Buffer
			var err error
			root := cmd.Root()
			switch args[0] {
			case "bash":
				err = root.GenBashCompletionV2(&b, true)
			case "zsh":
				err = root.GenZshCompletion(&b)
			case "fish":
				err = root.GenFishCompletion(&b, true)
			case "powershell":
				err = root.GenPowerShellCompletionWithDesc(&b)
			default:
				return cli.Usagef("completion: %q is not a shell that is known here", args[0]).WithHint("bash, zsh, fish or powershell")
			}
			if err != nil {
				return cli.Failf("completion: %w", err)
			}
			return c.Print(shellScript{Shell: args[0], Script: b.String()})
		},
	}
}
