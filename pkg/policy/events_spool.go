package policy

import (
	"context"

	"kumo/pkg/message"
)

// Enumerates reports whether the policy wants to see the messages that a start finds in the spool.
func (p *Policy) Enumerates() bool { return p.host.Has(evMessageEnumerated) }

// MessageEnumerated fires spool_message_enumerated, which may change the message's envelope and metadata. Its error is
// to end the start.
func (p *Policy) MessageEnumerated(ctx context.Context, m *message.Message) error {
	s, err := p.host.Acquire(ctx)
	if err != nil {
		return err
	}
	defer p.host.Release(s)
	a := newMailArgs(s, m, nil)
	defer a.end()
	_, _, err = s.Fire(evMessageEnumerated, &a.msgData)
	return err
}
