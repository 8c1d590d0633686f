package delivery

import (
	"context"
	"errors"
	"sync"

	"kumo/pkg/egress"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// yielding is how a session ends early because the node stops: whatever waits for the peer before the text of a message
// is on its way is cut, and whatever comes after is left to finish, because a peer that has the text may have taken it.
type yielding struct {
	mu     sync.Mutex
	asked  bool
	conn   *smtp.Conn         // of a transaction without its text
	cancel context.CancelFunc // of a connection that is being opened
}

var errYield = errors.New("the node is shutting down")

// Yield implements egress.Yielding.
func (s *session) Yield() {
	y := &s.yield
	y.mu.Lock()
	defer y.mu.Unlock()
	y.asked = true
	if y.conn != nil {
		y.conn.Abort()
	}
	if y.cancel != nil {
		y.cancel()
	}
}

func (y *yielding) wanted() bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.asked
}

// watch lets a Yield cut conn, until text or watch(nil). False means that there was one already.
func (y *yielding) watch(conn *smtp.Conn) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.conn = conn
	return !y.asked
}

// reconnect is connect for a session in the middle of a delivery.
func (s *session) reconnect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	y := &s.yield
	y.mu.Lock()
	asked := y.asked
	y.cancel = cancel
	y.mu.Unlock()
	defer func() {
		y.mu.Lock()
		y.cancel = nil
		y.mu.Unlock()
	}()
	if asked {
		return errYield
	}
	return s.connect(ctx)
}

// yielded gives the message back, or what is undecided of it.
func (d *delivering) yielded(open []mail.Address) egress.Result {
	if len(d.attempts) == 0 {
		return d.unsent()
	}
	d.drop()
	a := d.attempt(verdict{message.Delayed, internal(421, "4.3.2", errYield.Error())}, d.named(open))
	a.Reason = message.ReadyQueueWasSuspended
	d.attempts = append(d.attempts, a)
	d.settleBill()
	return egress.Result{Attempts: d.attempts, Done: true}
}
