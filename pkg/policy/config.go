package policy

import (
	"fmt"
	"path/filepath"
	"sort"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/egress"
	"kumo/pkg/listener"
	"kumo/pkg/luahost"
	"kumo/pkg/option"
	"kumo/pkg/queue"
)

// The schemas of the objects that a policy makes while mail flows.
var (
	queueSchema  = option.SchemaOf[queue.Config]()
	poolSchema   = option.SchemaOf[egress.Pool]()
	sourceSchema = option.SchemaOf[egress.Source]()
	pathSchema   = option.SchemaOf[egress.Path]()
	domainSchema = option.SchemaOf[listener.Domain]()
)

// config is a made object as Lua holds it: what it is, and the table that its maker would have to write for all of it.
type config interface {
	made() string
	luahost.Plainer
}

// object is the result of a make_ function.
type object[T any] struct {
	what     string
	schema   *option.Schema[T]
	layer    option.Layer
	resolved option.Resolved[T]
	exported map[string]any // by Plain, at the first look inside
}

func (o *object[T]) made() string { return o.what }

// Plain is the object as a table, with the defaults. It is made when somebody looks, and kept: most objects are only
// handed over.
func (o *object[T]) Plain() any {
	if o.exported == nil {
		o.exported = o.schema.Export(o.resolved.Value)
	}
	return o.exported
}

var configType = luahost.Type{
	Name: "config",
	Doc:  "What make_queue_config, make_egress_path and the like return: options can be read by name and listed with pairs.",
	Index: func(l *lua.LState) int {
		c := luahost.Check[config](l, 1, "a config object")
		l.Push(luahost.ToLua(l, c.Plain().(map[string]any)[l.CheckString(2)]))
		return 1
	},
	Pairs: func(l *lua.LState) int {
		all := luahost.Check[config](l, 1, "a config object").Plain().(map[string]any)
		keys := make([]string, 0, len(all))
		for k := range all {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		next := 0
		l.Push(l.NewFunction(func(l *lua.LState) int {
			if next >= len(keys) {
				l.Push(lua.LNil)
				return 1
			}
			l.Push(lua.LString(keys[next]))
			l.Push(luahost.ToLua(l, all[keys[next]]))
			next++
			return 2
		}))
		return 1
	},
	String: func(l *lua.LState) int {
		l.Push(lua.LString(luahost.Check[config](l, 1, "a config object").made()))
		return 1
	},
}

// maker is the Go side of a make_ function.
func maker[T any](what string, schema *option.Schema[T]) lua.LGFunction {
	return func(l *lua.LState) int {
		layer, call := layerArg(l, what)
		s := luahost.From(l)
		r := resolve(l, schema, what, call, layer)
		l.Push(s.NewUserData(&configType, &object[T]{what: what, schema: schema, layer: layer, resolved: r}))
		return 1
	}
}

// resolve decodes a layer, or raises what is wrong with it.
func resolve[T any](l *lua.LState, schema *option.Schema[T], what string, call option.Origin, layer option.Layer) option.Resolved[T] {
	r, err := schema.ResolveAt(call, what, layer)
	if err != nil {
		luahost.Fail(l, err)
	}
	of(luahost.From(l)).warn(r.Warnings)
	return r
}

// warn says what works but should be changed.
func (p *Policy) warn(warnings []option.Warning) {
	for _, w := range warnings {
		p.opt.Log.Warn(w.String())
	}
}

// layerArg reads the one table that an option function takes, with the place of the call as origin.
func layerArg(l *lua.LState, what string) (option.Layer, option.Origin) {
	call := option.Origin{Kind: option.KindLua, At: luahost.Where(l)}
	layer, err := layerOf(l.Get(1), what, call)
	if err != nil {
		luahost.Fail(l, err)
	}
	return layer, call
}

// layerOf turns a table, or a made object, into a layer.
func layerOf(v lua.LValue, what string, at option.Origin) (option.Layer, error) {
	refuse := func(msg string) error { return &option.Error{What: what, Origin: at, Msg: msg} }
	t, isTable := v.(*lua.LTable)
	if isTable && t.Len() > 0 {
		return nil, refuse("invalid type: sequence, expected a table of options by name")
	}
	plain, err := luahost.ToGo(v)
	if err != nil {
		return nil, refuse("invalid value: " + err.Error())
	}
	values, ok := plain.(map[string]any)
	if !ok {
		return nil, refuse("invalid type: " + option.Describe(plain) + ", expected a table of options")
	}
	return option.NewLayer(values, at), nil
}

// absolute makes the path in a layer absolute: policies may give paths below the working directory.
func absolute(layer option.Layer, name string) {
	set, ok := layer[name]
	path, isText := set.Value.(string)
	if !ok || !isText || path == "" || filepath.IsAbs(path) {
		return
	}
	if abs, err := filepath.Abs(path); err == nil {
		set.Value = abs
		layer[name] = set
	}
}

// result reads what a handler returned: a made object of the right kind, a plain table, or nothing.
func result[T any](s *luahost.State, id luahost.EventID, what string, schema *option.Schema[T], v lua.LValue) (r option.Resolved[T], some bool, err error) {
	at := option.Origin{Kind: option.KindLua, At: s.HandlerAt(id)}
	switch x := v.(type) {
	case *lua.LNilType:
		return r, false, nil
	case *lua.LUserData:
		if o, ok := x.Value.(*object[T]); ok {
			return o.resolved, true, nil
		}
		if c, ok := x.Value.(config); ok {
			return r, false, fmt.Errorf("%s: the handler of %s returned the result of kumo.%s, expected that of kumo.%s", at.At, s.EventName(id), c.made(), what)
		}
	case *lua.LTable:
		layer, err := layerOf(x, what, at)
		if err != nil {
			return r, false, err
		}
		r, err = schema.ResolveAt(at, what, layer)
		return r, err == nil, err
	}
	return r, false, fmt.Errorf("%s: the handler of %s returned a %s, expected the result of kumo.%s", at.At, s.EventName(id), v.Type(), what)
}

// ask fires an event whose answer is a made object. some is false when the policy has no opinion.
func ask[T any](s *luahost.State, id luahost.EventID, what string, schema *option.Schema[T], args ...lua.LValue) (r option.Resolved[T], some bool, err error) {
	v, _, err := s.Fire(id, args...)
	if err != nil {
		return r, false, answer(err)
	}
	return result(s, id, what, schema, v)
}
