package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kumo/man"
	"kumo/pkg/cli"
)

// manPage is one row of kumo man.
type manPage struct {
	Page    string `json:"page" col:"PAGE,keep"`
	Section string `json:"section" col:"SECTION"`
	Title   string `json:"title" col:"ABOUT"`
}

func newMan(c *cli.Console) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man [PAGE]",
		Short: "Show the manual: commands, options, events, Lua functions",
		Long:  "Without an argument man lists the pages of the manual. With the name of a page it shows it: on a terminal through man(1) if\nthat is installed, else as roff source. With --write DIR it writes all pages there, for a package or a MANPATH.",
		Example: `  kumo man
  kumo man kumo-egress-path
  kumo man --write /usr/local/share/man`,
		Args: args(0, 1, "at most one page"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case dir != "":
				return writePages(dir)
			case len(args) == 0:
				rows, err := pages()
				if err != nil {
					return err
				}
				return c.Print(rows)
			}
			return showPage(cmd, c, args[0])
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			rows, _ := pages()
			var names []string
			for _, r := range rows {
				names = append(names, r.Page)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().StringVar(&dir, "write", "", "write all pages into man1, man5 and man7 under `DIR`")
	return cmd
}

// pages lists the manual, from the NAME section of each page.
func pages() ([]manPage, error) {
	names, err := fs.Glob(man.Pages, "*.[157]")
	if err != nil {
		return nil, err
	}
	rows := make([]manPage, 0, len(names))
	for _, n := range names {
		text, err := fs.ReadFile(man.Pages, n)
		if err != nil {
			return nil, err
		}
		page, section := splitPage(n)
		rows = append(rows, manPage{Page: page, Section: section, Title: pageTitle(string(text))})
	}
	return rows, nil
}

func splitPage(file string) (page, section string) {
	ext := filepath.Ext(file)
	return strings.TrimSuffix(file, ext), ext[1:]
}

func pageTitle(text string) string {
	for line := range strings.Lines(text) {
		if _, title, ok := strings.Cut(line, ` \- `); ok {
			return strings.TrimSpace(title)
		}
	}
	return ""
}

func showPage(cmd *cobra.Command, c *cli.Console, name string) error {
	text, err := findPage(name)
	if err != nil {
		return err
	}
	viewer, err := exec.LookPath("man")
	if !c.OutTTY || err != nil {
		_, err := c.Out.Write(text)
		return err
	}
	f, err := os.CreateTemp("", "kumo-man-*")
	if err != nil {
		return cli.Failf("man: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return cli.Failf("man: %w", err)
	}
	show := exec.CommandContext(cmd.Context(), viewer, "-l", f.Name())
	show.Stdin, show.Stdout, show.Stderr = os.Stdin, c.Out, c.Err
	return show.Run()
}

// findPage takes "kumo-serve", "kumo-serve.1", "serve" or "egress-path".
func findPage(name string) ([]byte, error) {
	for _, n := range []string{name, "kumo-" + name} {
		for _, section := range []string{"", ".1", ".5", ".7"} {
			if !fs.ValidPath(n + section) {
				continue
			}
			if b, err := fs.ReadFile(man.Pages, n+section); err == nil {
				return b, nil
			}
		}
	}
	return nil, cli.Failf("man: there is no page %q", name).WithHint("kumo man lists the pages")
}

func writePages(dir string) error {
	return fs.WalkDir(man.Pages, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		_, section := splitPage(path)
		to := filepath.Join(dir, "man"+section)
		if err := os.MkdirAll(to, 0o755); err != nil {
			return cli.Failf("man: %w", err)
		}
		in, err := man.Pages.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.Create(filepath.Join(to, path))
		if err != nil {
			return cli.Failf("man: %w", err)
		}
		_, err = io.Copy(out, in)
		if err = errors.Join(err, out.Close()); err != nil {
			return cli.Failf("man: %w", err)
		}
		return nil
	})
}
