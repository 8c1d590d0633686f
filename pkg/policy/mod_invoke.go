package policy

import (
	"fmt"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/luahost"
	"kumo/pkg/message"
	"kumo/pkg/option"
)

// invokeFuncs ask the policy's own handlers.
func invokeFuncs() []luahost.Func {
	return []luahost.Func{
		{Name: "invoke_get_queue_config", Args: "(queue_name)", Returns: "table", Since: "2025.01.23-7273d2bc", Doc: "What get_queue_config says of a scheduled queue, with the defaults.", Example: `print(kumo.invoke_get_queue_config('tenant@example.com').max_age)`, Go: func(l *lua.LState) int {
			n := message.ParseQueueName(l.CheckString(1))
			return invoke(l, evQueueConfig, "make_queue_config", queueSchema, lua.LString(n.Domain), orNil(n.Tenant), orNil(n.Campaign), orNil(n.RoutingDomain))
		}},
		{Name: "invoke_get_egress_path_config", Args: "(routing_domain, egress_source, site_name)", Returns: "table", Since: "2025.01.23-7273d2bc", Doc: "What get_egress_path_config says, with the defaults.", Example: `print(kumo.invoke_get_egress_path_config('example.com', 'ip-1', 'mx.example.com').connection_limit)`, Go: func(l *lua.LState) int {
			return invoke(l, evEgressPath, "make_egress_path", pathSchema, lua.LString(l.CheckString(1)), lua.LString(l.CheckString(2)), lua.LString(l.CheckString(3)))
		}},
		{Name: "invoke_get_egress_source", Args: "(source_name)", Returns: "table", Since: "2025.12.02-67ee9e96", Doc: "What get_egress_source says, with the defaults.", Example: `kumo.on('get_egress_source', function(name)
  return kumo.make_egress_source { name = name }
end)
kumo.on('init', function()
  print(kumo.invoke_get_egress_source('ip-1').ttl)
end)`, Go: func(l *lua.LState) int {
			return invoke(l, evEgressSource, "make_egress_source", sourceSchema, lua.LString(l.CheckString(1)))
		}},
		{Name: "invoke_get_egress_pool", Args: "(pool_name)", Returns: "table", Since: "2025.12.02-67ee9e96", Doc: "What get_egress_pool says, with the defaults.", Example: `kumo.on('get_egress_pool', function(name)
  return kumo.make_egress_pool { name = name, entries = { { name = 'ip-1' } } }
end)
kumo.on('init', function()
  print(kumo.invoke_get_egress_pool('pool-1').entries[1].name)
end)`, Go: func(l *lua.LState) int {
			return invoke(l, evEgressPool, "make_egress_pool", poolSchema, lua.LString(l.CheckString(1)))
		}},
		{Name: "get_event_registrars", Args: "(event)", Returns: "list of lists of tables", Doc: "Where the handlers of an event were registered: for each the running functions, of which the first says source, short_src and curr_line.", Example: `print(#kumo.get_event_registrars 'get_queue_config')`, Go: eventRegistrars},
	}
}

// invoke calls the handlers of an event in the running call and returns what they answer as a plain table.
func invoke[T any](l *lua.LState, id luahost.EventID, what string, schema *option.Schema[T], args ...lua.LValue) int {
	s := luahost.From(l)
	v, n := s.Invoke(l, id, args...)
	var plain any
	switch c, _ := v.(*lua.LUserData); {
	case n == 0 || v == lua.LNil:
		r, err := schema.Resolve(what)
		if err != nil {
			luahost.Fail(l, fmt.Errorf("%s: nothing was returned, and there is no default: %w", s.EventName(id), err))
		}
		plain = schema.Export(r.Value)
	case c != nil:
		if p, ok := c.Value.(config); ok && p.made() == what {
			plain = p.Plain()
			break
		}
		fallthrough
	default:
		luahost.Fail(l, fmt.Errorf("%s returned a %s, expected kumo.%s{…}", s.EventName(id), v.Type(), what))
	}
	l.Push(luahost.ToLua(l, plain))
	return 1
}

func eventRegistrars(l *lua.LState) int {
	out := l.NewTable()
	for _, at := range luahost.From(l).Registered(l.CheckString(1)) {
		file, line := at, 0
		if i := strings.LastIndexByte(at, ':'); i >= 0 {
			if n, err := strconv.Atoi(at[i+1:]); err == nil {
				file, line = at[:i], n
			}
		}
		frame := l.CreateTable(0, 4)
		frame.RawSetString("source", lua.LString("@"+file))
		frame.RawSetString("short_src", lua.LString(file))
		frame.RawSetString("curr_line", lua.LNumber(line))
		frame.RawSetString("what", lua.LString("Lua"))
		frames := l.NewTable()
		frames.Append(frame)
		out.Append(frames)
	}
	l.Push(out)
	return 1
}
