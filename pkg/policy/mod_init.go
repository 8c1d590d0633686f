package policy

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/journal"
	"kumo/pkg/listener"
	"kumo/pkg/luahost"
	"kumo/pkg/option"
	"kumo/pkg/spool"
)

// The schemas of what is declared at start.
var (
	spoolSchema    = option.SchemaOf[spool.Options]()
	logSchema      = option.SchemaOf[journal.FileOptions]()
	listenerSchema = option.SchemaOf[listener.Options]()
)

// initScope is what the functions that only init may call write into.
type initScope struct {
	setup      *Setup
	http       func(option.Layer) error
	validating bool
	failed     bool
}

// inInit is the scope of a function that only init may call.
func inInit(l *lua.LState, name string) *initScope {
	scope, ok := luahost.From(l).Scope.(*initScope)
	if !ok || scope.validating {
		luahost.Fail(l, fmt.Errorf("kumo.%s may only be called in the init event: put it inside kumo.on('init', function() … end)", name))
	}
	return scope
}

func initDefineSpool(l *lua.LState) int {
	scope := inInit(l, "define_spool")
	layer, call := layerArg(l, "define_spool")
	absolute(layer, "path")
	r := resolve(l, spoolSchema, "define_spool", call, layer)
	for _, have := range scope.setup.Spools {
		if have.Value.Name == r.Value.Name {
			luahost.Fail(l, fmt.Errorf("define_spool: the spool %q is defined already", r.Value.Name))
		}
	}
	scope.setup.Spools = append(scope.setup.Spools, r)
	return 0
}

func initConfigureLocalLogs(l *lua.LState) int {
	scope := inInit(l, "configure_local_logs")
	layer, call := layerArg(l, "configure_local_logs")
	absolute(layer, "log_dir")
	scope.setup.Logs = append(scope.setup.Logs, resolve(l, logSchema, "configure_local_logs", call, layer))
	return 0
}

func initStartESMTPListener(l *lua.LState) int {
	scope := inInit(l, "start_esmtp_listener")
	layer, call := layerArg(l, "start_esmtp_listener")
	scope.setup.ESMTP = append(scope.setup.ESMTP, resolve(l, listenerSchema, "start_esmtp_listener", call, layer))
	return 0
}

func initStartHTTPListener(l *lua.LState) int {
	scope := inInit(l, "start_http_listener")
	layer, _ := layerArg(l, "start_http_listener")
	if scope.http == nil {
		luahost.Fail(l, fmt.Errorf("start_http_listener is not offered here"))
	}
	if err := scope.http(layer); err != nil {
		luahost.Fail(l, err)
	}
	scope.setup.HTTP = append(scope.setup.HTTP, layer)
	return 0
}
