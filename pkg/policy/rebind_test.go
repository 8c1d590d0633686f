package policy

import (
	"testing"

	"kumo/pkg/mail"
	"kumo/pkg/message"
)

// TestRebindMessage: the handler sees the message and what the order says, and what it sets chooses the queue.
func TestRebindMessage(t *testing.T) {
	p := load(t, `kumo.on('rebind_message', function(msg, data)
  assert(tostring(msg:sender()) == 'a@example.org', 'sender')
  if data.wrong then error 'no such customer' end
  msg:set_meta('queue', data.queue)
end)`)
	m := &message.Message{
		Sender: mail.Restore("a@example.org"), Recipients: []mail.Address{mail.Restore("b@example.com")}, Meta: message.NewMeta(nil),
	}
	if err := p.RebindMessage(t.Context(), m, map[string]string{"queue": "acme@example.com"}); err != nil {
		t.Fatal(err)
	}
	if got := m.QueueName(); got != "acme@example.com" {
		t.Errorf("queue %q", got)
	}
	if err := p.RebindMessage(t.Context(), m, map[string]string{"wrong": "yes"}); err == nil {
		t.Error("an error of the handler is not told")
	}
	if err := load(t, "").RebindMessage(t.Context(), m, nil); err != nil {
		t.Errorf("without a handler: %v", err)
	}
}
