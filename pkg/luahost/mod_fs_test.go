package luahost

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFS(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.conf", "b.conf", "x/c.conf"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ chunk, want string }{
		{`return table.concat(kumo.fs.uncached_glob('DIR/*.conf', 'DIR'), ' ')`, "a.conf b.conf"},
		{`return table.concat(kumo.fs.glob('DIR/**/*.conf', 'DIR/x'), ' ')`, "DIR/a.conf DIR/b.conf c.conf"},
		{`return #kumo.fs.read_dir 'DIR' .. kumo.fs.read_dir('DIR')[3]`, "3DIR/x"},
		{`local f = kumo.fs.open('DIR/new', 'w+') f:write 'hello there' f:seek 'set' local s = f:read(5) .. '|' .. f:read() .. '|' .. f:seek() f:close() f:close() return s`, "hello| there|11"},
		{`local f = kumo.fs.open('DIR/new', 'ab') f:write '!' f:flush() f:close() return kumo.fs.open('DIR/new'):read()`, "hello there!"},
		{`local m = kumo.fs.metadata_for_path 'DIR/a.conf' return m.size .. tostring(m.is_file) .. tostring(m.is_dir) .. m.nlink`, "10truefalse1"},
	} {
		chunk, want := strings.ReplaceAll(c.chunk, "DIR", dir), strings.ReplaceAll(c.want, "DIR", dir)
		if got, err := say(t, chunk); err != nil || got != want {
			t.Errorf("%s: %v %v, want %s", chunk, got, err, want)
		}
	}
	for _, c := range []struct{ chunk, want string }{
		{`kumo.fs.open('DIR/none')`, "kumo.fs.open: open DIR/none: no such file"},
		{`kumo.fs.open('DIR/none', 'q')`, "expected r, w, a"},
		{`kumo.fs.open('DIR/a.conf'):write 'x'`, "bad file descriptor"},
		{`local f = kumo.fs.open('DIR/a.conf') f:close() f:read()`, "file already closed"},
		{`kumo.fs.read_dir 'DIR/none'`, "no such file"},
		{`kumo.fs.metadata_for_path 'DIR/none'`, "kumo.fs.metadata_for_path: stat DIR/none: no such file"},
		{`kumo.fs.glob('[')`, "syntax error in pattern"},
	} {
		chunk, want := strings.ReplaceAll(c.chunk, "DIR", dir), strings.ReplaceAll(c.want, "DIR", dir)
		if _, err := say(t, chunk); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", chunk, err, want)
		}
	}
}

// TestGlobIsKept sees the old answer until its time is over.
func TestGlobIsKept(t *testing.T) {
	dir := t.TempDir()
	h := newHost(t, "local kumo = require 'kumo' kumo.on('init', function(ttl) return #kumo.fs.glob('"+dir+"/*', '.', ttl) end)", withModules)
	count := func() any {
		n, _, err := fire(t, h, evInit)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != int64(0) {
		t.Fatal(n)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != int64(0) {
		t.Errorf("%v files: the answer was not kept", n)
	}
}
