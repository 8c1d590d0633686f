package option

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

// Docs reads the comments of the struct types and fields of the package in dir, without its tests, for the generators of
// manual and completion. Keys are "egress.Path" and "egress.Path.MaxReady": Field.GoType and Field.GoName. A comment
// stands above its field or, if there is none above, behind it. Nothing that runs in the daemon calls this.
func Docs(dir string) (map[string]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("read comments of %s: %w", dir, err)
	}
	docs := map[string]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read comments: %w", err)
		}
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				typeDocs(docs, f.Name.Name, g)
			}
		}
	}
	return docs, nil
}

// typeDocs adds the struct types of one declaration.
func typeDocs(docs map[string]string, pkg string, g *ast.GenDecl) {
	for _, spec := range g.Specs {
		ts := spec.(*ast.TypeSpec)
		st, ok := ts.Type.(*ast.StructType)
		if !ok {
			continue
		}
		name := pkg + "." + ts.Name.Name
		docs[name] = comment(ts.Doc, g.Doc)
		for _, f := range st.Fields.List {
			for _, id := range f.Names {
				docs[name+"."+id.Name] = comment(f.Doc, f.Comment)
			}
		}
	}
}

// comment is the text of the first group that has one.
func comment(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if text := strings.TrimSpace(g.Text()); text != "" {
			return text
		}
	}
	return ""
}
