// Command kumo is a mail-sending engine and the tools beside it.
package main

import (
	"os"

	"kumo/pkg/cli"
)

func main() { os.Exit(run(cli.Std(), os.Args[1:])) }
