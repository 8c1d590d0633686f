package node

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"kumo/pkg/intake"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// InjectProtocol is the reception_protocol of mail that a verb brings in.
const InjectProtocol = "Inject"

// lateIntake is the intake as listeners see it: there is none until the spool has started.
type lateIntake struct{ p atomic.Pointer[intake.Intake] }

func (l *lateIntake) set(in *intake.Intake) { l.p.Store(in) }

func (l *lateIntake) Accept(ctx context.Context, sub *message.Submission) ([]message.ID, error) {
	in := l.p.Load()
	if in == nil {
		return nil, gateStarting
	}
	return in.Accept(ctx, sub)
}

// orders carries out what verbs leave in the spool.
func (n *server) orders(ctx context.Context) error {
	return n.rooms.spool.RunOrders(ctx, func(ctx context.Context, o spool.Order) spool.Result {
		switch {
		case o.Kind == spool.OrderInject:
			return injectOrder(ctx, n.rooms.intake, n.rooms.hostname, o)
		case o.Kind == spool.OrderAsk:
			return n.answer(o)
		case spool.IsCommand(o.Kind):
			return command(ctx, n.rooms.spool, n.rooms.orders, o, true)
		}
		return spool.Result{Error: fmt.Sprintf("this version does not know orders of kind %q", o.Kind)}
	})
}

// injectOrder brings the message of an order in. An order that was cut short by a shutdown waits for the next start;
// every other refusal is final, and the verb that waits tells its user.
func injectOrder(ctx context.Context, in *intake.Intake, hostname string, o spool.Order) spool.Result {
	what, err := o.Inject()
	if err != nil {
		return spool.Result{Error: err.Error()}
	}
	sub := &message.Submission{
		Protocol: what.Protocol, Sender: mail.Restore(what.Sender), Data: o.Data, Hostname: hostname,
		Ehlo: hostname, Conn: injectMeta(hostname, what.Meta), Trace: defaultTrace(), Order: o.ID,
	}
	for _, r := range what.Recipients {
		sub.Recipients = append(sub.Recipients, mail.Restore(r))
	}
	ids, err := in.Accept(ctx, sub)
	var done *spool.OrderDoneError
	switch {
	case err == nil:
		return spool.Result{IDs: ids}
	case errors.As(err, &done):
		return spool.Result{IDs: done.IDs}
	case ctx.Err() != nil:
		return spool.Result{Later: true}
	}
	return spool.Result{Error: err.Error()}
}

// injectMeta is the connection metadata of mail without a connection.
func injectMeta(hostname string, more map[string]any) *message.Meta {
	m := message.NewMeta(nil)
	for k, v := range more {
		m.Set(k, v)
	}
	m.Set("reception_protocol", InjectProtocol)
	m.Set("hostname", hostname)
	return m
}

func defaultTrace() message.TraceHeaders {
	return message.TraceHeaders{ReceivedHeader: true, SupplementalHeader: true, HeaderName: "X-KumoRef"}
}
