package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/luahost"
	"kumo/pkg/smtp"
)

var kumoModule = luahost.Module{
	Name: "kumo",
	Doc:  "The core: event handlers, what is set up at start, and the objects that handlers return.",
	Funcs: append([]luahost.Func{
		{Name: "on", Args: "(event, function)", Doc: "Registers a handler for an event. Only while the policy file loads. Events that take one handler refuse a second.", Example: `kumo.on('init', function() end)`, Go: kumoOn},
		{Name: "reject", Args: "(code, message)", Doc: "Ends the handler: the peer gets this reply. code is 4xx or 5xx; an enhanced status code may begin the message.", Example: `kumo.on('smtp_server_message_received', function(msg)
  kumo.reject(550, '5.7.1 not today')
end)`, Go: kumoReject},
		{Name: "disconnect", Args: "(code, message [, how])", Since: "2025.10.06-5ec871ab", Doc: "As reject, and closes the connection after the reply. how is ForceDisconnect (the default), FollowWith421 or If421, which closes it only for code 421.", Example: `kumo.on('smtp_server_message_received', function(msg)
  kumo.disconnect(421, '4.3.2 go away')
end)`, Go: kumoDisconnect},
		{Name: "validation_failed", Args: "()", Doc: "Marks the configuration as wrong: --validate exits with 1. Only in a validate_config handler.", Example: `kumo.on('validate_config', function()
  if not os.getenv 'PATH' then kumo.validation_failed() end
end)`, Go: kumoValidationFailed},

		{Name: "define_spool", Args: "{ name=, path=, … }", Doc: "Says where mail is kept. Both spools, data and meta, must be defined; everything lives under the path of data. Only in init.", Example: `kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/kumomta/data' }
  kumo.define_spool { name = 'meta', path = '/var/spool/kumomta/meta' }
end)`, Go: initDefineSpool},
		{Name: "configure_local_logs", Args: "{ log_dir=, … }", Doc: "Writes log records below a directory. May be called for several directories. Only in init.", Example: `kumo.on('init', function()
  kumo.configure_local_logs { log_dir = '/var/log/kumomta', headers = { 'Subject' } }
end)`, Go: initConfigureLocalLogs},
		{Name: "start_esmtp_listener", Args: "{ listen=, … }", Doc: "Takes mail by SMTP on an address. Only in init.", Example: `kumo.on('init', function()
  kumo.start_esmtp_listener { listen = '127.0.0.1:2525', relay_hosts = { '127.0.0.1' } }
end)`, Go: initStartESMTPListener},
		{Name: "start_http_listener", Args: "{ listen=, … }", Doc: "Serves HTTP on an address. Only in init.", Example: `kumo.on('init', function()
  kumo.start_http_listener { listen = '127.0.0.1:8000', trusted_hosts = { '127.0.0.1' } }
end)`, Go: initStartHTTPListener},

		{Name: "make_queue_config", Args: "{ … }", Returns: "config", Doc: "How a scheduled queue treats its messages: the result of get_queue_config.", Example: `kumo.on('get_queue_config', function(domain, tenant)
  return kumo.make_queue_config { egress_pool = tenant, retry_interval = '10m', max_age = '2 days' }
end)`, Go: maker("make_queue_config", queueSchema)},
		{Name: "make_egress_pool", Args: "{ name=, entries= }", Returns: "config", Doc: "A set of sources with weights: the result of get_egress_pool.", Example: `kumo.on('get_egress_pool', function(name)
  return kumo.make_egress_pool { name = name, entries = { { name = 'ip-1', weight = 2 }, { name = 'ip-2' } } }
end)`, Go: maker("make_egress_pool", poolSchema)},
		{Name: "make_egress_source", Args: "{ name=, … }", Returns: "config", Doc: "A place that connections come from: the result of get_egress_source.", Example: `kumo.on('get_egress_source', function(name)
  return kumo.make_egress_source { name = name, source_address = '127.0.0.1', ehlo_domain = 'mta1.example.com' }
end)`, Go: maker("make_egress_source", sourceSchema)},
		{Name: "make_egress_path", Args: "{ … }", Returns: "config", Doc: "How to talk to a site from a source: the result of get_egress_path_config.", Example: `kumo.on('get_egress_path_config', function(domain, source, site)
  return kumo.make_egress_path { connection_limit = 10, enable_tls = 'Opportunistic' }
end)`, Go: maker("make_egress_path", pathSchema)},
		{Name: "make_listener_domain", Args: "{ … }", Returns: "config", Doc: "What a listener does for a domain: the result of get_listener_domain.", Example: `kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  return kumo.make_listener_domain { relay_to = domain == 'example.com' }
end)`, Go: maker("make_listener_domain", domainSchema)},

		{Name: "log_error", Args: "(…)", Since: "2025.03.19-1d3f1f67", Doc: "Writes a diagnostic line of level error, with the caller's file and line.", Example: `kumo.log_error('this is bad:', 42)`, Go: logger(slog.LevelError)},
		{Name: "log_warn", Args: "(…)", Since: "2025.03.19-1d3f1f67", Doc: "As log_error, of level warn.", Example: `kumo.log_warn 'careful'`, Go: logger(slog.LevelWarn)},
		{Name: "log_info", Args: "(…)", Since: "2025.03.19-1d3f1f67", Doc: "As log_error, of level info.", Example: `kumo.log_info('loaded', 3, 'tenants')`, Go: logger(slog.LevelInfo)},
		{Name: "log_debug", Args: "(…)", Since: "2025.03.19-1d3f1f67", Doc: "As log_error, of level debug.", Example: `kumo.log_debug('value:', nil)`, Go: logger(slog.LevelDebug)},

		{Name: "set_max_lua_context_age", Args: "(seconds)", Doc: "After how long a Lua context is dropped and the policy loaded anew into another. 300 by default.", Example: `kumo.on('pre_init', function() kumo.set_max_lua_context_age(60) end)`, Go: setContextAge},
		{Name: "set_max_lua_context_use_count", Args: "(limit)", Doc: "After how many events a Lua context is dropped. 1024 by default.", Example: `kumo.on('pre_init', function() kumo.set_max_lua_context_use_count(10000) end)`, Go: setContextUses},
		{Name: "set_max_spare_lua_contexts", Args: "(limit)", Doc: "How many idle Lua contexts are kept. 8192 by default.", Example: `kumo.on('pre_init', function() kumo.set_max_spare_lua_contexts(16) end)`, Go: setSpareContexts},
	}, slices.Concat([]luahost.Func{makeThrottle, spawnTask}, invokeFuncs(), limitFuncs(), luahost.CoreFuncs(), luahost.SerdeAliases(), luahost.FSAliases())...),
	Values: []luahost.Value{
		{Name: "version", Doc: "The version of kumo, date first, so that versions compare as text.", Get: func(s *luahost.State) any { return of(s).opt.Version }},
		{Name: "state_dir", Doc: "Where the built-in policies keep mail and logs: $XDG_STATE_HOME/kumo or ~/.local/state/kumo. nil when the daemon did not say.", Get: func(s *luahost.State) any {
			if dir := of(s).opt.StateDir; dir != "" {
				return dir
			}
			return nil
		}},
	},
}

func kumoOn(l *lua.LState) int {
	if err := luahost.From(l).On(l.CheckString(1), l.CheckFunction(2), luahost.Where(l)); err != nil {
		luahost.Fail(l, err)
	}
	return 0
}

func kumoReject(l *lua.LState) int {
	luahost.Raise(l, &smtp.Error{Reply: replyArg(l)})
	return 0
}

func kumoDisconnect(l *lua.LState) int {
	e := &smtp.Error{Reply: replyArg(l), Disconnect: true}
	switch how := l.OptString(3, "ForceDisconnect"); how {
	case "ForceDisconnect", "FollowWith421":
	case "If421":
		e.Disconnect = e.Reply.Code == 421
	default:
		l.ArgError(3, fmt.Sprintf("%q: expected ForceDisconnect, FollowWith421 or If421", clip(how)))
	}
	luahost.Raise(l, e)
	return 0
}

// replyArg reads code and message. Control characters become blanks, so that no text can forge a reply line.
func replyArg(l *lua.LState) smtp.Reply {
	code, msg := l.CheckInt(1), l.CheckString(2)
	if code < 400 || code > 599 {
		l.ArgError(1, fmt.Sprintf("%d: a rejection needs a code from 400 to 599", code))
	}
	msg = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ReplaceAll(strings.ToValidUTF8(msg, "?"), "\r\n", "\n"))
	msg = strings.TrimRight(msg, " \n")
	first, rest, _ := strings.Cut(msg, " ")
	if e, ok := smtp.ParseEnhanced(first); ok && e.Class == code/100 {
		return smtp.Reply{Code: code, Enhanced: e, Text: rest}
	}
	return smtp.Reply{Code: code, Text: msg}
}

func kumoValidationFailed(l *lua.LState) int {
	scope, ok := luahost.From(l).Scope.(*initScope)
	if !ok || !scope.validating {
		luahost.Fail(l, errors.New("kumo.validation_failed may only be called in a validate_config handler"))
	}
	scope.failed = true
	return 0
}

// logger writes diagnostics under the target lua.
func logger(level slog.Level) lua.LGFunction {
	return func(l *lua.LState) int {
		log := of(luahost.From(l)).opt.Log
		if !log.Enabled(context.Background(), level) {
			return 0
		}
		var b strings.Builder
		b.WriteString(luahost.Where(l) + ":")
		for i := 1; i <= l.GetTop(); i++ {
			b.WriteByte(' ')
			b.WriteString(l.ToStringMeta(l.Get(i)).String())
		}
		log.Log(context.Background(), level, b.String(), "target", "lua")
		return 0
	}
}

func setContextAge(l *lua.LState) int {
	seconds := float64(l.CheckNumber(1))
	if !(seconds > 0 && seconds < 1e9) {
		l.ArgError(1, "expected a number of seconds above zero")
	}
	luahost.From(l).Host().SetMaxAge(time.Duration(seconds * float64(time.Second)))
	return 0
}

func setContextUses(l *lua.LState) int {
	n := l.CheckInt(1)
	if n < 1 {
		l.ArgError(1, "expected a number above zero")
	}
	luahost.From(l).Host().SetMaxUses(n)
	return 0
}

func setSpareContexts(l *lua.LState) int {
	n := l.CheckInt(1)
	if n < 0 {
		l.ArgError(1, "expected zero or more")
	}
	luahost.From(l).Host().SetMaxSpare(n)
	return 0
}
