package glob

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.lua", "b.toml", "c.txt", "x/d.lua", "x/y/e.json", ".hidden/f.lua", "x/.g.lua"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(dir, "x", "loop")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ pattern, want string }{
		{"*.lua", "a.lua"},
		{"**/*.{lua,toml,json}", "a.lua b.toml x/d.lua x/y/e.json"},
		{"{a,x/d}.lua", "a.lua x/d.lua"},
		{"x/**", "x/d.lua x/loop x/y x/y/e.json"},
		{"x/.*.lua", "x/.g.lua"},
		{"[ab].*", "a.lua b.toml"},
		{"a.lua", "a.lua"},
		{"nothing/*.lua", ""},
		{"{b,b}.toml", "b.toml"},
		{"*/{y/{e,f},d}.*", "x/d.lua x/y/e.json"},
	} {
		got, err := Find(filepath.Join(dir, "/")+"/"+c.pattern, func() error { return nil })
		for i := range got {
			got[i] = strings.TrimPrefix(got[i], dir+"/")
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v %v, want %s", c.pattern, got, err, c.want)
		}
	}
}

func TestFindIsBounded(t *testing.T) {
	if _, err := Find(strings.Repeat("{a,b}", 20), func() error { return nil }); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	if _, err := Find("[", func() error { return nil }); err == nil {
		t.Error("a pattern that is wrong is taken")
	}
	enough := errors.New("enough")
	if _, err := Find("/**/x", func() error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
}
