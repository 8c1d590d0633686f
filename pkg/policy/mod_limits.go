package policy

import (
	"errors"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/luahost"
)

// MemoryLimit is one of the three figures that decide how much memory the node uses.
type MemoryLimit uint8

// The limits, in bytes.
const (
	MemoryHard MemoryLimit = iota // what the process may have
	MemorySoft                    // above it no mail is taken; 75 % of the hard limit
	MemoryLow                     // above it bodies leave memory early; 80 % of the soft limit
)

// Memory is how policy sees and sets the limits of memory.
type Memory interface {
	Limit(which MemoryLimit) int64
	SetLimit(which MemoryLimit, bytes int64)
}

// limitFuncs are the functions about memory, threads, and the spool's health.
func limitFuncs() []luahost.Func {
	const pre = "kumo.on('pre_init', function() kumo."
	return []luahost.Func{
		{Name: "set_memory_hard_limit", Args: "(bytes)", Since: "2025.03.19-1d3f1f67", Doc: "How much memory the process may have: by default what its control group, ulimit or the machine allows. The soft limit follows it unless it is set. For pre_init.", Example: pre + "set_memory_hard_limit(4 * 1024 * 1024 * 1024) end)", Go: setMemory(MemoryHard)},
		{Name: "set_memory_soft_limit", Args: "(bytes)", Since: "2025.03.19-1d3f1f67", Doc: "Above how much memory in use no mail is taken, caches are emptied and bodies leave the ready queues: by default 75 % of the hard limit. The low threshold follows it unless it is set. For pre_init.", Example: pre + "set_memory_soft_limit(3 * 1024 * 1024 * 1024) end)", Go: setMemory(MemorySoft)},
		{Name: "set_memory_low_thresh", Args: "(bytes)", Since: "2025.03.19-1d3f1f67", Doc: "Above how much memory in use bodies leave memory as soon as they are stored: by default 80 % of the soft limit. For pre_init.", Example: pre + "set_memory_low_thresh(2 * 1024 * 1024 * 1024) end)", Go: setMemory(MemoryLow)},
		{Name: "get_memory_hard_limit", Args: "()", Returns: "number or nil", Since: "2026.03.04-bb93ecb1", Doc: "The hard limit of memory in bytes; nil outside the daemon.", Example: `print(kumo.get_memory_hard_limit())`, Go: getMemory(MemoryHard)},
		{Name: "get_memory_soft_limit", Args: "()", Returns: "number or nil", Since: "2026.03.04-bb93ecb1", Doc: "The soft limit of memory in bytes; nil outside the daemon.", Example: `print(kumo.get_memory_soft_limit())`, Go: getMemory(MemorySoft)},
		{Name: "get_memory_low_thresh", Args: "()", Returns: "number or nil", Since: "2026.03.04-bb93ecb1", Doc: "The low threshold of memory in bytes; nil outside the daemon.", Example: `print(kumo.get_memory_low_thresh())`, Go: getMemory(MemoryLow)},
		{Name: "enable_memory_callstack_tracking", Args: "(enabled)", Doc: "Accepted, and changes nothing: Go's runtime samples allocations by itself.", Example: "kumo.enable_memory_callstack_tracking(false)", Go: trackCallstacks},
		{Name: "set_spoolin_threads", Args: "(number)", Since: "2024.09.02-c5476b89", Doc: "How many spool_message_enumerated handlers run at once at the start: by default as many as there are processors. For pre_init.", Example: `kumo.on('spool_message_enumerated', function(msg)
  if msg:get_meta 'tenant' == 'left-us' then msg:set_meta('tenant', 'others') end
end)
kumo.on('pre_init', function() kumo.set_spoolin_threads(4) end)`, Go: setSpoolinThreads},
		{Name: "suspend_delivery_when_spool_unhealthy", Args: "(enabled)", Doc: "Whether delivery waits while the spool's disk fails (true, the default). Without that a message can be delivered whose end cannot be written, and is then delivered again after a restart. For init.", Example: "kumo.on('init', function() kumo.suspend_delivery_when_spool_unhealthy(true) end)", Go: suspendWhenUnhealthy},
	}
}

// Bounds of the limits: less than a mail-sending process can live with, and more than memory can be.
const (
	leastMemory = 1 << 20
	mostMemory  = 1 << 53
)

func setMemory(which MemoryLimit) lua.LGFunction {
	return func(l *lua.LState) int {
		n := float64(l.CheckNumber(1))
		if !(n >= leastMemory && n <= mostMemory) {
			l.ArgError(1, "expected a number of bytes, at least 1048576")
		}
		if m := of(luahost.From(l)).opt.Memory; m != nil {
			m.SetLimit(which, int64(n))
		}
		return 0
	}
}

func getMemory(which MemoryLimit) lua.LGFunction {
	return func(l *lua.LState) int {
		if m := of(luahost.From(l)).opt.Memory; m != nil {
			l.Push(lua.LNumber(m.Limit(which)))
		} else {
			l.Push(lua.LNil)
		}
		return 1
	}
}

func trackCallstacks(l *lua.LState) int {
	l.CheckBool(1)
	return 0
}

func setSpoolinThreads(l *lua.LState) int {
	n := l.CheckInt(1)
	if n < 1 || n > 4096 {
		l.ArgError(1, "expected a number from 1 to 4096")
	}
	startScope(l, "set_spoolin_threads").setup.SpoolinThreads = n
	return 0
}

func suspendWhenUnhealthy(l *lua.LState) int {
	on := l.CheckBool(1)
	startScope(l, "suspend_delivery_when_spool_unhealthy").setup.DeliverUnhealthy = !on
	return 0
}

// startScope is the scope of a function that pre_init and init may call.
func startScope(l *lua.LState, name string) *initScope {
	scope, ok := luahost.From(l).Scope.(*initScope)
	if !ok || scope.validating {
		luahost.Fail(l, errors.New("kumo."+name+" may only be called in the events pre_init and init"))
	}
	return scope
}
