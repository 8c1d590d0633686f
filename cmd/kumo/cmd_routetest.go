package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/node"
)

// routeFlags are what kumo route-test was asked for.
type routeFlags struct {
	from   string
	to     []string
	meta   []string
	policy string
	all    bool
}

func newRouteTest(c *cli.Console) *cobra.Command {
	var f routeFlags
	cmd := &cobra.Command{
		Use:   "route-test [--to ADDRESS]… [--from ADDRESS] [--meta NAME=VALUE]… [FILE]",
		Short: "Say where a message would go, and why",
		Long: `route-test runs the policy's events for a message without taking it in and without connecting to anybody but name
servers: smtp_server_message_received, get_queue_config, get_egress_pool, get_egress_source, get_egress_path_config.
It prints the scheduled queue, the plan (source, site, ready queue, hosts) and every option that was set, with the file
and line that set it; --all prints the defaults, too.

The message is read from FILE, or from stdin with "-" or when stdin is no terminal. With --to and without a file it is
an empty one.

--meta sets connection metadata, such as authz_id or received_from. A value that is JSON (a number, true, a list) is
taken as that, everything else as text.

Exit codes: 0 done, wherever the message would go; 1 the policy failed; 2 usage.`,
		Example: `  kumo route-test --to you@example.org
  kumo route-test --policy init.lua --from me@example.com --to you@example.org --meta tenant=acme
  kumo route-test < message.eml
  kumo route-test --to you@example.org --format json | jq '.[0].plan.hosts'`,
		Args: args(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, args []string) error { return routeTest(cmd, c, f, args) },
	}
	cmd.Flags().StringVar(&f.from, "from", "", "envelope sender `ADDRESS`; else that of the Sender or From header")
	cmd.Flags().StringArrayVar(&f.to, "to", nil, "envelope recipient `ADDRESS`, may be repeated; else those of To, Cc and Bcc")
	cmd.Flags().StringArrayVar(&f.meta, "meta", nil, "connection metadata `NAME=VALUE`; may be repeated")
	cmd.Flags().StringVar(&f.policy, "policy", "", "policy `FILE` to ask; else the one that kumo serve would run")
	cmd.Flags().BoolVar(&f.all, "all", false, "print options that have their default, too")
	return cmd
}

func routeTest(cmd *cobra.Command, c *cli.Console, f routeFlags, args []string) error {
	l, err := routeLetter(c, f, args)
	if err != nil {
		return err
	}
	meta, err := parseMeta(f.meta)
	if err != nil {
		return err
	}
	t, err := node.OpenRouteTester(cmd.Context(), node.Options{Policy: f.policy, Version: version, Log: diagnostics(c)})
	if err != nil {
		return cli.Failf("route-test: %w", err)
	}
	defer t.Close()
	routes, err := t.Route(cmd.Context(), l, meta)
	if err != nil {
		return cli.Failf("route-test: %w", err)
	}
	if c.Format == cli.Text {
		return c.Print(routeText{routes, f.all})
	}
	return c.Print(routes)
}

func routeLetter(c *cli.Console, f routeFlags, args []string) (*node.Letter, error) {
	text, err := routeMessage(c, f, args)
	if err != nil {
		return nil, err
	}
	l, err := node.ReadLetter(text, f.from, f.to)
	if err != nil {
		return nil, letterError("route-test", err, 0)
	}
	return l, nil
}

// routeMessage is the message to test with: the file's, an empty one for --to, or what comes through a pipe.
func routeMessage(c *cli.Console, f routeFlags, args []string) ([]byte, error) {
	switch {
	case len(args) > 0:
		return readMessage(c, args[0])
	case len(f.to) > 0:
		from := ""
		if f.from != "" {
			from = "From: <" + f.from + ">\n"
		}
		return []byte(from + "To: <" + strings.Join(f.to, ">, <") + ">\nSubject: route-test\n\n"), nil
	}
	var text []byte
	if !c.InTTY {
		var err error
		if text, err = readMessage(c, "-"); err != nil {
			return nil, err
		}
	}
	if len(text) == 0 {
		return nil, cli.Usagef("route-test: no message: name a recipient with --to or a file, or send a message through a pipe").WithHint("kumo route-test --help")
	}
	return text, nil
}

func readMessage(c *cli.Console, file string) ([]byte, error) {
	in, err := c.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, node.MaxLetter+1))
	if err != nil {
		return nil, cli.Failf("route-test: %w", err)
	}
	return text, nil
}

func parseMeta(pairs []string) (map[string]any, error) {
	meta := make(map[string]any, len(pairs))
	for _, p := range pairs {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, cli.Usagef("--meta %q: want NAME=VALUE", p)
		}
		meta[name] = value
		var v any
		if json.Unmarshal([]byte(value), &v) == nil {
			meta[name] = v
		}
	}
	return meta, nil
}

// routeText prints routes for people.
type routeText struct {
	routes []node.Route
	all    bool
}

// WriteText prints one block for each recipient. In a pipe columns are parted by tabs; options begin with one.
func (t routeText) WriteText(c *cli.Console, w io.Writer) error {
	b := routeBlock{all: t.all, tabs: !c.OutTTY}
	for i, r := range t.routes {
		if i > 0 {
			b.WriteString("\n")
		}
		b.route(r)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// routeBlock gathers what routeText prints.
type routeBlock struct {
	strings.Builder
	all, tabs bool
}

func (b *routeBlock) route(r node.Route) {
	b.line("message to", r.Recipient)
	if r.Queue != "" {
		b.line("queue", r.Queue)
	}
	if p := r.Plan; p != nil {
		b.line("plan", p.ReadyQueue)
		b.line("hosts", strings.Join(p.Hosts, " "))
		if p.Problem != "" {
			b.line("problem", p.Problem)
		} else {
			b.line("targets", strings.Join(p.Targets, " "))
		}
	}
	if r.Failure != nil {
		b.line(r.Failure.Outcome, r.Failure.Text)
	}
	for _, o := range r.Objects {
		b.object(o)
	}
}

func (b *routeBlock) object(o node.RouteObject) {
	b.line(o.Object, o.Name)
	var rows [][3]string
	for _, f := range o.Fields {
		if b.all || !f.IsDefault() {
			rows = append(rows, [3]string{f.Name, cli.Tame(valueText(f.Value)), cli.Tame(f.Origin.String())})
		}
	}
	if len(rows) == 0 && !b.tabs {
		b.WriteString("  (all options have their defaults)\n")
	}
	b.columns(rows)
}

func (b *routeBlock) line(what, text string) {
	if b.tabs {
		b.WriteString(what + "\t" + cli.Tame(text) + "\n")
		return
	}
	fmt.Fprintf(b, "%-11s %s\n", what, cli.Tame(text))
}

// columns prints name, value and origin under each other.
func (b *routeBlock) columns(rows [][3]string) {
	var w [2]int
	for _, r := range rows {
		w[0] = max(w[0], len(r[0]))
		w[1] = max(w[1], min(len(r[1]), 40))
	}
	for _, r := range rows {
		if b.tabs {
			b.WriteString("\t" + strings.Join(r[:], "\t") + "\n")
			continue
		}
		fmt.Fprintf(b, "  %-*s  %-*s  %s\n", w[0], r[0], w[1], r[1], r[2])
	}
}

func valueText(v any) string {
	switch x := v.(type) {
	case nil:
		return "-"
	case string:
		return x
	}
	j, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(j)
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
