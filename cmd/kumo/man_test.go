package main

import (
	"context"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kumo/pkg/admin"
	"kumo/pkg/kumotest"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/policy"
)

// rewrite makes TestManPages write the manual instead of comparing it: make gen.
var rewrite = flag.Bool("rewrite", false, "write the manual pages anew")

const manDir = "../../man"

// manual is every page by file name.
func manual(t *testing.T) map[string]string {
	t.Helper()
	pages := append(verbPages(), luaPages()...)
	pages = append(pages, eventsPage(), metricsPage())
	docs := optionDocs(t)
	for _, o := range objects() {
		pages = append(pages, objectPage(t, o, docs))
	}
	out := make(map[string]string, len(pages))
	for _, p := range pages {
		if _, twice := out[p.file()]; twice {
			t.Errorf("two pages are called %s", p.file())
		}
		out[p.file()] = p.b.String()
	}
	return out
}

// TestManPages holds man/ to what the program declares: verbs, options, Lua functions, events, metrics. With -rewrite
// it writes the pages, and removes those that nothing declares any more.
func TestManPages(t *testing.T) {
	want := manual(t)
	have, err := filepath.Glob(manDir + "/*.[0-9]")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range have {
		if _, ok := want[filepath.Base(path)]; ok {
			continue
		}
		if *rewrite {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		t.Errorf("man/%s describes nothing that is there: run make gen", filepath.Base(path))
	}
	for name, text := range want {
		path := filepath.Join(manDir, name)
		got, err := os.ReadFile(path)
		if err == nil && string(got) == text {
			continue
		}
		if *rewrite {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		t.Errorf("man/%s is stale: run make gen and commit what it writes; it begins to differ at\n%s", name, difference(string(got), text))
	}
}

// difference is the first line in which two texts differ.
func difference(have, want string) string {
	h, w := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range w {
		if i >= len(h) {
			return "+ " + w[i]
		}
		if h[i] != w[i] {
			return "- " + h[i] + "\n+ " + w[i]
		}
	}
	return "- " + h[len(w)]
}

// TestManPagesAreReproducible: the same program makes the same pages.
func TestManPagesAreReproducible(t *testing.T) {
	a, b := manual(t), manual(t)
	for name := range a {
		if a[name] != b[name] {
			t.Errorf("%s differs between two runs: %s", name, difference(a[name], b[name]))
		}
	}
}

// TestManPagesRender asks mandoc whether the pages are good roff, and looks at what readers see.
func TestManPagesRender(t *testing.T) {
	mandoc := kumotest.Need(t, "mandoc", "mandoc")
	dir := t.TempDir()
	for name, text := range manual(t) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(mandoc, "-T", "lint", "-W", "style", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		out, err := exec.Command(mandoc, "-T", "utf8", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, stray := range []string{`\f`, `\e`, `\[u`, "<?>", "\n.", "TODO"} {
			if strings.Contains(string(out), stray) {
				t.Errorf("%s shows %q to its readers", name, stray)
			}
		}
	}
}

// TestManReferences: each page that a page points to exists.
func TestManReferences(t *testing.T) {
	pages := manual(t)
	for name, text := range pages {
		for line := range strings.Lines(text) {
			ref, ok := strings.CutPrefix(line, ".BR kumo")
			if !ok {
				continue
			}
			page, section, _ := strings.Cut("kumo"+ref, " (")
			if file := page + "." + section[:1]; pages[file] == "" {
				t.Errorf("%s points to %s, which does not exist", name, file)
			}
		}
	}
}

// TestManExamples runs each example of the manual as a policy, and asks the questions that it answers.
func TestManExamples(t *testing.T) {
	examples := map[string]string{"lua": strings.TrimPrefix(exampleLua, "local kumo = require 'kumo'\n")}
	for _, o := range objects() {
		if !strings.Contains(o.example, o.call) {
			t.Errorf("the example of kumo-%s(5) does not call %s", o.name, o.call)
		}
		examples[o.name] = o.example
	}
	for _, e := range policy.Events() {
		if e.Unfired {
			continue
		}
		if examples["event "+e.Name] = eventExample(e.Name); examples["event "+e.Name] == "" {
			t.Errorf("no example of the manual handles the event %s", e.Name)
		}
	}
	for name, text := range examples {
		t.Run(name, func(t *testing.T) {
			if err := runExample(text); err != nil {
				t.Error(err)
			}
		})
	}
}

// runExample starts a policy of this text; spools are defined for those that do not.
func runExample(text string) error {
	if !strings.Contains(text, "define_spool") {
		text += `
kumo.on('pre_init', function()
  kumo.define_spool { name = 'data', path = '/d' }
  kumo.define_spool { name = 'meta', path = '/m' }
end)`
	}
	ctx := context.Background()
	p, err := policy.Load(ctx, policy.Options{
		Name: "example.lua", Source: []byte("local kumo = require 'kumo' " + text), Print: io.Discard,
		HTTPListener: func(l option.Layer) error {
			return option.SchemaOf[admin.ListenerOptions]().Validate("start_http_listener", l)
		},
	})
	if err != nil {
		return err
	}
	defer p.Close()
	if strings.Contains(text, "'main'") {
		return p.Main(ctx, []string{"a", "b"})
	}
	if _, err := p.Start(ctx); err != nil {
		return err
	}
	for _, domain := range []string{"example.com", "customer.example", "other.example"} {
		if _, err := p.QueueConfig(ctx, message.QueueName{Domain: domain, Tenant: "acme"}); err != nil {
			return err
		}
		if _, err := p.EgressPath(ctx, domain, "ip-1", "mx."+domain); err != nil {
			return err
		}
		if _, err := p.ListenerDomain(ctx, domain, "127.0.0.1:25", nil); err != nil {
			return err
		}
	}
	if strings.Contains(text, "'get_egress_pool'") {
		if _, err := p.EgressPool(ctx, "pool-1"); err != nil {
			return err
		}
	}
	if strings.Contains(text, "'get_egress_source'") {
		if _, err := p.EgressSource(ctx, "ip-1"); err != nil {
			return err
		}
	}
	m := &message.Message{Sender: mail.Restore("a@example.org"), Recipients: []mail.Address{mail.Restore("b@example.com")}, Meta: message.NewMeta(nil)}
	return p.RebindMessage(ctx, m, map[string]string{"tenant": "acme", "sender_domain": "example.org"})
}

// TestExampleFails: the check above can fail.
func TestExampleFails(t *testing.T) {
	for _, bad := range []string{
		"kumo.on('init', function() kumo.start_esmtp_listener { lisen = ':25' } end)",
		"kumo.on('get_queue_config', function() return kumo.make_queue_config { max_age = 'soon' } end)",
	} {
		if runExample(bad) == nil {
			t.Errorf("this runs as an example: %s", bad)
		}
	}
}

// TestEnvironmentIsComplete: every variable that the program reads stands in kumo(1).
func TestEnvironmentIsComplete(t *testing.T) {
	var names []string
	for _, e := range environment {
		names = append(names, e[0])
	}
	if !slices.IsSorted(names) {
		t.Errorf("not in alphabetical order: %v", names)
	}
	for _, pattern := range []string{"*.go", "../../pkg/*/*.go"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/kumotest/") {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range getenv.FindAllStringSubmatch(string(text), -1) {
				if name := m[1]; name != "PATH" && name != "TERM" && !slices.Contains(names, name) {
					t.Errorf("%s reads $%s, of which kumo(1) says nothing: add it to environment in man_verbs_test.go", path, name)
				}
			}
		}
	}
}

var getenv = regexp.MustCompile(`(?i:getenv)\("([A-Z_]+)"\)`)
