package luahost

import (
	"runtime"

	lua "github.com/yuin/gopher-lua"
)

// CoreFuncs are the functions of the module kumo that know no mail.
func CoreFuncs() []Func {
	return append([]Func{
		memoizeRow,
		{Name: "sleep", Args: "(seconds)", Since: "2024.06.10-84e84b89", Doc: "The former name of kumo.time.sleep.", Example: `kumo.sleep(0.001)`, Go: Sleep},
		{Name: "available_parallelism", Args: "()", Returns: "number", Since: "2024.06.10-84e84b89", Doc: "How many processors the process may use.", Example: `assert(kumo.available_parallelism() > 0)`, Go: func(l *lua.LState) int {
			l.Push(lua.LNumber(runtime.NumCPU()))
			return 1
		}},
		{Name: "traceback", Args: "([level])", Returns: "list of tables", Doc: "The functions that are running, the innermost first, from a level on: source, short_src, curr_line, what, name and is_tail_call.", Example: `print(kumo.traceback(1)[1].short_src)`, Go: coreTraceback},
	}, monitorFuncs...)
}

func coreTraceback(l *lua.LState) int {
	out := l.NewTable()
	for level := max(l.OptInt(1, 1), 0); out.Len() < maxTrace; level++ {
		d, ok := l.GetStack(level)
		if !ok {
			break
		}
		if _, err := l.GetInfo("nSl", d, lua.LNil); err != nil {
			break
		}
		t := l.CreateTable(0, 6)
		t.RawSetString("source", lua.LString("@"+d.Source))
		t.RawSetString("short_src", lua.LString(d.Source))
		t.RawSetString("curr_line", lua.LNumber(d.CurrentLine))
		t.RawSetString("what", lua.LString(d.What))
		t.RawSetString("name", lua.LString(d.Name))
		t.RawSetString("is_tail_call", lua.LFalse)
		out.Append(t)
	}
	l.Push(out)
	return 1
}
