package policy

import (
	"context"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/queue"
)

// QueueConfig asks get_queue_config. Without an answer the defaults hold.
func (p *Policy) QueueConfig(ctx context.Context, name message.QueueName) (option.Resolved[queue.Config], error) {
	if !p.host.Has(evQueueConfig) {
		return queueSchema.Resolve("make_queue_config")
	}
	s, err := p.host.Acquire(ctx)
	if err != nil {
		return option.Resolved[queue.Config]{}, err
	}
	defer p.host.Release(s)
	r, some, err := ask(s, evQueueConfig, "make_queue_config", queueSchema,
		lua.LString(name.Domain), orNil(name.Tenant), orNil(name.Campaign), orNil(name.RoutingDomain))
	if err == nil && !some {
		return queueSchema.Resolve("make_queue_config")
	}
	return r, err
}

// orNil is a part of a name as events see it.
func orNil(s string) lua.LValue {
	if s == "" {
		return lua.LNil
	}
	return lua.LString(s)
}
