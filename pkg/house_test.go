// Package pkg_test holds the tests of the house: who may import whom, what every package must have, and what no file
// may hold. Each fails with a sentence that says what to do.
package pkg_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// pack is what `go list` says about a package of this module.
type pack struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

// room is the first element of the path below pkg/, "" for packages elsewhere. Closets (pkg/x/internal/y) and helpers
// (pkg/x/xtest) belong to their room.
func (p pack) room() string {
	rest, ok := strings.CutPrefix(p.ImportPath, "kumo/pkg/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// root is the top of the module: the tests of pkg/ run in pkg/.
const root = ".."

var listed = sync.OnceValues(func() ([]pack, error) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.New(err.Error() + ": " + stderr.String())
	}
	var all []pack
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pack
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
})

func packages(t *testing.T) []pack {
	t.Helper()
	all, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(all, func(p pack) bool { return p.room() == "queue" && len(p.Imports) > 0 }) {
		t.Fatalf("go list names %d packages and not the rooms: nothing would be checked", len(all))
	}
	return all
}

// source is a parsed Go file of the module.
type source struct {
	path string // from the top of the module
	file *ast.File
	fset *token.FileSet
	test bool
}

func (s source) at(n ast.Node) string {
	p := s.fset.Position(n.Pos())
	return s.path + ":" + itoa(p.Line)
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

var parsed = sync.OnceValues(func() ([]source, error) {
	var all []source
	fset := token.NewFileSet()
	for _, path := range allFiles() {
		if !strings.HasSuffix(path, ".go") || strings.HasPrefix(path, ".ci/") {
			continue
		}
		f, err := parser.ParseFile(fset, filepath.Join(root, path), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		all = append(all, source{path, f, fset, strings.HasSuffix(path, "_test.go")})
	}
	return all, nil
})

func sources(t *testing.T) []source {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("%d Go files were found: nothing would be checked", len(all))
	}
	return all
}

// allFiles are the files of the project, from the top of the module: what git has or would take. Without git (a
// tarball) it is everything but build products.
var allFiles = sync.OnceValue(func() []string {
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil && len(out) > 0 {
		files := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		slices.Sort(files)
		return slices.DeleteFunc(slices.Compact(files), func(f string) bool {
			_, err := os.Lstat(filepath.Join(root, f))
			return err != nil
		})
	}
	var files []string
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (rel == ".git" || rel == "bin" || rel == ".ci/bin"):
			return filepath.SkipDir
		case !d.IsDir():
			files = append(files, rel)
		}
		return nil
	})
	return files
})
