package policy

import (
	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/luahost"
)

// keepingMethods are about where a message is kept. kumo stores messages before it acknowledges them, so that these
// matter where a listener has deferred_spool.
func keepingMethods() []luahost.Func {
	return []luahost.Func{
		{Name: "set_force_sync", Args: "(force)", Doc: "With true the message is on stable storage before it is acknowledged, even if its listener has deferred_spool. With false, the default, that option decides.", Example: `msg:set_force_sync(true)`, Go: msgSetForceSync},
		{Name: "save", Args: "()", Doc: "As set_force_sync(true) for a message that is on its way in. One that is in the spool stays there.", Example: `msg:save()`, Go: msgSave},
		{Name: "shrink", Args: "()", Since: "2025.03.19-1d3f1f67", Doc: "As save, and what can be read again leaves memory as soon as it is stored: the content. (The metadata leave it when the message has to wait.)", Example: `msg:shrink()`, Go: msgShrink},
		{Name: "shrink_data", Args: "()", Since: "2025.03.19-1d3f1f67", Doc: "As save, and the content leaves memory as soon as it is stored.", Example: `msg:shrink_data()`, Go: msgShrink},
	}
}

func msgSetForceSync(l *lua.LState) int {
	m := msgOf(l)
	m.ForceSync = l.CheckBool(2)
	return 0
}

func msgSave(l *lua.LState) int {
	msgOf(l).Save()
	return 0
}

func msgShrink(l *lua.LState) int {
	msgOf(l).Release()
	return 0
}
