package egress

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kumo/pkg/dns"
	"kumo/pkg/message"
	"kumo/pkg/option"
)

var rewrite = flag.Bool("rewrite", false, "write what the commands say into testdata")

// world is what a script of testdata/plans sets up: zones, policy, a clock and an epoch.
//
//	zone, then a master file          the DNS
//	pool NAME source=weight …         what get_egress_pool answers (ttl=…)
//	source NAME option=value …        what get_egress_source answers
//	path option=value …               what get_egress_path_config answers
//	fail pool|source|path TEXT        the same event raises an error; without TEXT it stops doing so
//	advance DURATION, epoch           the clock, the configuration epoch
//	plan QUEUE [pool=P] [mx_list=a,b] [full=KEY] [times=N] [dry] [explain]
//	targets QUEUE [pool=P] [mx_list=a,b]
//
// Commands end at a line of "----", what they say stands below it up to an empty line.
type world struct {
	t        *testing.T
	now      time.Time
	epochNow uint64
	pools    map[string]map[string]any
	sources  map[string]map[string]any
	path     map[string]any
	fails    map[string]string
	calls    []string
	planner  *Planner
	dialer   *Dialer
	turns    map[string]*Turn
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, now: time.Unix(1_700_000_000, 0), turns: map[string]*Turn{},
		pools: map[string]map[string]any{}, sources: map[string]map[string]any{}, fails: map[string]string{},
	}
	w.zone("")
	return w
}

func (w *world) zone(text string) {
	clock := func() time.Time { return w.now }
	r, err := dns.NewTest(dns.TestResolverOptions{Zones: []string{text}, Servfail: []string{"broken.test"}}, dns.Config{Now: clock})
	if err != nil {
		w.t.Fatal(err)
	}
	w.planner = NewPlanner(PlannerConfig{Configs: w, Resolver: r, Now: clock, Epoch: func() uint64 { return w.epochNow }})
	w.planner.start = func() uint32 { return 0 }
	w.dialer = NewDialer(DialerConfig{Resolver: r, Shuffle: func(n int, swap func(i, j int)) {
		for i := range n / 2 {
			swap(i, n-1-i)
		}
	}})
}

var (
	poolSchema   = option.SchemaOf[Pool]()
	sourceSchema = option.SchemaOf[Source]()
	pathSchema   = option.SchemaOf[Path]()
)

func (w *world) answer(event, call string) error {
	w.calls = append(w.calls, call)
	if text := w.fails[event]; text != "" {
		return errors.New(strings.ReplaceAll(text, `\n`, "\n"))
	}
	return nil
}

func at(line string) option.Origin { return option.Origin{Kind: option.KindLua, At: line} }

func (w *world) EgressPool(_ context.Context, name string) (option.Resolved[Pool], error) {
	if err := w.answer("pool", "get_egress_pool("+name+")"); err != nil {
		return option.Resolved[Pool]{}, err
	}
	return poolSchema.Resolve("make_egress_pool", option.NewLayer(w.pools[name], at("init.lua:1")))
}

func (w *world) EgressSource(_ context.Context, name string) (option.Resolved[Source], error) {
	if err := w.answer("source", "get_egress_source("+name+")"); err != nil {
		return option.Resolved[Source]{}, err
	}
	values := map[string]any{"name": name}
	for k, v := range w.sources[name] {
		values[k] = v
	}
	return sourceSchema.Resolve("make_egress_source", option.NewLayer(values, at("init.lua:2")))
}

func (w *world) EgressPath(_ context.Context, domain, source, site string) (option.Resolved[Path], error) {
	if err := w.answer("path", fmt.Sprintf("get_egress_path_config(%s, %s, %s)", domain, source, site)); err != nil {
		return option.Resolved[Path]{}, err
	}
	return pathSchema.Resolve("make_egress_path", option.NewLayer(w.path, at("init.lua:3")))
}

// value reads what a script writes: 5, true, a|b, text.
func value(s string) any {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	switch {
	case s == "true" || s == "false":
		return s == "true"
	case s == "{}":
		return []any{}
	case strings.Contains(s, "|"):
		var list []any
		for _, x := range strings.Split(s, "|") {
			list = append(list, x)
		}
		return list
	}
	return s
}

func values(words []string) map[string]any {
	m := map[string]any{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		m[k] = value(v)
	}
	return m
}

func (w *world) run(command string) string {
	first, rest, _ := strings.Cut(command, "\n")
	words := strings.Fields(first)
	w.calls = nil
	switch words[0] {
	case "zone":
		w.zone(rest)
	case "pool":
		w.pool(words[1], words[2:])
	case "source":
		w.sources[words[1]] = values(words[2:])
	case "path":
		w.path = values(words[1:])
	case "fail":
		w.fails[words[1]] = strings.Join(words[2:], " ")
	case "epoch":
		w.epochNow++
	case "advance":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			w.t.Fatal(err)
		}
		w.now = w.now.Add(d)
	case "plan":
		return w.plan(words[1], values(words[2:]))
	case "targets":
		return w.targets(words[1], values(words[2:]))
	default:
		w.t.Fatalf("no command %q", words[0])
	}
	return ""
}

func (w *world) pool(name string, words []string) {
	p := map[string]any{"name": name}
	entries := []any{}
	for _, word := range words {
		k, v, weighted := strings.Cut(word, "=")
		switch {
		case k == "ttl":
			p["ttl"] = v
		case weighted:
			entries = append(entries, map[string]any{"name": k, "weight": value(v)})
		default:
			entries = append(entries, map[string]any{"name": k})
		}
	}
	p["entries"] = entries
	w.pools[name] = p
}

func (w *world) request(queue string, args map[string]any) Request {
	req := Request{Queue: message.ParseQueueName(queue)}
	req.Pool, _ = args["pool"].(string)
	if list, ok := args["mx_list"].(string); ok {
		for _, s := range strings.Split(list, ",") {
			e, err := ParseMXEntry(s)
			if err != nil {
				w.t.Fatal(err)
			}
			req.Protocol.SMTP.MXList = append(req.Protocol.SMTP.MXList, e)
		}
	}
	if _, dry := args["dry"]; !dry {
		if w.turns[queue] == nil {
			w.turns[queue] = new(Turn)
		}
		req.Turn = w.turns[queue]
	}
	if full, ok := args["full"].(string); ok {
		list := strings.Split(full, ",")
		req.Full = func(key string) bool { return slices.Contains(list, key) }
	}
	_, req.Explain = args["explain"]
	return req
}

func (w *world) plan(queue string, args map[string]any) string {
	times, _ := args["times"].(int64)
	var out strings.Builder
	for range max(1, times) {
		plan, err := w.planner.Plan(w.t.Context(), w.request(queue, args))
		if err != nil {
			out.WriteString(failureText(err))
			continue
		}
		fmt.Fprintln(&out, plan.Key)
		if times == 0 {
			fmt.Fprintf(&out, "  pool %s, domain %s, source %s, port %d, null %t, mx %t\n", plan.Pool, plan.RoutingDomain, plan.Source.Name,
				plan.Path.SMTPPort, plan.MX.IsNull, plan.MX.IsMX)
		}
		for _, tr := range plan.Trace {
			fmt.Fprintf(&out, "  %s %s\n", tr.Object, tr.Name)
			for _, e := range tr.Fields {
				if e.Origin.Kind != option.KindDefault {
					fmt.Fprintf(&out, "    %s = %v (%s)\n", e.Name, e.Value, e.Origin.At)
				}
			}
		}
	}
	for _, c := range w.calls {
		fmt.Fprintln(&out, "  asked", c)
	}
	return out.String()
}

func failureText(err error) string {
	var f *Failure
	if !errors.As(err, &f) {
		return "not a Failure: " + err.Error() + "\n"
	}
	kind := map[message.Outcome]string{message.Transient: "transient", message.Permanent: "permanent"}[f.Outcome]
	return fmt.Sprintf("%s %s: %s\n", kind, f.Reason, f.Reply)
}

func (w *world) targets(queue string, args map[string]any) string {
	plan, err := w.planner.Plan(w.t.Context(), w.request(queue, args))
	if err != nil {
		return failureText(err)
	}
	targets, err := w.dialer.Targets(w.t.Context(), plan)
	if err != nil {
		return failureText(err)
	}
	var out strings.Builder
	for _, t := range targets {
		fmt.Fprintf(&out, "%s port %d\n", t, t.Addr.Port())
	}
	return out.String()
}

func TestPlans(t *testing.T) {
	files, err := filepath.Glob("testdata/plans/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts in testdata/plans")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(newWorld(t), string(b))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(b) && !*rewrite {
				t.Errorf("got:\n%s\nwant:\n%s", got, b)
			}
		})
	}
}

// runScript runs the commands of a script and gives it back with what they said.
func runScript(w *world, script string) string {
	var out strings.Builder
	rest := script
	for rest != "" {
		if line, tail, _ := strings.Cut(rest, "\n"); line == "" || line[0] == '#' {
			out.WriteString(line + "\n")
			rest = tail
			continue
		}
		command, tail, _ := strings.Cut(rest, "\n----\n")
		out.WriteString(command + "\n----\n")
		_, tail, _ = strings.Cut("\n"+tail, "\n\n")
		out.WriteString(w.run(command))
		if rest = tail; rest != "" {
			out.WriteString("\n")
		}
	}
	return out.String()
}
