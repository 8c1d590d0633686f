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
		Args:  args(0, 0, "none"),
		RunE: func(*cobra.Command, []string) error {
			return c.Print(versionInfo{Version: version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH})
		},
	}
}
