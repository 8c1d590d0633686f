package policy

import (
	"context"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/message"
)

// Wants implements journal.Filter: it fires the filter_event of a logger.
func (p *Policy) Wants(event string, m *message.Message) (bool, error) {
	s, err := p.host.Acquire(context.Background())
	if err != nil {
		return false, err
	}
	args := newMailArgs(s, m, nil)
	v, _, err := s.FireNamed(event, &args.msgData)
	args.end()
	p.host.Release(s)
	if err != nil {
		return false, err
	}
	if v.Type() != lua.LTBool && v != lua.LNil {
		return false, fmt.Errorf("event %s: want a boolean, not %s", event, v.Type())
	}
	return lua.LVAsBool(v), nil
}
