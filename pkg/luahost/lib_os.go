package luahost

import (
	"bytes"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// maxFile is the largest file that a policy may read, in bytes.
const maxFile = 16 << 20

// openOS keeps what looks at the clock and the environment.
func (s *State) openOS() {
	l := s.L
	l.Push(l.NewFunction(lua.OpenOs))
	l.Call(0, 0)
	whole := s.library("os")
	kept := l.NewTable()
	for _, name := range []string{"clock", "date", "difftime", "getenv", "time"} {
		kept.RawSetString(name, whole.RawGetString(name))
	}
	for name, why := range map[string]string{
		"execute": "a policy cannot start programs", "exit": "stop kumo with a signal",
		"remove": "a policy only reads files", "rename": "a policy only reads files",
		"tmpname": "a policy only reads files", "setenv": "the environment is shared", "setlocale": "the locale is shared",
	} {
		kept.RawSetString(name, l.NewFunction(refuse("os."+name, why)))
	}
	l.G.Global.RawSetString("os", kept)
}

// ioLib reads files. A file is read whole when it is opened, so no handle stays open.
var ioLib = lib{
	"open": func(l *lua.LState) int {
		path, mode := l.CheckString(1), l.OptString(2, "r")
		if mode != "r" && mode != "rb" {
			l.RaiseError("io.open(%q, %q): a policy only reads files", path, mode)
		}
		b, err := readRegular(path, maxFile)
		if err != nil {
			l.Push(lua.LNil)
			l.Push(lua.LString(strings.TrimPrefix(err.Error(), "open ")))
			return 2
		}
		From(l).guard.spend(l, len(b))
		l.Push(From(l).NewUserData(&fileType, &file{data: b}))
		return 1
	},
	"lines": func(l *lua.LState) int {
		path := l.CheckString(1)
		b, err := readRegular(path, maxFile)
		if err != nil {
			Fail(l, err)
		}
		From(l).guard.spend(l, len(b))
		return pushLines(l, &file{data: b})
	},
	"type": func(l *lua.LState) int {
		ud, _ := l.CheckAny(1).(*lua.LUserData)
		f := (*file)(nil)
		if ud != nil {
			f, _ = ud.Value.(*file)
		}
		switch {
		case f == nil:
			l.Push(lua.LNil)
		case f.closed:
			l.Push(lua.LString("closed file"))
		default:
			l.Push(lua.LString("file"))
		}
		return 1
	},
	"popen":  refuse("io.popen", "a policy cannot start programs"),
	"output": refuse("io.output", "a policy only reads files"),
	"write":  refuse("io.write", "use print or kumo.log_info"),
}

// file is an open file: its bytes and how far they were read.
type file struct {
	data   []byte
	pos    int
	closed bool
}

var fileType = Type{
	Name: "file",
	Doc:  "A file opened for reading with io.open.",
	Methods: []Func{
		{Name: "read", Go: func(l *lua.LState) int {
			f := openFile(l)
			if l.GetTop() == 1 {
				return f.read(l, lua.LString("l"))
			}
			n := l.GetTop()
			for i := 2; i <= n; i++ {
				f.read(l, l.Get(i))
				if l.Get(-1) == lua.LNil {
					return i - 1
				}
			}
			return n - 1
		}},
		{Name: "lines", Go: func(l *lua.LState) int { return pushLines(l, openFile(l)) }},
		{Name: "seek", Go: fileSeek},
		{Name: "close", Go: func(l *lua.LState) int {
			f := openFile(l)
			f.closed, f.data = true, nil
			l.Push(lua.LTrue)
			return 1
		}},
		{Name: "write", Go: refuse("file:write", "a policy only reads files")},
	},
	String: func(l *lua.LState) int { l.Push(lua.LString("file")); return 1 },
}

func openFile(l *lua.LState) *file {
	f := Check[*file](l, 1, "a file")
	if f.closed {
		l.RaiseError("attempt to use a closed file")
	}
	return f
}

// read pushes one value for one format: "l", "L", "a", "n" (with or without "*") or a number of bytes.
func (f *file) read(l *lua.LState, format lua.LValue) int {
	rest := f.data[f.pos:]
	if n, ok := format.(lua.LNumber); ok {
		if len(rest) == 0 && n > 0 {
			l.Push(lua.LNil)
			return 1
		}
		return f.take(l, min(max(int(n), 0), len(rest)), 0)
	}
	switch strings.TrimPrefix(format.String(), "*") {
	case "a":
		return f.take(l, len(rest), 0)
	case "l", "L":
		if len(rest) == 0 {
			l.Push(lua.LNil)
			return 1
		}
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return f.take(l, len(rest), 0)
		}
		if strings.HasSuffix(format.String(), "L") {
			return f.take(l, end+1, 0)
		}
		return f.take(l, end, 1)
	case "n":
		word := bytes.TrimLeft(rest, " \t\r\n")
		end := bytes.IndexAny(word, " \t\r\n,;")
		if end < 0 {
			end = len(word)
		}
		f.pos += len(rest) - len(word) + end
		if v, err := strconv.ParseFloat(string(word[:end]), 64); err == nil {
			l.Push(lua.LNumber(v))
		} else {
			l.Push(lua.LNil)
		}
		return 1
	}
	l.RaiseError("invalid format %q", format.String())
	return 0
}

// take pushes the next n bytes and skips more after them.
func (f *file) take(l *lua.LState, n, skip int) int {
	l.Push(lua.LString(f.data[f.pos : f.pos+n]))
	f.pos += n + skip
	return 1
}

func pushLines(l *lua.LState, f *file) int {
	l.Push(l.NewFunction(func(l *lua.LState) int { return f.read(l, lua.LString("l")) }))
	return 1
}

func fileSeek(l *lua.LState) int {
	f := openFile(l)
	base := map[string]int{"set": 0, "cur": f.pos, "end": len(f.data)}
	from, ok := base[l.OptString(2, "cur")]
	if !ok {
		l.ArgError(2, "invalid option")
	}
	to := from + l.OptInt(3, 0)
	if to < 0 {
		l.RaiseError("invalid position")
	}
	f.pos = min(to, len(f.data))
	l.Push(lua.LNumber(f.pos))
	return 1
}
