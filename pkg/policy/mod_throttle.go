package policy

import (
	"context"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/luahost"
	"kumo/pkg/throttle"
)

// throttleType is what kumo.make_throttle returns.
var throttleType = luahost.Type{
	Name: "throttle",
	Doc:  "A named rate. All throttles of the same name and rate count together, whatever context made them.",
	Methods: []luahost.Func{
		{Name: "throttle", Args: "()", Returns: "table", Since: "2024.06.10-84e84b89", Doc: "Counts one operation if the rate allows it, and says so: throttled, limit, remaining, reset_after and, when it was refused, retry_after. The last two are in seconds.", Example: `local t = kumo.make_throttle('reception', '1000/s')
if t:throttle().throttled then kumo.reject(451, '4.4.5 try again later') end`, Go: throttleThrottle},
		{Name: "sleep_if_throttled", Args: "()", Returns: "boolean", Since: "2024.06.10-84e84b89", Doc: "Waits until the rate allows one operation, and counts it. Says whether it had to wait.", Example: `kumo.make_throttle('reception', '1000/s'):sleep_if_throttled()`, Go: throttleSleep},
		{Name: "delay_message_if_throttled", Args: "(message)", Returns: "boolean", Since: "2024.06.10-84e84b89", Doc: "Counts one operation if the rate allows it; else puts the message's due time off. Says whether it did. For throttle_insert_ready_queue.", Example: `kumo.make_throttle('tenant', '1000/s'):delay_message_if_throttled(msg)`, Go: throttleDelay},
	},
	String: func(l *lua.LState) int {
		t := luahost.Check[*throttle.Throttle](l, 1, "a throttle")
		return text(l, "throttle "+t.Name+" "+t.Spec.String())
	},
}

var makeThrottle = luahost.Func{
	Name: "make_throttle", Args: "(name, spec)", Returns: "throttle", Since: "2024.06.10-84e84b89",
	Doc:     "A rate such as 50/min, 1_000/h or 60/min,max_burst=1 under a name.",
	Example: `local t = kumo.make_throttle('reception-rate', '100/minute')`,
	Go: func(l *lua.LState) int {
		name, s := l.CheckString(1), luahost.From(l)
		spec, err := throttle.ParseSpec(l.CheckString(2))
		if err != nil {
			luahost.Fail(l, fmt.Errorf("kumo.make_throttle: %w", err))
		}
		if len(name) > maxThrottleName {
			l.ArgError(1, fmt.Sprintf("a name of at most %d bytes expected", maxThrottleName))
		}
		l.Push(s.NewUserData(&throttleType, of(s).opt.Throttles.Throttle(name, spec)))
		return 1
	},
}

// maxThrottleName bounds the names that policies make, which often come from mail.
const maxThrottleName = 1024

// take counts one operation.
func take(l *lua.LState) throttle.Result {
	t := luahost.Check[*throttle.Throttle](l, 1, "a throttle")
	r, err := t.Take(luahost.From(l).Context(), 1)
	if err != nil {
		luahost.Fail(l, fmt.Errorf("throttle %s cannot be asked: %w", t.Name, err))
	}
	return r
}

func throttleThrottle(l *lua.LState) int {
	r := take(l)
	t := l.CreateTable(0, 5)
	t.RawSetString("throttled", lua.LBool(r.Throttled))
	t.RawSetString("limit", lua.LNumber(r.Limit))
	t.RawSetString("remaining", lua.LNumber(r.Remaining))
	t.RawSetString("reset_after", lua.LNumber(r.ResetAfter.Seconds()))
	if r.Throttled {
		t.RawSetString("retry_after", lua.LNumber(r.RetryAfter.Seconds()))
	}
	l.Push(t)
	return 1
}

func throttleSleep(l *lua.LState) int {
	waited := false
	for {
		r := take(l)
		if !r.Throttled {
			l.Push(lua.LBool(waited))
			return 1
		}
		waited = true
		luahost.Pause(l, r.RetryAfter)
	}
}

func throttleDelay(l *lua.LState) int {
	r, m := take(l), luahost.Check[*messageRef](l, 2, "a message").m
	if m == nil {
		l.RaiseError("this message is gone: it was kept beyond the event that it was passed to")
	}
	if r.Throttled {
		m.Due = of(luahost.From(l)).now().Add(r.RetryAfter)
	}
	l.Push(lua.LBool(r.Throttled))
	return 1
}

func (p *Policy) now() time.Time {
	if p.opt.Now != nil {
		return p.opt.Now()
	}
	return time.Now()
}

// task is what kumo.spawn_task asked for.
type task struct {
	event string
	args  any // frozen
	at    string
}

var spawnTask = luahost.Func{
	Name: "spawn_task", Args: "{ event_name=, args= }", Since: "2024.06.10-84e84b89",
	Doc: "Runs the handler of an event beside everything else once the start is complete, for as long as it likes. An error ends the task and is logged. Only in init.",
	Example: `kumo.on('init', function()
  kumo.spawn_task { event_name = 'my.task', args = { 'hello' } }
end)
kumo.on('my.task', function(args)
  kumo.log_info('task', args[1])
end)`,
	Go: func(l *lua.LState) int {
		scope := inInit(l, "spawn_task")
		t := l.CheckTable(1)
		t.ForEach(func(k, _ lua.LValue) {
			if s := k.String(); s != "event_name" && s != "args" {
				luahost.Fail(l, fmt.Errorf("spawn_task: unknown field `%s`, expected `event_name` or `args`", clip(s)))
			}
		})
		name, ok := t.RawGetString("event_name").(lua.LString)
		if !ok || name == "" {
			l.ArgError(1, "event_name must be the name of an event")
		}
		args, err := luahost.Freeze(t.RawGetString("args"))
		if err != nil {
			luahost.Fail(l, fmt.Errorf("spawn_task: args: %w", err))
		}
		scope.setup.tasks = append(scope.setup.tasks, task{string(name), args, luahost.Where(l)})
		return 0
	},
}

// Tasks runs what kumo.spawn_task asked for until every task has ended or ctx does.
func (s *Setup) Tasks() []func(ctx context.Context, p *Policy) {
	out := make([]func(context.Context, *Policy), len(s.tasks))
	for i, t := range s.tasks {
		out[i] = func(ctx context.Context, p *Policy) {
			if err := p.runTask(ctx, t); err != nil && ctx.Err() == nil {
				p.opt.Log.Error("a task of the policy has ended", "event", t.event, "spawned", t.at, "error", err)
			}
		}
	}
	return out
}

func (p *Policy) runTask(ctx context.Context, t task) error {
	s, err := p.host.Acquire(ctx)
	if err != nil {
		return err
	}
	defer p.host.Release(s)
	s.Endless()
	_, _, err = s.FireNamed(t.event, luahost.Thaw(s, t.args))
	return err
}
