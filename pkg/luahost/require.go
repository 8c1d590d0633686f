package luahost

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// openPackage offers require and package.{path,loaded,preload}.
func (s *State) openPackage() {
	l := s.L
	s.loaded, s.preload, s.pkg = l.NewTable(), l.NewTable(), l.NewTable()
	for _, name := range []string{"string", "table", "math", "coroutine", "utf8", "os", "io", "debug"} {
		s.loaded.RawSetString(name, l.G.Global.RawGetString(name))
	}
	s.loaded.RawSetString("_G", l.G.Global)
	s.loaded.RawSetString("package", s.pkg)
	path := s.host.opt.SearchPath
	if dir := s.host.opt.dir(); dir != "" {
		path = append([]string{filepath.Join(dir, "?.lua"), filepath.Join(dir, "?", "init.lua")}, path...)
	}
	s.pkg.RawSetString("path", lua.LString(strings.Join(path, ";")))
	s.pkg.RawSetString("cpath", lua.LString(""))
	s.pkg.RawSetString("config", lua.LString("/\n;\n?\n!\n-\n"))
	s.pkg.RawSetString("loaded", s.loaded)
	s.pkg.RawSetString("preload", s.preload)
	l.G.Global.RawSetString("package", s.pkg)
	l.G.Global.RawSetString("require", l.NewFunction(baseRequire))
}

// loading marks a module whose file is running.
type loading struct{}

func baseRequire(l *lua.LState) int {
	s, name := From(l), l.CheckString(1)
	if v := s.loaded.RawGetString(name); v != lua.LNil {
		if ud, ok := v.(*lua.LUserData); ok {
			if _, busy := ud.Value.(loading); busy {
				l.RaiseError("module '%s' requires itself", name)
			}
		}
		l.Push(v)
		return 1
	}
	loader, from := s.findModule(l, name)
	s.loaded.RawSetString(name, &lua.LUserData{Value: loading{}, Env: l.Env, Metatable: lua.LNil})
	done := false
	defer func() {
		if !done { // an error: the next require tries again
			s.loaded.RawSetString(name, lua.LNil)
		}
	}()
	l.Push(loader)
	l.Push(lua.LString(name))
	l.Push(lua.LString(from))
	l.Call(2, 1)
	v := l.Get(-1)
	if v == lua.LNil {
		v = lua.LTrue
		if set := s.loaded.RawGetString(name); set.Type() != lua.LTUserData {
			v = set
		}
	}
	s.loaded.RawSetString(name, v)
	done = true
	l.Push(v)
	return 1
}

// findModule looks in package.preload, along package.path and in the library of the binary, in this order: a
// helper of the operator wins over ours.
func (s *State) findModule(l *lua.LState, name string) (lua.LValue, string) {
	if fn := s.preload.RawGetString(name); fn != lua.LNil {
		return fn, ":preload:"
	}
	if strings.ContainsAny(name, "\x00/") || strings.Contains(name, "..") {
		l.RaiseError("module name %q: not a dotted name", clip(name, 80))
	}
	file := strings.ReplaceAll(name, ".", "/")
	tried := []string{"no field package.preload['" + name + "']"}
	path, ok := s.pkg.RawGetString("path").(lua.LString)
	if !ok {
		l.RaiseError("package.path must be a string")
	}
	for _, template := range strings.Split(string(path), ";") {
		if template == "" {
			continue
		}
		at := strings.ReplaceAll(template, "?", file)
		if _, compiled := s.edition.chunks.Load(at); compiled { // also when the file has gone: States must not differ
			return s.fileChunk(l, at), at
		}
		if _, err := os.Stat(at); err != nil {
			tried = append(tried, "no file '"+at+"'")
			continue
		}
		return s.fileChunk(l, at), at
	}
	if fn := s.libraryChunk(l, file); fn != nil {
		return fn, ":kumo:"
	}
	l.RaiseError("module '%s' not found:\n\t%s", name, strings.Join(tried, "\n\t"))
	return nil, ""
}

// fileChunk compiles a file once for all States.
func (s *State) fileChunk(l *lua.LState, path string) *lua.LFunction {
	proto, err := s.edition.chunk(path, func() ([]byte, error) { return readText(path) })
	if err != nil {
		l.RaiseError("%s", err.Error())
	}
	return l.NewFunctionFromProto(proto)
}

// libraryChunk is a module that ships in the binary, nil if there is none of that name.
func (s *State) libraryChunk(l *lua.LState, file string) *lua.LFunction {
	lib := s.host.opt.Library
	if lib == nil {
		return nil
	}
	at := file + ".lua"
	proto, err := s.edition.chunk("kumo:"+at, func() ([]byte, error) { return fs.ReadFile(lib, at) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		l.RaiseError("%s", err.Error())
	}
	return l.NewFunctionFromProto(proto)
}

func (e *edition) chunk(name string, read func() ([]byte, error)) (*lua.FunctionProto, error) {
	if p, ok := e.chunks.Load(name); ok {
		return p.(*lua.FunctionProto), nil
	}
	src, err := read()
	if err != nil {
		return nil, err
	}
	proto, err := Compile(name, src)
	if err != nil {
		return nil, err
	}
	e.chunks.Store(name, proto)
	return proto, nil
}

// baseLoad compiles a string, or the pieces that a function returns.
func baseLoad(l *lua.LState) int {
	src := ""
	switch v := l.CheckAny(1).(type) {
	case lua.LString:
		src = string(v)
	case *lua.LFunction:
		var b strings.Builder
		for {
			l.Push(v)
			l.Call(0, 1)
			piece, ok := l.Get(-1).(lua.LString)
			l.Pop(1)
			if !ok || piece == "" {
				break
			}
			if b.Len()+len(piece) > MaxSource {
				l.RaiseError("load: more than %d bytes", MaxSource)
			}
			b.WriteString(string(piece))
		}
		src = b.String()
	default:
		l.ArgError(1, "string or function expected")
	}
	if mode := l.OptString(3, "bt"); !strings.Contains(mode, "t") || strings.HasPrefix(src, "\x1bLua") {
		l.Push(lua.LNil)
		l.Push(lua.LString("attempt to load a binary chunk"))
		return 2
	}
	name := strings.TrimLeft(l.OptString(2, `[string "`+clip(firstLine(src), 40)+`"]`), "=@")
	return pushChunk(l, name, []byte(src), l.Get(4))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func pushChunk(l *lua.LState, name string, src []byte, env lua.LValue) int {
	From(l).guard.spend(l, len(src)*16) // compiling takes about an instruction's time for each byte
	proto, err := Compile(name, src)
	if err != nil {
		l.Push(lua.LNil)
		l.Push(lua.LString(err.Error()))
		return 2
	}
	fn := l.NewFunctionFromProto(proto)
	if t, ok := env.(*lua.LTable); ok {
		fn.Env = t
	}
	l.Push(fn)
	return 1
}

func baseLoadfile(l *lua.LState) int {
	path := l.CheckString(1)
	src, err := readText(path)
	if err != nil {
		l.Push(lua.LNil)
		l.Push(lua.LString(err.Error()))
		return 2
	}
	return pushChunk(l, path, src, l.Get(3))
}

func baseDofile(l *lua.LState) int {
	path := l.CheckString(1)
	src, err := readText(path)
	if err != nil {
		Fail(l, err)
	}
	top := l.GetTop()
	From(l).guard.spend(l, len(src)*16)
	proto, err := Compile(path, src)
	if err != nil {
		l.Error(lua.LString(err.Error()), 0)
	}
	l.Push(l.NewFunctionFromProto(proto))
	l.Call(0, lua.MultRet)
	return l.GetTop() - top
}
