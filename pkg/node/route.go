package node

import (
	"context"
	"errors"
	"strings"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/metric"
	"kumo/pkg/option"
	"kumo/pkg/smtp"
)

// Route is what would become of one message: the answer of route-test.
type Route struct {
	Recipient string         `json:"recipient"`
	Queue     string         `json:"queue,omitempty"`
	Meta      map[string]any `json:"meta,omitempty"`
	Plan      *RoutePlan     `json:"plan,omitempty"`
	Failure   *RouteFailure  `json:"failure,omitempty"`
	Objects   []RouteObject  `json:"objects,omitempty"`
}

// RoutePlan says where mail would go.
type RoutePlan struct {
	ReadyQueue string   `json:"ready_queue"`
	Pool       string   `json:"egress_pool"`
	Source     string   `json:"egress_source"`
	Site       string   `json:"site"`
	Domain     string   `json:"routing_domain"`
	Hosts      []string `json:"hosts"`
	Targets    []string `json:"targets,omitempty"` // host/address:port, in the order in which a session might try them
	Problem    string   `json:"problem,omitempty"` // why no session could be opened
}

// RouteFailure is why a message would go nowhere.
type RouteFailure struct {
	Outcome string `json:"outcome"` // "rejected", "bounced", "delayed" or "dropped"
	Code    int    `json:"code,omitempty"`
	Text    string `json:"text"`
}

// RouteObject explains the options of one object that took part.
type RouteObject struct {
	Object string       `json:"object"`
	Name   string       `json:"name"`
	Fields option.Trace `json:"fields"`
}

// RouteTester answers what would become of messages. It takes no spool and opens no connection but to name servers.
type RouteTester struct {
	plan    *plan
	planner *egress.Planner
	dialer  *egress.Dialer
	host    string
	ids     *message.IDSource
}

// OpenRouteTester loads the policy.
func OpenRouteTester(ctx context.Context, o Options) (*RouteTester, error) {
	p, err := start(ctx, quiet(o))
	if err != nil {
		return nil, err
	}
	planner, dialer, err := newPlanner(p, metric.NewRegistry())
	if err != nil {
		p.policy.Close()
		return nil, err
	}
	return &RouteTester{plan: p, planner: planner, dialer: dialer, host: hostname(), ids: message.NewIDSource(time.Now)}, nil
}

// Close frees the policy.
func (t *RouteTester) Close() { t.plan.policy.Close() }

// Route runs the policy's events for a letter with meta as connection metadata, one message for each recipient.
func (t *RouteTester) Route(ctx context.Context, l *Letter, meta map[string]any) ([]Route, error) {
	var out []Route
	for _, rcpt := range l.Recipients {
		conn := injectMeta(t.host, meta)
		m := &message.Message{
			ID: t.ids.Next(), Sender: l.Sender, Recipients: []mail.Address{rcpt}, Meta: message.NewMeta(conn), Created: time.Now(),
		}
		m.SetData(l.Data)
		r := Route{Recipient: rcpt.String()}
		err := t.plan.policy.MessageReceived(ctx, InjectProtocol, m, conn)
		var no *smtp.Error
		switch {
		case errors.As(err, &no):
			r.Failure = &RouteFailure{Outcome: "rejected", Code: no.Reply.Code, Text: no.Reply.String()}
		case err != nil:
			return out, err
		default:
			if err := t.queue(ctx, m, &r); err != nil {
				return out, err
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func (t *RouteTester) queue(ctx context.Context, m *message.Message, r *Route) error {
	r.Queue = m.QueueName()
	r.Meta = m.Meta.All()
	if r.Queue == message.NullQueue {
		r.Failure = &RouteFailure{Outcome: "dropped", Text: "the queue null drops mail at reception"}
		return nil
	}
	name := message.ParseQueueName(r.Queue)
	cfg, err := t.plan.policy.QueueConfig(ctx, name)
	if err != nil {
		return err // it names the event, or the line
	}
	r.Objects = append(r.Objects, RouteObject{Object: "queue", Name: r.Queue, Fields: cfg.Trace})
	plan, err := t.planner.Plan(ctx, egress.Request{
		Queue: name, Pool: cfg.Value.EgressPool, Protocol: cfg.Value.Protocol, Explain: true,
	})
	var no *egress.Failure
	switch {
	case errors.As(err, &no):
		r.Failure = &RouteFailure{Outcome: "delayed", Code: no.Reply.Code, Text: failureText(no)}
		if no.Outcome == message.Permanent {
			r.Failure.Outcome = "bounced"
		}
		return nil
	case err != nil:
		return err
	}
	t.explain(ctx, plan, r)
	return nil
}

// failureText is the reply and, where the reply does not tell it already, the cause.
func failureText(f *egress.Failure) string {
	text := f.Reply.String()
	if f.Cause == nil || strings.Contains(text, f.Cause.Error()) {
		return text
	}
	return text + ": " + f.Cause.Error()
}

func (t *RouteTester) explain(ctx context.Context, plan *egress.Plan, r *Route) {
	r.Plan = &RoutePlan{
		ReadyQueue: plan.Key, Pool: plan.Pool, Source: plan.Source.Name, Site: plan.Site, Domain: plan.RoutingDomain,
	}
	if plan.MX != nil {
		for _, h := range plan.MX.Hosts {
			r.Plan.Hosts = append(r.Plan.Hosts, h.Text())
		}
	}
	for _, o := range plan.Trace {
		r.Objects = append(r.Objects, RouteObject{Object: strings.TrimPrefix(o.Object, "egress_"), Name: o.Name, Fields: o.Fields})
	}
	targets, err := t.dialer.Targets(ctx, plan)
	if err != nil {
		r.Plan.Problem = err.Error()
	}
	for _, x := range targets {
		r.Plan.Targets = append(r.Plan.Targets, x.Name+"/"+x.Addr.String())
	}
}
