package pkg_test

import (
	"bytes"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestEveryPackageHasOneDocComment(t *testing.T) {
	docs := map[string][]string{}
	seen := map[string]bool{}
	for _, s := range sources(t) {
		dir := filepath.Dir(s.path)
		if s.test || strings.HasSuffix(s.file.Name.Name, "_test") {
			continue
		}
		seen[dir] = true
		if s.file.Doc != nil && !directive(s.file.Doc) {
			docs[dir] = append(docs[dir], filepath.Base(s.path))
		}
	}
	for dir := range seen {
		want := "doc.go"
		switch {
		case dir == "policy" || dir == "man":
			want = "embed.go"
		case strings.HasPrefix(dir, "cmd/") || strings.HasPrefix(dir, "scripts/"):
			want = "main.go"
		}
		switch got := docs[dir]; {
		case len(got) == 0:
			t.Errorf("%s has no package comment: say in %s what it is for, how it works and what it does not do", dir, want)
		case len(got) > 1:
			t.Errorf("%s has package comments in %v: keep the one in %s", dir, got, want)
		case got[0] != want && strings.Count(dir, "/") < 2 && !strings.HasPrefix(dir, "scripts/"):
			t.Errorf("%s has its package comment in %s: move it to %s", dir, got[0], want)
		}
	}
}

// directive reports a comment that only talks to tools.
func directive(c *ast.CommentGroup) bool { return strings.TrimSpace(c.Text()) == "" }

func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: init() runs behind everybody's back: write the list out, or let node call it", s.at(f))
			}
		}
	}
}

// TestNoPackageState finds package variables that a function changes, as far as syntax tells: assignment, increment,
// delete, a change through an index or a field, and variables whose type exists to be changed.
func TestNoPackageState(t *testing.T) {
	type variable struct {
		s source
		n *ast.Ident
	}
	vars := map[string]map[string]variable{} // directory -> name
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		dir := filepath.Dir(s.path)
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				if stateful(v) {
					t.Errorf("%s: %s is state of the package: put it into a struct that node makes", s.at(v), v.Names[0])
				}
				for _, n := range v.Names {
					if n.Name == "_" {
						continue // a check at compile time
					}
					if vars[dir] == nil {
						vars[dir] = map[string]variable{}
					}
					vars[dir][n.Name] = variable{s, n}
				}
			}
		}
	}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		known := vars[filepath.Dir(s.path)]
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			local := locals(f)
			for _, n := range changed(f.Body) {
				if v, ok := known[n.Name]; ok && !local[n.Name] {
					t.Errorf("%s changes %s, a variable of the package (%s): put it into a struct that node makes", s.at(n), n.Name, v.s.at(v.n))
				}
			}
		}
	}
}

var stateTypes = regexp.MustCompile(`^\*?(sync\.(Mutex|RWMutex|Once|Pool|Map|WaitGroup|Cond)|atomic\.\w+)(\[.*\])?$`)

// stateful reports a variable of a type that is made to be changed. sync.OnceValue and its like compute a constant.
func stateful(v *ast.ValueSpec) bool {
	for _, e := range append([]ast.Expr{v.Type}, v.Values...) {
		if u, ok := e.(*ast.UnaryExpr); ok {
			e = u.X
		}
		if lit, ok := e.(*ast.CompositeLit); ok {
			e = lit.Type
		}
		if e != nil && stateTypes.MatchString(typeText(e)) {
			return true
		}
		if call, ok := e.(*ast.CallExpr); ok {
			if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "make" {
				if _, ok := call.Args[0].(*ast.ChanType); ok {
					return true
				}
			}
		}
	}
	return false
}

func typeText(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return typeText(x.X) + "." + x.Sel.Name
	case *ast.StarExpr:
		return "*" + typeText(x.X)
	case *ast.IndexExpr:
		return typeText(x.X)
	}
	return ""
}

// locals are the names that a function declares somewhere: parameters, results and variables.
func locals(f *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.Field:
			for _, id := range x.Names {
				names[id.Name] = true
			}
		case *ast.AssignStmt:
			if x.Tok == token.DEFINE {
				for _, e := range x.Lhs {
					if id, ok := e.(*ast.Ident); ok {
						names[id.Name] = true
					}
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{x.Key, x.Value} {
				if id, ok := e.(*ast.Ident); ok && x.Tok == token.DEFINE {
					names[id.Name] = true
				}
			}
		case *ast.ValueSpec:
			for _, id := range x.Names {
				names[id.Name] = true
			}
		}
		return true
	})
	return names
}

// changed lists the variables that statements change, through fields and indexes too.
func changed(body *ast.BlockStmt) []*ast.Ident {
	var ids []*ast.Ident
	add := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.Ident:
				ids = append(ids, x)
				return
			case *ast.SelectorExpr:
				e = x.X
			case *ast.IndexExpr:
				e = x.X
			case *ast.StarExpr:
				e = x.X
			case *ast.ParenExpr:
				e = x.X
			default:
				return
			}
		}
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			if x.Tok != token.DEFINE {
				for _, e := range x.Lhs {
					add(e)
				}
			}
		case *ast.IncDecStmt:
			add(x.X)
		case *ast.CallExpr:
			if id, ok := x.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") {
				add(x.Args[0])
			}
		}
		return true
	})
	return ids
}

func TestOptionsHaveComments(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			f, ok := n.(*ast.Field)
			if !ok || f.Tag == nil {
				return true
			}
			tag, ok := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Lookup("opt")
			if ok && tag != "-" && strings.TrimSpace(f.Doc.Text()) == "" {
				t.Errorf("%s: the option %q has no comment: it is the option's text in the manual", s.at(f), tag)
			}
			return true
		})
	}
}

// TestVerbsDoNotPrint: what a verb says goes through cli.Console.
func TestVerbsDoNotPrint(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !strings.HasPrefix(s.path, "cmd/kumo/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch name := typeText(call.Fun); name {
			case "fmt.Print", "fmt.Printf", "fmt.Println", "print", "println":
				t.Errorf("%s: %s in a verb: return a value and let cli print it", s.at(call), name)
			}
			return true
		})
	}
}

func TestNamesThatSayNothing(t *testing.T) {
	for _, f := range allFiles() {
		for _, part := range strings.Split(filepath.ToSlash(filepath.Dir(f)), "/") {
			switch part {
			case "docs", "doc", "util", "utils", "common", "helpers", "misc", "shared":
				t.Errorf("%s: a directory called %q: name it after what it does, or put the file where it is used", f, part)
			}
		}
		if strings.HasPrefix(f, "internal/") {
			t.Errorf("%s: there is no top-level internal: rooms have closets (pkg/<room>/internal)", f)
		}
	}
}

// maxLines is where a file has become two files. The aim is 80 to 200.
const maxLines = 450

func TestFilesAreShort(t *testing.T) {
	for _, f := range allFiles() {
		if !strings.HasSuffix(f, ".go") || strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte{'\n'}); n > maxLines {
			t.Errorf("%s has %d lines: split it by what its parts do (at most %d, better 80 to 200)", f, n, maxLines)
		}
	}
}

// stray are traces of the machine that a file was written on.
var stray = []struct {
	what string
	re   *regexp.Regexp
}{
	{"a home directory", regexp.MustCompile(`/(home|Users)/[a-z][-a-z0-9_.]*/|/root/[.a-zA-Z]`)},
	{"a working directory", regexp.MustCompile(`(^|[^a-zA-Z0-9_.$}~)-])/(work|workspace|builds?)/[a-z]`)},
	{"a package registry or mirror", regexp.MustCompile(`(?i)(https?|file)://[^\s"'` + "`" + `)>]*(goproxy|artifactory|nexus|registry|mirror|sumdb)[^\s"'` + "`" + `)>]*`)},
	{"a proxy of the Go toolchain", regexp.MustCompile(`(GOPROXY|GOSUMDB|GONOSUMDB|GOFLAGS=.*-mod)\s*=\s*\S*://`)},
}

func TestNoTracesOfAMachine(t *testing.T) {
	for _, f := range allFiles() {
		if f == "pkg/tidy_test.go" || strings.HasSuffix(f, ".sum") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root, f))
		if err != nil || bytes.IndexByte(b, 0) >= 0 {
			continue // a symbolic link, or no text
		}
		line := 0
		for text := range bytes.Lines(b) {
			line++
			for _, s := range stray {
				if m := s.re.Find(text); m != nil {
					t.Errorf("%s:%d: %s in %q: nothing in the project may depend on one machine", f, line, s.what, bytes.TrimSpace(m))
				}
			}
		}
	}
}

// TestSkipsNameAPackage: a test is passed over only where a Debian package is missing, and says which.
func TestSkipsNameAPackage(t *testing.T) {
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || len(call.Args) == 0 && sel.Sel.Name != "SkipNow" {
				return true
			}
			switch sel.Sel.Name {
			case "SkipNow":
				t.Errorf("%s: SkipNow says nothing: name the Debian package that is missing", s.at(call))
			case "Skip", "Skipf":
				if text, ok := call.Args[0].(*ast.BasicLit); ok && text.Kind == token.STRING && !strings.HasPrefix(text.Value, `"SKIP: `) {
					t.Errorf("%s: a test is skipped with %s: only a missing Debian package is a reason, as SKIP: …", s.at(call), text.Value)
				}
			}
			return true
		})
	}
}

func TestScriptsAreExecutable(t *testing.T) {
	for _, f := range allFiles() {
		b, err := os.ReadFile(filepath.Join(root, f))
		if err != nil || !bytes.HasPrefix(b, []byte("#!")) {
			continue
		}
		if st, err := os.Stat(filepath.Join(root, f)); err == nil && st.Mode()&0o111 == 0 {
			t.Errorf("%s begins with #! and is not executable: chmod +x", f)
		}
		if !bytes.Contains(b[:min(len(b), 2000)], []byte("set -")) && bytes.HasPrefix(b, []byte("#!/usr/bin/env bash")) {
			t.Errorf("%s does not say set -euo pipefail", f)
		}
	}
}
