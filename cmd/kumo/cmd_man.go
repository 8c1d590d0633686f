package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kumo/man"
	"kumo/pkg/cli"
	"kumo/pkg/option"
)

// manPage is one row of kumo man.
type manPage struct {
	Page    string `json:"page" col:"PAGE,keep"`
	Section string `json:"section" col:"SECTION"`
	Title   string `json:"title" col:"ABOUT"`
}

func newMan(c *cli.Console) *cobra.Command {
	var dir string
	var source bool
	cmd := &cobra.Command{
		Use:   "man [--write DIR] [--roff] [PAGE]",
		Short: "Show the manual: commands, options, events, Lua functions",
		Long: `Without an argument man lists the pages of the manual. With the name of a page it shows it: on a terminal through
man(1) if that is installed, else as text. The name may do without kumo- and kumo-lua-, and may end in a section:
egress-path, serve.1, message.

With --write DIR it writes all pages there, for a package or a MANPATH.

Exit codes: 0 done; 1 there is no such page, or it cannot be shown or written; 2 usage.`,
		Example: `  kumo man
  kumo man egress-path
  kumo man queue-config | grep -A3 retry
  kumo man --write /usr/local/share/man`,
		Args: args(0, 1, "at most one page"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case dir != "" && (len(args) > 0 || source):
				return cli.Usagef("man: --write writes all pages, and takes neither a page nor --roff")
			case dir != "":
				return writePages(c, dir)
			case len(args) == 0 && source:
				return cli.Usagef("man: --roff wants a page").WithHint("kumo man lists the pages")
			case len(args) == 0:
				rows, err := pages()
				if err != nil {
					return err
				}
				return c.Print(rows)
			}
			return showPage(cmd.Context(), c, args[0], source)
		},
		ValidArgsFunction: completePages,
	}
	cmd.Flags().StringVar(&dir, "write", "", "write all pages into man1, man5 and man7 under `DIR`")
	cmd.Flags().BoolVar(&source, "roff", false, "print the page's source, for man -l - or another formatter")
	_ = cmd.MarkFlagDirname("write")
	return cmd
}

func completePages(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	rows, _ := pages()
	names := make([]string, 0, len(rows))
	for _, r := range rows {
		names = append(names, r.Page+"\t"+r.Title)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// pages lists the manual, from the NAME section of each page: commands, then options, then the rest.
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
	slices.SortFunc(rows, func(a, b manPage) int {
		return cmp.Or(cmp.Compare(a.Section, b.Section), cmp.Compare(a.Page, b.Page))
	})
	return rows, nil
}

func splitPage(file string) (page, section string) {
	ext := filepath.Ext(file)
	return strings.TrimSuffix(file, ext), ext[1:]
}

func pageTitle(text string) string {
	for line := range strings.Lines(text) {
		if _, title, ok := strings.Cut(line, ` \- `); ok {
			return roffPlain(strings.TrimSpace(title))
		}
	}
	return ""
}

// manText is a page for those who have no man(1), do not look at a terminal, or are programs.
type manText struct {
	manPage

	Roff string `json:"roff"`
}

// WriteText lays the page out as man(1) would.
func (m manText) WriteText(c *cli.Console, w io.Writer) error {
	width := 80
	if c.OutTTY {
		width = min(c.Width, 100)
	}
	_, err := io.WriteString(w, readRoff(m.Roff, max(width-2, 40), c.OutTTY && c.Color))
	return err
}

func showPage(ctx context.Context, c *cli.Console, name string, source bool) error {
	file, text, err := findPage(name)
	if err != nil {
		return err
	}
	if source {
		_, err := c.Out.Write(text)
		return err
	}
	viewer, err := exec.LookPath("man")
	if c.OutTTY && err == nil && c.Format == cli.Text {
		return view(ctx, c, viewer, file, text)
	}
	page, section := splitPage(file)
	return c.Print(manText{manPage{page, section, pageTitle(string(text))}, string(text)})
}

// view shows a page through man(1), which wants a file.
func view(ctx context.Context, c *cli.Console, viewer, file string, text []byte) error {
	dir, err := os.MkdirTemp("", "kumo-man-*")
	if err != nil {
		return cli.Failf("man: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, file)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return cli.Failf("man: %w", err)
	}
	show := exec.CommandContext(ctx, viewer, "-l", path)
	show.Stdin, show.Stdout, show.Stderr = os.Stdin, c.Out, c.Err
	if err := show.Run(); err != nil {
		return cli.Failf("man: %s: %w", viewer, err).WithHint("kumo man %s | cat shows the page without it", file)
	}
	return nil
}

// findPage takes "kumo-serve", "kumo-serve.1", "serve", "egress-path" or "message", and returns the page's file name, too.
func findPage(name string) (string, []byte, error) {
	for _, n := range []string{name, "kumo-" + name, "kumo-lua-" + strings.TrimPrefix(name, "kumo.")} {
		for _, section := range []string{"", ".1", ".5", ".7"} {
			if !fs.ValidPath(n+section) || !pageFile.MatchString(n+section) {
				continue
			}
			if b, err := fs.ReadFile(man.Pages, n+section); err == nil {
				return n + section, b, nil
			}
		}
	}
	e := cli.Failf("man: there is no page %q", name).WithHint("kumo man lists the pages")
	if near := nearPage(name); near != "" {
		e = e.WithHint("did you mean %s? kumo man lists the pages", near)
	}
	return "", nil, e
}

// pageFile is what pages are called; "." names the directory.
var pageFile = regexp.MustCompile(`^kumo.*\.[157]$`)

// nearPage is the page that a misspelt name may mean.
func nearPage(name string) string {
	rows, _ := pages()
	short := make([]string, 0, len(rows))
	for _, r := range rows {
		short = append(short, strings.TrimPrefix(strings.TrimPrefix(r.Page, "kumo-"), "lua-"))
	}
	return option.Suggest(strings.TrimPrefix(name, "kumo-"), short)
}

func writePages(c *cli.Console, dir string) error {
	n := 0
	err := fs.WalkDir(man.Pages, ".", func(path string, d fs.DirEntry, err error) error {
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
		n++
		return nil
	})
	if err == nil {
		c.Note("%d pages are in %s", n, dir)
	}
	return err
}
