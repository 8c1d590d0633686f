// Package glob finds files by patterns such as /etc/kumo/**/*.{lua,toml}.
//
//  1. Braces are expanded into patterns without them.
//  2. A pattern is walked part by part: names without * ? [ are joined, others are matched against a directory's
//     entries, and ** stands for any number of directories, none included.
//
// Directories that are not there or may not be read are left out. Symbolic links are followed where the pattern names
// them, not by **, so that loops end.
package glob

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of one search.
const (
	maxFound    = 100_000 // names in the answer
	maxLooked   = 1_000_000
	maxPatterns = 256 // that braces expand to
	maxDepth    = 64  // directories that ** goes down
)

// ErrTooMany is a search that finds, or looks at, more than it may.
var ErrTooMany = errors.New("the pattern matches too many files: make it narrower")

// Find gives the names that match, sorted, each once. stop is asked now and then; its error ends the search.
func Find(pattern string, stop func() error) ([]string, error) {
	patterns, err := braces(pattern)
	if err != nil {
		return nil, err
	}
	w := walk{stop: stop}
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return nil, err
		}
		root := "."
		if strings.HasPrefix(p, "/") {
			root, p = "/", strings.TrimLeft(p, "/")
		}
		if err := w.into(root, strings.Split(p, "/"), 0); err != nil {
			return nil, err
		}
	}
	slices.Sort(w.found)
	return slices.Compact(w.found), nil
}

type walk struct {
	found  []string
	looked int
	stop   func() error
}

// into looks for the parts below dir.
func (w *walk) into(dir string, parts []string, depth int) error {
	for len(parts) > 1 && !special(parts[0]) {
		dir, parts = filepath.Join(dir, parts[0]), parts[1:]
	}
	part := parts[0]
	if part == "**" {
		return w.below(dir, parts, depth)
	}
	if !special(part) {
		name := filepath.Join(dir, part)
		if _, err := os.Lstat(name); err == nil {
			return w.add(name)
		}
		return nil
	}
	return w.entries(dir, func(e os.DirEntry) error {
		if ok, _ := path.Match(part, e.Name()); !ok || strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(part, ".") {
			return nil
		}
		name := filepath.Join(dir, e.Name())
		if len(parts) == 1 {
			return w.add(name)
		}
		return w.into(name, parts[1:], depth)
	})
}

// below is **: what follows may stand here, or in any directory further down.
func (w *walk) below(dir string, parts []string, depth int) error {
	rest := parts[1:]
	if len(rest) == 0 {
		rest = []string{"*"}
	}
	if err := w.into(dir, rest, depth); err != nil || depth == maxDepth {
		return err
	}
	return w.entries(dir, func(e os.DirEntry) error {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			return nil
		}
		return w.below(filepath.Join(dir, e.Name()), parts, depth+1)
	})
}

func (w *walk) add(name string) error {
	if len(w.found) == maxFound {
		return ErrTooMany
	}
	w.found = append(w.found, name)
	return nil
}

// entries calls f for every entry of dir; one that cannot be read has none.
func (w *walk) entries(dir string, f func(os.DirEntry) error) error {
	if err := w.stop(); err != nil {
		return err
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil //nolint:nilerr // left out, as documented
	}
	if w.looked += len(list); w.looked > maxLooked {
		return ErrTooMany
	}
	for _, e := range list {
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

func special(part string) bool { return strings.ContainsAny(part, `*?[\`) }

// braces expands {a,b}, also nested.
func braces(p string) ([]string, error) {
	todo, out := []string{p}, []string(nil)
	for len(todo) > 0 {
		p := todo[0]
		todo = todo[1:]
		before, parts, after, ok := firstBraces(p)
		if !ok {
			out = append(out, p)
			continue
		}
		for _, part := range parts {
			todo = append(todo, before+part+after)
		}
		if len(todo)+len(out) > maxPatterns {
			return nil, ErrTooMany
		}
	}
	return out, nil
}

func firstBraces(p string) (before string, parts []string, after string, ok bool) {
	open := strings.IndexByte(p, '{')
	if open < 0 {
		return "", nil, "", false
	}
	depth, from := 0, open+1
	for i := open; i < len(p); i++ {
		switch p[i] {
		case '{':
			depth++
		case ',':
			if depth == 1 {
				parts, from = append(parts, p[from:i]), i+1
			}
		case '}':
			if depth--; depth == 0 {
				return p[:open], append(parts, p[from:i]), p[i+1:], true
			}
		}
	}
	return "", nil, "", false
}
