package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kumo/pkg/cli"
)

// console is one for a test, whose streams are in memory.
func console() (c *cli.Console, out, errs *bytes.Buffer) {
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	return &cli.Console{In: strings.NewReader(""), Out: out, Err: errs, Width: 80, Format: cli.Text}, out, errs
}

// TestEveryVerbExplainsItself: what --help and the manual are made of is there, and keeps its promises.
func TestEveryVerbExplainsItself(t *testing.T) {
	c, _, _ := console()
	root := newRoot(c)
	known := map[int]bool{}
	for _, e := range exitCodes {
		known[e.code] = true
	}
	for _, v := range verbs(root) {
		name := v.CommandPath()
		if v.Short == "" || len(v.Short) > 78-len(name) || strings.HasSuffix(v.Short, ".") {
			t.Errorf("%s: Short is %q: want one line of a few words without a full stop", name, v.Short)
		}
		if _, exits := splitExits(v.Long); len(exits) < 2 {
			t.Errorf("%s: Long has no paragraph \"Exit codes: 0 …; 1 …\"", name)
		} else {
			for _, e := range exits {
				if n, err := strconv.Atoi(e[0]); err != nil || !known[n] || e[1] == "" {
					t.Errorf("%s: exit code %q is not in the one table", name, strings.Join(e[:], " "))
				}
			}
		}
		for line := range strings.SplitSeq(v.Long, "\n") {
			if len(line) > 120 {
				t.Errorf("%s: a line of Long has %d characters, and 120 are enough: %q", name, len(line), line)
			}
		}
		if !strings.Contains(v.Example, name) {
			t.Errorf("%s: Example does not show it", name)
		}
		if v.Runnable() && v.Args == nil {
			t.Errorf("%s: no check of its arguments (Args)", name)
		}
		v.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s: no description", name, f.Name)
			}
			if f.Value.Type() == "string" && !strings.Contains(f.Usage, "`") {
				t.Errorf("%s --%s: the description does not name the value in backquotes", name, f.Name)
			}
		})
	}
}

// TestEveryExampleParses: the flags of all examples exist, and their arguments are accepted.
func TestEveryExampleParses(t *testing.T) {
	c, _, _ := console()
	for _, v := range verbs(newRoot(c)) {
		for line := range strings.Lines(v.Example) {
			for part := range strings.SplitSeq(line, "|") {
				words := shellWords(part)
				at := slices.Index(words, "kumo")
				if at < 0 {
					at = slices.Index(words, "<(kumo")
				}
				if at < 0 {
					continue
				}
				if err := parses(words[at+1:]); err != nil {
					t.Errorf("%s: the example %q: %v", v.CommandPath(), strings.TrimSpace(part), err)
				}
			}
		}
	}
}

// shellWords splits a line as a shell does, at spaces that no quotation marks surround. The marks stay.
func shellWords(line string) (words []string) {
	mark := rune(0)
	for _, piece := range strings.FieldsFunc(strings.Map(func(r rune) rune {
		switch {
		case mark == 0 && (r == '\'' || r == '"'):
			mark = r
		case r == mark:
			mark = 0
		case mark != 0 && r == ' ':
			return '\u00a0' // is no end of a word
		}
		return r
	}, line), func(r rune) bool { return strings.ContainsRune(" \t\n", r) }) {
		words = append(words, strings.ReplaceAll(piece, "\u00a0", " "))
	}
	return words
}

// parses runs a command line up to the point where its command would work.
func parses(words []string) error {
	for i, w := range words {
		if w == "<" || w == ">" {
			words = words[:i]
			break
		}
		words[i] = strings.Trim(w, `'")`)
	}
	c, _, _ := console()
	root := newRoot(c)
	ran := false
	for _, v := range verbs(root) {
		if v.Runnable() {
			v.RunE = func(*cobra.Command, []string) error { ran = true; return nil }
		}
	}
	root.SetArgs(words)
	if err := root.Execute(); err != nil {
		return err
	}
	if !ran && len(words) > 0 {
		return fmt.Errorf("no command ran")
	}
	return nil
}

// TestWrongLinesAreUsage: what cobra and we refuse on a command line has exit code 2, a hint, and nothing on stdout.
func TestWrongLinesAreUsage(t *testing.T) {
	for _, line := range []string{
		"bogus", "--bogus", "--format xml version", "version one", "serve one", "serve --policy", "queue bogus", "queue list a b",
		"queue show", "queue show xyz", "queue list --state gone", "queue list --older-than soon", "queue list --id xyz",
		"queue bounce", "queue bounce --yes", "queue bounce --all", "queue bounce --yes --all --domain example.org",
		"queue bounce --yes example.org", "queue bounce --yes --sender a@b.example --for 1h", "queue bounce --all --yes --for 0",
		"queue requeue --for 1h --all --yes", "queue rebind --all --yes", "queue rebind --all --yes --set tenant",
		"queue release --yes --all --order 5d3f", "queue hold --yes --id xyz", "queue undo", "queue undo a b", "queue orders a b",
		"queue suspend --all", "queue resume --yes", "queue purge --all", "queue summary --older-than x",
		"spool bogus", "spool check x", "spool check --logs /tmp", "spool stats x", "spool compact x", "log bogus", "log tail x", "log tail -n x", "log tail -n -1", "log tail --type Bogus",
		"man a b", "man --roff", "man --write /dev/null/x serve", "completion", "completion tcsh", "inject a b",
		"inject --smtp", "route-test", "route-test --to a@b.example --meta x", "serve --validate --script",
	} {
		c, out, errs := console()
		if code := run(c, strings.Fields(line)); code != cli.CodeUsage {
			t.Errorf("kumo %s: exit code %d, want %d: %s", line, code, cli.CodeUsage, errs)
		}
		if out.Len() > 0 || !strings.HasPrefix(errs.String(), "kumo: ") {
			t.Errorf("kumo %s: stdout %q, stderr %q", line, out, errs)
		}
	}
}

// TestHelpIsData: asked for, help is on stdout with exit code 0.
func TestHelpIsData(t *testing.T) {
	c, _, _ := console()
	for _, v := range verbs(newRoot(c)) {
		words := append(strings.Fields(v.CommandPath())[1:], "--help")
		c, out, errs := console()
		if code := run(c, words); code != 0 || errs.Len() > 0 || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("kumo %s: exit code %d, stdout %q, stderr %q", strings.Join(words, " "), code, out, errs)
		}
	}
}
