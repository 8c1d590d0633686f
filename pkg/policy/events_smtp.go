package policy

import (
	"context"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/listener"
	"kumo/pkg/luahost"
	"kumo/pkg/message"
)

// MessageReceived fires smtp_server_message_received, or http_message_generated for mail that came by HTTP.
func (p *Policy) MessageReceived(ctx context.Context, protocol string, m *message.Message, conn *message.Meta) error {
	id := evMessageReceived
	if protocol == "HTTP" {
		id = evHTTPMessageGenerated
	}
	if !p.host.Has(id) {
		return nil
	}
	s, err := p.host.Acquire(ctx)
	if err != nil {
		return err
	}
	args := newMailArgs(s, m, conn)
	_, _, err = s.Fire(id, &args.msgData, &args.connData)
	args.end()
	p.host.Release(s)
	if err != nil {
		return answer(err)
	}
	return nil
}

// ListenerDomain asks get_listener_domain. Without an answer nothing is relayed.
func (p *Policy) ListenerDomain(ctx context.Context, domain, listen string, conn *message.Meta) (listener.Domain, error) {
	if !p.host.Has(evListenerDomain) {
		return listener.Domain{}, nil
	}
	s, err := p.host.Acquire(ctx)
	if err != nil {
		return listener.Domain{}, err
	}
	args := newMailArgs(s, nil, conn)
	defer func() {
		args.end()
		p.host.Release(s)
	}()
	r, _, err := ask(s, evListenerDomain, "make_listener_domain", domainSchema, lua.LString(domain), lua.LString(listen), &args.connData)
	return r.Value, err
}

// mailArgs are the userdata of one event, in one piece of memory.
type mailArgs struct {
	msgData, connData lua.LUserData
	msg               messageRef
	conn              connRef
}

func newMailArgs(s *luahost.State, m *message.Message, conn *message.Meta) *mailArgs {
	a := &mailArgs{}
	a.msg.m = m
	a.conn.meta, a.conn.live = conn, true
	a.msgData = lua.LUserData{Value: &a.msg, Env: s.L.Env, Metatable: s.Metatable(&messageType)}
	a.connData = lua.LUserData{Value: &a.conn, Env: s.L.Env, Metatable: s.Metatable(&connType)}
	return a
}

// end makes the userdata useless, should the policy have kept them.
func (a *mailArgs) end() { a.msg.m, a.conn.meta, a.conn.live = nil, nil, false }
