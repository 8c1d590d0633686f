package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kumo/pkg/cli"
)

// environment is every variable that a command looks at.
var environment = [][2]string{
	{"COLUMNS", "Width of tables on a terminal; else the terminal's own."},
	{"GOMAXPROCS", "How many threads of kumo serve run Go code at once; twice the number of processors when it is not set."},
	{"GOMEMLIMIT", "How many bytes of memory kumo serve tries to live in, with the units KiB, MiB and GiB; 90 % of its soft limit (75 % of what the machine or its control group allows) when it is not set."},
	{"KUMOD_LOG", "What kumo serve says on stderr: error, warn, info (the default) or debug."},
	{"KUMO_FORCE_TTY", "With any value, print as on a terminal although the output is none."},
	{"KUMO_NODE_ID", "The UUID of this node in log records; else one is made up once and kept."},
	{"KUMO_NODE_ID_PATH", "The file that the UUID of this node is kept in; else /opt/kumomta/etc/.nodeid."},
	{"KUMO_SPOOL", "The spool's directory for commands that work on a spool, unless --spool names one."},
	{"NO_COLOR", "With any value, no colours; the same with TERM=dumb."},
	{"VAULT_ADDR", "The HashiCorp Vault server that key sources of a policy mean which name none, such as https://vault.example.com:8200."},
	{"VAULT_TOKEN", "The token for that server."},
	{"XDG_STATE_HOME", "The built-in policy keeps mail and logs in the directory kumo below it; ~/.local/state when it is not set."},
}

// exitCodes is the one table of exit codes.
var exitCodes = []struct {
	code int
	text string
}{
	{cli.CodeOK, "Done. Finding nothing is done, too."},
	{cli.CodeFailed, "Failed."},
	{cli.CodeUsage, "Wrong flags or arguments."},
	{cli.CodePartly, "Some of it was done; stderr says what was not."},
	{cli.CodeLint, "A check found errors."},
	{cli.CodeNoSpool, "There is no spool at the place."},
	{cli.CodeSpoolHeld, "Another process owns the spool; its process id is named."},
	{cli.CodeUnreachable, "The daemon does not answer."},
	{cli.CodeInterrupted, "Interrupted."},
}

// related are the pages of other sections that a verb's page points to.
var related = map[string][]string{
	"kumo":               {"kumo-lua(7)", "kumo-events(7)", "kumo-metrics(7)"},
	"kumo-serve":         {"kumo-events(7)", "kumo-lua(7)", "kumo-metrics(7)", "kumo-spool(5)"},
	"kumo-inject":        {"kumo-events(7)", "kumo-spool(5)"},
	"kumo-queue-list":    {"kumo-queue-config(5)", "kumo-spool(5)"},
	"kumo-queue-show":    {"kumo-queue-config(5)", "kumo-spool(5)"},
	"kumo-queue-summary": {"kumo-spool(5)"},
	"kumo-queue-rebind":  {"kumo-events(7)", "kumo-spool(5)"},
	"kumo-queue-bounce":  {"kumo-spool(5)"},
	"kumo-queue-undo":    {"kumo-spool(5)"},
	"kumo-spool":         {"kumo-spool(5)"},
	"kumo-spool-check":   {"kumo-local-logs(5)", "kumo-spool(5)"},
	"kumo-spool-compact": {"kumo-spool(5)"},
	"kumo-spool-stats":   {"kumo-spool(5)"},
	"kumo-route-test":    {"kumo-egress-path(5)", "kumo-egress-pool(5)", "kumo-egress-source(5)", "kumo-queue-config(5)", "kumo-events(7)"},
	"kumo-why":           {"kumo-egress-path(5)", "kumo-local-logs(5)", "kumo-queue-config(5)", "kumo-spool(5)"},
	"kumo-log-tail":      {"kumo-local-logs(5)"},
	"kumo-sql":           {"kumo-spool(5)"},
	"kumo-top":           {"kumo-queue-config(5)", "kumo-spool(5)"},
}

// verbs are the commands that have a page: all of the tree but cobra's own help.
func verbs(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.Name() != "help" && !c.Hidden {
			all = append(all, verbs(c)...)
		}
	}
	return all
}

func verbPages() []*page {
	root := newRoot(cli.Std())
	root.InitDefaultHelpFlag()
	all := verbs(root)
	pages := make([]*page, 0, len(all))
	for _, c := range all {
		pages = append(pages, verbPage(c))
	}
	return pages
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func verbPage(c *cobra.Command) *page {
	p := newPage(pageName(c), 1, c.Short)
	p.section1("SYNOPSIS")
	p.b.WriteString(synopsis(c) + "\n")
	p.section1("DESCRIPTION")
	about, exits := splitExits(c.Long)
	if about == "" {
		about = sentence(c.Short)
	}
	p.text(about)
	p.commands(c)
	p.flags(c)
	if !c.HasParent() {
		p.section1("ENVIRONMENT")
		for _, e := range environment {
			p.item(bold(e[0]), e[1])
		}
	}
	p.exits(c, exits)
	if c.Example != "" {
		p.section1("EXAMPLES")
		p.example(dedent(c.Example), false)
	}
	p.seeAlso(relatives(c)...)
	return p
}

func synopsis(c *cobra.Command) string {
	name, rest, _ := strings.Cut(c.Use, " ")
	if c.HasParent() {
		name = c.Parent().CommandPath() + " " + name
	}
	out := bold(name)
	switch {
	case c.HasSubCommands():
		out += " " + italic("COMMAND") + " [" + italic("OPTION") + "]..."
	case !strings.Contains(rest, "--"):
		out += " [" + italic("OPTION") + "]..."
	}
	if rest != "" {
		out += " " + roffCode(rest)
	}
	return out
}

// splitExits takes the paragraph of exit codes out of a verb's text.
func splitExits(long string) (about string, exits [][2]string) {
	var keep []string
	for _, para := range paragraphs(long) {
		list, ok := strings.CutPrefix(para, "Exit codes: ")
		if !ok {
			keep = append(keep, para)
			continue
		}
		for e := range strings.SplitSeq(strings.TrimSuffix(strings.Join(strings.Fields(list), " "), "."), "; ") {
			code, text, _ := strings.Cut(e, " ")
			if _, err := strconv.Atoi(code); err != nil && len(exits) > 0 {
				exits[len(exits)-1][1] += "; " + e
				continue
			}
			exits = append(exits, [2]string{code, text})
		}
	}
	return strings.Join(keep, "\n\n"), exits
}

func (p *page) exits(c *cobra.Command, exits [][2]string) {
	switch {
	case !c.HasParent():
		p.section1("EXIT STATUS")
		p.text("Each command lists those that it uses.")
		for _, e := range exitCodes {
			p.item(bold(strconv.Itoa(e.code)), e.text)
		}
	case len(exits) > 0:
		p.section1("EXIT STATUS")
		for _, e := range exits {
			p.item(bold(e[0]), sentence(e[1]))
		}
	}
}

func (p *page) commands(c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	p.section1("COMMANDS")
	for _, sub := range verbs(c)[1:] {
		if sub.Parent() == c {
			p.item(fmt.Sprintf(".BR %s (1)", pageName(sub)), sentence(sub.Short))
		}
	}
}

func (p *page) flags(c *cobra.Command) {
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	p.section1("OPTIONS")
	add := func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, text := pflag.UnquoteUsage(f)
		head := bold("--" + f.Name)
		if f.Shorthand != "" {
			head = bold("-"+f.Shorthand) + ", " + head
		}
		if f.Value.Type() != "bool" {
			head += " " + italic(strings.ToUpper(value))
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
			text += " (default " + f.DefValue + ")"
		}
		switch f.Name {
		case "help":
			text = "show a summary"
		case "version":
			text = "show the version"
		}
		p.item(head, sentence(text))
	}
	c.NonInheritedFlags().VisitAll(add)
	c.InheritedFlags().VisitAll(add)
}

// relatives are the page above, those beside, those below, and those of other sections.
func relatives(c *cobra.Command) []string {
	var refs []string
	add := func(o *cobra.Command) {
		if o != c {
			refs = append(refs, pageName(o)+"(1)")
		}
	}
	if c.HasParent() {
		add(c.Parent())
		for _, o := range verbs(c.Parent())[1:] {
			if o.Parent() == c.Parent() && c.Parent().HasParent() {
				add(o)
			}
		}
	}
	for _, o := range verbs(c)[1:] {
		add(o)
	}
	slices.Sort(refs)
	return append(refs, related[pageName(c)]...)
}

// dedent takes the two blanks away that help texts have before their examples.
func dedent(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}
