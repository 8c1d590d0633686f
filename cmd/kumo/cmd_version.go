package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
)

// versionInfo is what kumo version prints.
type versionInfo struct {
	Version string `json:"version" col:"VERSION"`
	Go      string `json:"go" col:"GO"`
	System  string `json:"system" col:"SYSTEM"`
}

func newVersion(c *cli.Console) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `version prints which kumo this is, the Go version that it was built with, and the system that it was built for.

Exit codes: 0 done; 2 usage.`,
		Example: `  kumo version
  kumo version --format json | jq -r .version`,
		Args: args(0, 0, "none"),
		RunE: func(*cobra.Command, []string) error {
			return c.Print(versionInfo{Version: version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH})
		},
	}
}
