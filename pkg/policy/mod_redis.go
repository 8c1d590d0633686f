package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/luahost"
	"kumo/pkg/option"
)

// RedisOptions are those of redis.open.
type RedisOptions struct {
	// URL of the server, redis://[user][:password@]host[:port][/db], or a list of the URLs of a cluster.
	Node RedisNodes `opt:"node,required"`
	// Connections that are kept.
	PoolSize int `opt:"pool_size,default=10,min=1,max=10000"`
	// Ask replicas of a cluster where nothing is written.
	ReadFromReplicas bool `opt:"read_from_replicas,default=false"`
	// User for all nodes of a cluster.
	Username string `opt:"username"`
	// Password for all nodes of a cluster.
	Password string `opt:"password,secret"`
	// How long to try to connect.
	ConnectTimeout option.Duration `opt:"connect_timeout,default=30s,since=2024.06.10-84e84b89"`
	// How long to wait for a connection of the pool.
	WaitTimeout option.Duration `opt:"wait_timeout,default=30s,since=2024.09.02-c5476b89"`
	// How long to wait for an answer; as long as the call lasts when it is not set.
	ResponseTimeout option.Duration `opt:"response_timeout,since=2024.09.02-c5476b89"`
	// Accepted for the sake of existing policies: connections are checked when they are used.
	RecycleTimeout option.Duration `opt:"recycle_timeout,since=2024.09.02-c5476b89"`
	// Treat the server as one of a cluster; so when there are several nodes.
	Cluster bool `opt:"cluster,default=false,since=2024.09.02-c5476b89"`
}

// RedisNodes is one URL or a list of them.
type RedisNodes []string

// DecodeOption reads a string or a list of strings.
func (n *RedisNodes) DecodeOption(v any) error {
	list, ok := option.List(v)
	if !ok {
		list = []any{v}
	}
	out := make(RedisNodes, 0, len(list))
	for _, x := range list {
		s, ok := x.(string)
		if !ok {
			return option.InvalidType(x, "a redis:// URL or a list of them")
		}
		if _, err := redis.ParseURL(s); err != nil {
			// Without the text, which may hold a password.
			return &option.Error{Msg: "invalid value: no URL such as redis://127.0.0.1:6379/0"}
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return &option.Error{Msg: "invalid value: no node is named"}
	}
	*n = out
	return nil
}

// OptionType implements option.Typed.
func (*RedisNodes) OptionType() string { return "url or list of urls" }

var redisSchema = option.SchemaOf[RedisOptions]()

var redisModule = luahost.Module{
	Name: "redis",
	Doc:  "Redis servers and clusters.",
	Funcs: []luahost.Func{
		{Name: "open", Args: "{ node=, … }", Returns: "redis_conn", Doc: "A connection to a server or a cluster. Policies that open the same one share its pool.", Example: `local conn = require('redis').open { node = 'redis://127.0.0.1:1/' }`, Go: redisOpen},
	},
}

var redisType = luahost.Type{
	Name: "redis_conn",
	Doc:  "A connection to Redis.",
	Methods: []luahost.Func{
		{Name: "query", Args: "(command, …)", Returns: "value", Doc: "Runs a command and gives its answer: nil, a number, a string, or a table.", Example: `local ok, n = pcall(function() return require('redis').open({ node = 'redis://127.0.0.1:1/', connect_timeout = '1s' }):query('INCR', 'count') end)`, Go: redisQuery},
	},
}

// redisConn is a client and how long an answer may take.
type redisConn struct {
	redis.UniversalClient

	name    string // without the password
	timeout time.Duration
}

func redisOpen(l *lua.LState) int {
	layer, call := layerArg(l, "redis.open")
	o := resolve(l, redisSchema, "redis.open", call, layer).Value
	p := of(luahost.From(l))
	key := fmt.Sprintf("%v", o)
	c, ok := p.redis.Load(key)
	if !ok {
		fresh := newRedis(&o)
		if c, ok = p.redis.LoadOrStore(key, fresh); ok {
			_ = fresh.Close()
		}
	}
	l.Push(luahost.From(l).NewUserData(&redisType, c))
	return 1
}

func newRedis(o *RedisOptions) *redisConn {
	u := &redis.UniversalOptions{
		PoolSize: o.PoolSize, DialTimeout: o.ConnectTimeout.Std(), PoolTimeout: o.WaitTimeout.Std(), MaxRetries: 1,
		ReadTimeout: o.ResponseTimeout.Std(), Username: o.Username, Password: o.Password,
		IsClusterMode: o.Cluster || len(o.Node) > 1, ReadOnly: o.ReadFromReplicas, ContextTimeoutEnabled: true,
	}
	var names []string
	for _, n := range o.Node {
		one, err := redis.ParseURL(n)
		if err != nil {
			continue // it was read before
		}
		u.Addrs, names = append(u.Addrs, one.Addr), append(names, one.Addr)
		u.DB, u.TLSConfig = one.DB, one.TLSConfig
		if one.Username != "" || one.Password != "" {
			u.Username, u.Password = one.Username, one.Password
		}
	}
	return &redisConn{redis.NewUniversalClient(u), strings.Join(names, ","), o.ResponseTimeout.Std()}
}

func redisQuery(l *lua.LState) int {
	c, s := luahost.Check[*redisConn](l, 1, "a redis_conn"), luahost.From(l)
	args := []any{l.CheckString(2)}
	for i := 3; i <= l.GetTop(); i++ {
		v := sqlValue(l, i, l.Get(i))
		if v == nil {
			l.ArgError(i, "a boolean, a number or a string expected, got nil")
		}
		args = append(args, v)
	}
	deadline := s.Deadline()
	if c.timeout > 0 {
		deadline = earlier(deadline, time.Now().Add(c.timeout))
	}
	ctx, cancel := context.WithDeadline(s.Context(), deadline)
	defer cancel()
	v, err := c.Do(ctx, args...).Result()
	if errors.Is(err, redis.Nil) {
		v, err = nil, nil
	}
	if err != nil {
		luahost.Fail(l, fmt.Errorf("redis_conn:query: %s: %s: %w", c.name, clip(fmt.Sprint(args[0])), err))
	}
	l.Push(luahost.ToLua(l, redisValue(v)))
	return 1
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// redisValue brings answers to the values that Lua has.
func redisValue(v any) any {
	switch x := v.(type) {
	case []any:
		for i := range x {
			x[i] = redisValue(x[i])
		}
		return x
	case map[any]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[fmt.Sprint(k)] = redisValue(e)
		}
		return out
	case nil, bool, int64, float64, string:
		return x
	}
	return fmt.Sprint(v)
}
