package luahost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"
	"golang.org/x/sys/unix"

	"kumo/pkg/luahost/internal/glob"
)

const fsSince = "2025.10.06-5ec871ab"

// asyncFileType is a file of kumo.fs.open.
var asyncFileType = Type{
	Name: "async_file",
	Doc:  "An open file. Nothing is buffered: what was written is with the system.",
	Methods: []Func{
		{Name: "read", Args: "([size])", Returns: "string", Since: fsSince, Doc: "Reads at most size bytes, all that is left without one. The result can be shorter; at the end of the file it is empty.", Example: `local f = kumo.fs.open '/proc/self/stat'
print(f:read(10))
f:close()`, Go: asyncRead},
		{Name: "write", Args: "(bytes)", Since: fsSince, Doc: "Writes all of the bytes.", Example: `local f = kumo.fs.open('/dev/null', 'w')
f:write 'hello'
f:close()`, Go: asyncWrite},
		{Name: "seek", Args: "([whence [, position]])", Returns: "number", Since: fsSince, Doc: "Moves to a position counted from cur (the default), set or end, and gives the new one.", Example: `local f = kumo.fs.open '/proc/self/stat'
assert(f:seek 'set' == 0)
f:close()`, Go: asyncSeek},
		{Name: "flush", Args: "()", Since: fsSince, Doc: "Does nothing: there is no buffer.", Example: `local f = kumo.fs.open('/dev/null', 'w')
f:flush()
f:close()`, Go: func(l *lua.LState) int {
			asyncFileArg(l)
			return 0
		}},
		{Name: "close", Args: "()", Since: fsSince, Doc: "Closes the file. Closing it again does nothing.", Example: `kumo.fs.open('/dev/null'):close()`, Go: func(l *lua.LState) int {
			if err := Check[*os.File](l, 1, "an async_file").Close(); err != nil && !errors.Is(err, os.ErrClosed) {
				Fail(l, err)
			}
			return 0
		}},
	},
}

var fsModule = Module{
	Name: "kumo.fs",
	Doc:  "Files.",
	Funcs: []Func{
		{Name: "open", Args: "(filename [, mode])", Returns: "async_file", Since: fsSince, Doc: "Opens a file. mode is r (the default), w, a, r+, w+ or a+, also with b. A file that cannot be opened is an error.", Example: `local f = kumo.fs.open '/proc/self/stat'
f:close()`, Go: fsOpen},
		{Name: "glob", Args: "(pattern [, relative_to [, ttl_seconds]])", Returns: "list of strings", Since: fsSince, Doc: "The names of the files that match, with * ? [a-z] {a,b} and ** for directories, as absolute paths without the prefix relative_to. Directories that are not there or not readable have no files. The answer is kept for ttl_seconds (60).", Example: `print(#kumo.fs.glob '/etc/*.conf')`, Go: fsGlob},
		{Name: "uncached_glob", Args: "(pattern [, relative_to])", Returns: "list of strings", Since: fsSince, Doc: "As glob, but always looks.", Example: `print(#kumo.fs.uncached_glob '/etc/*.conf')`, Go: fsUncachedGlob},
		{Name: "read_dir", Args: "(path)", Returns: "list of strings", Since: fsSince, Doc: "The absolute names of what is in a directory.", Example: `print(#kumo.fs.read_dir '/etc')`, Go: fsReadDir},
		{Name: "metadata_for_path", Args: "(path)", Returns: "table", Since: "2026.04.09-ea3b2a9b", Doc: "What the system knows of a file: is_file, is_dir, is_symlink, readonly, dev, ino, mode, nlink, uid, gid, rdev, size, blksize and blocks. Symbolic links are followed.", Example: `assert(kumo.fs.metadata_for_path('/etc').is_dir)`, Go: fsStat("metadata_for_path", unix.Stat)},
		{Name: "symlink_metadata_for_path", Args: "(path)", Returns: "table", Since: "2026.04.09-ea3b2a9b", Doc: "As metadata_for_path, but of a symbolic link itself.", Example: `print(kumo.fs.symlink_metadata_for_path('/proc/self').is_symlink)`, Go: fsStat("symlink_metadata_for_path", unix.Lstat)},
	},
}

// FSAliases are the names that these functions had before KumoMTA 2025.10.06.
func FSAliases() []Func {
	return []Func{
		{Name: "glob", Args: "(pattern [, relative_to [, ttl_seconds]])", Returns: "list of strings", Since: "2024.06.10-84e84b89", Doc: "The former name of kumo.fs.glob.", Example: `print(#kumo.glob '/etc/*.conf')`, Go: fsGlob},
		{Name: "uncached_glob", Args: "(pattern [, relative_to])", Returns: "list of strings", Since: "2024.06.10-84e84b89", Doc: "The former name of kumo.fs.uncached_glob.", Example: `print(#kumo.uncached_glob '/etc/*.conf')`, Go: fsUncachedGlob},
		{Name: "read_dir", Args: "(path)", Returns: "list of strings", Since: "2024.06.10-84e84b89", Doc: "The former name of kumo.fs.read_dir.", Example: `print(#kumo.read_dir '/etc')`, Go: fsReadDir},
	}
}

var openModes = map[string]int{
	"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREATE | os.O_TRUNC, "a": os.O_WRONLY | os.O_CREATE | os.O_APPEND,
	"r+": os.O_RDWR | os.O_CREATE, "w+": os.O_RDWR | os.O_CREATE | os.O_TRUNC, "a+": os.O_RDWR | os.O_CREATE | os.O_APPEND,
}

func fsOpen(l *lua.LState) int {
	path, mode := l.CheckString(1), l.OptString(2, "r")
	flags, ok := openModes[strings.ReplaceAll(mode, "b", "")]
	if !ok {
		l.ArgError(2, fmt.Sprintf("%q: expected r, w, a, r+, w+ or a+", clip(mode, 20)))
	}
	// Without O_NONBLOCK a FIFO would hold the call up for as long as nobody opens its other end.
	f, err := os.OpenFile(path, flags|unix.O_NONBLOCK, 0o640)
	if err != nil {
		Fail(l, fmt.Errorf("kumo.fs.open: %w", err))
	}
	l.Push(From(l).NewUserData(&asyncFileType, f))
	return 1
}

func asyncFileArg(l *lua.LState) *os.File { return Check[*os.File](l, 1, "an async_file") }

func asyncRead(l *lua.LState) int {
	f, n := asyncFileArg(l), l.OptInt(2, -1)
	if n > maxString {
		l.ArgError(2, fmt.Sprintf("at most %d bytes can be read at once", maxString))
	}
	var b []byte
	var err error
	if n < 0 {
		b, err = io.ReadAll(io.LimitReader(f, maxString+1))
		if err == nil && len(b) > maxString {
			err = fmt.Errorf("%s: more than %d bytes are left: read in parts", f.Name(), maxString)
		}
	} else {
		b = make([]byte, n)
		n, err = f.Read(b)
		b = b[:max(n, 0)]
	}
	if err != nil && !errors.Is(err, io.EOF) {
		Fail(l, err)
	}
	From(l).guard.spend(l, len(b))
	l.Push(lua.LString(b))
	return 1
}

func asyncWrite(l *lua.LState) int {
	s := l.CheckString(2)
	if _, err := asyncFileArg(l).WriteString(s); err != nil {
		Fail(l, err)
	}
	From(l).guard.spend(l, len(s))
	return 0
}

func asyncSeek(l *lua.LState) int {
	whence, ok := map[string]int{"cur": io.SeekCurrent, "set": io.SeekStart, "end": io.SeekEnd}[l.OptString(2, "cur")]
	if !ok {
		l.ArgError(2, "expected cur, set or end")
	}
	at, err := asyncFileArg(l).Seek(l.OptInt64(3, 0), whence)
	if err != nil {
		Fail(l, err)
	}
	l.Push(lua.LNumber(at))
	return 1
}

func fsReadDir(l *lua.LState) int {
	dir, err := filepath.Abs(l.CheckString(1))
	var list []os.DirEntry
	if err == nil {
		list, err = os.ReadDir(dir)
	}
	if err != nil {
		Fail(l, fmt.Errorf("kumo.fs.read_dir: %w", err))
	}
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = filepath.Join(dir, e.Name())
	}
	return pushNames(l, names)
}

// pushNames refuses names that are no text: Lua code would pass them on to where only text may be.
func pushNames(l *lua.LState, names []string) int {
	for _, n := range names {
		if !utf8.ValidString(n) {
			Fail(l, fmt.Errorf("the file name %q is not UTF-8", clip(n, 200)))
		}
	}
	return pushTexts(l, names)
}

func fsUncachedGlob(l *lua.LState) int {
	names, err := globbed(l, l.CheckString(1), l.OptString(2, "."))
	if err != nil {
		Fail(l, fmt.Errorf("kumo.fs.uncached_glob: %w", err))
	}
	return pushNames(l, names)
}

// globbed gives absolute names, or names below relativeTo where they are.
func globbed(l *lua.LState, pattern, relativeTo string) ([]string, error) {
	s := From(l)
	names, err := glob.Find(pattern, s.guard.expired)
	if err != nil {
		return nil, err
	}
	base, err := filepath.Abs(relativeTo)
	if err != nil {
		return nil, err
	}
	for i, n := range names {
		if n, err = filepath.Abs(n); err != nil {
			return nil, err
		}
		names[i] = strings.TrimPrefix(n, strings.TrimSuffix(base, "/")+"/")
	}
	return names, nil
}

func fsGlob(l *lua.LState) int {
	pattern, base, ttl := l.CheckString(1), l.OptString(2, "."), float64(l.OptNumber(3, 60))
	if !(ttl >= 0) {
		l.ArgError(3, "a number of seconds expected, zero or more")
	}
	names, err := From(l).host.globs.GetOrLoad(From(l).Context(), pattern+"\x00"+base, func(context.Context) ([]string, time.Duration, error) {
		names, err := globbed(l, pattern, base)
		if keep := time.Duration(min(ttl, 1e9) * float64(time.Second)); keep > 0 {
			return names, keep, err
		}
		return names, -1, err
	})
	if err != nil {
		Fail(l, fmt.Errorf("kumo.fs.glob: %w", err))
	}
	return pushNames(l, names)
}

func fsStat(name string, stat func(string, *unix.Stat_t) error) lua.LGFunction {
	return func(l *lua.LState) int {
		path := l.CheckString(1)
		var st unix.Stat_t
		if err := stat(path, &st); err != nil {
			Fail(l, fmt.Errorf("kumo.fs.%s: %w", name, &os.PathError{Op: "stat", Path: path, Err: err}))
		}
		kind := st.Mode & unix.S_IFMT
		t := l.CreateTable(0, 14)
		for k, v := range map[string]lua.LValue{
			"is_file": lua.LBool(kind == unix.S_IFREG), "is_dir": lua.LBool(kind == unix.S_IFDIR), "is_symlink": lua.LBool(kind == unix.S_IFLNK),
			"readonly": lua.LBool(st.Mode&0o222 == 0), "dev": lua.LNumber(st.Dev), "ino": lua.LNumber(st.Ino), "mode": lua.LNumber(st.Mode),
			"nlink": lua.LNumber(st.Nlink), "uid": lua.LNumber(st.Uid), "gid": lua.LNumber(st.Gid), "rdev": lua.LNumber(st.Rdev),
			"size": lua.LNumber(st.Size), "blksize": lua.LNumber(st.Blksize), "blocks": lua.LNumber(st.Blocks),
		} {
			t.RawSetString(k, v)
		}
		l.Push(t)
		return 1
	}
}
