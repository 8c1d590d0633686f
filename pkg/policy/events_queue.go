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

// RebindMessage fires rebind_message: a rebind asks policy to change a message that waits. data is what the order says.
// Without a handler nothing is changed.
func (p *Policy) RebindMessage(ctx context.Context, m *message.Message, data map[string]string) error {
	if !p.host.Has(evRebindMessage) {
		return nil
	}
	s, err := p.host.Acquire(ctx)
	if err != nil {
		return err
	}
	defer p.host.Release(s)
	a := newMailArgs(s, m, nil)
	defer a.end()
	t := s.L.CreateTable(0, len(data))
	for k, v := range data {
		t.RawSetString(k, lua.LString(v))
	}
	_, _, err = s.Fire(evRebindMessage, &a.msgData, t)
	return err
}
