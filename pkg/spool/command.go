package spool

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/option"
)

// The kinds of orders that act on messages which are in the spool. Their payload is a Command.
const (
	OrderRequeue = "requeue" // due now
	OrderBounce  = "bounce"  // out of the queue and into the trash
	OrderSuspend = "suspend" // queues promote nothing until the order expires
	OrderResume  = "resume"  // the end of suspensions
	OrderRebind  = "rebind"  // other metadata, and so another scheduled queue
	OrderHold    = "hold"    // neither tried nor expired until released
	OrderRelease = "release" // the end of holds
	OrderPurge   = "purge"   // out of the spool at once, without a way back
	OrderUndo    = "undo"    // back from the trash, from a hold, or from a suspension
)

// Match says which messages an order is about: those that fit all of its fields. Fields that are empty say nothing;
// a Match without any matches nothing, unless All is set.
type Match struct {
	All           bool            `json:"all,omitempty"`
	Queues        []string        `json:"queues,omitempty"` // names of scheduled queues, any of them
	Domain        string          `json:"domain,omitempty"` // parts of the scheduled queue's name
	Tenant        string          `json:"tenant,omitempty"`
	Campaign      string          `json:"campaign,omitempty"`
	RoutingDomain string          `json:"routing_domain,omitempty"`
	Sender        string          `json:"sender,omitempty"`     // envelope sender, wire form; "<>" is the null sender
	Recipient     string          `json:"recipient,omitempty"`  // one of the envelope's recipients, wire form
	OlderThan     option.Duration `json:"older_than,omitempty"` // since reception, at least
	Where         string          `json:"where,omitempty"`      // SQL condition over the columns of the view messages
	ByID          bool            `json:"by_id,omitempty"`      // only the messages whose ids are in the order's Data
}

// QueuesOnly reports that the match speaks of scheduled queues alone, so that it can stand as a rule for mail that is
// yet to come.
func (m *Match) QueuesOnly() bool {
	return m.Sender == "" && m.Recipient == "" && m.OlderThan == 0 && m.Where == "" && !m.ByID
}

// IsZero reports a match that names nothing.
func (m *Match) IsZero() bool {
	return !m.All && len(m.Queues) == 0 && m.Domain == "" && m.Tenant == "" && m.Campaign == "" && m.RoutingDomain == "" && m.QueuesOnly()
}

// Queue reports whether messages of the scheduled queue of that name can fit: it looks at the fields that speak of
// queues only. Names are compared as they are (semantics.md 10.2).
func (m *Match) Queue(name string) bool {
	q := message.ParseQueueName(name)
	fits := func(want, is string) bool { return want == "" || want == is }
	if !fits(m.Domain, q.Domain) || !fits(m.Tenant, q.Tenant) || !fits(m.Campaign, q.Campaign) || !fits(m.RoutingDomain, q.RoutingDomain) {
		return false
	}
	if len(m.Queues) == 0 {
		return true
	}
	for _, n := range m.Queues {
		if n == name {
			return true
		}
	}
	return false
}

// Command is the payload of the orders that act on messages. Reason goes into records and answers; what else counts
// depends on the kind.
type Command struct {
	Match  Match  `json:"match"`
	Reason string `json:"reason,omitempty"`
	// Expires is when a suspension or a hold ends by itself, and until when a bounce or suspension of queues goes on to
	// take mail that comes later. Zero: a bounce takes what is there; a hold stays.
	Expires time.Time `json:"expires,omitzero"`
	// Set are the metadata that a rebind changes; "" removes a name.
	Set map[string]string `json:"set,omitempty"`
	// Flush makes what a rebind matches due at once even where its queue stays the same.
	Flush bool `json:"flush,omitempty"`
	// Event has a rebind ask policy (rebind_message) instead of setting metadata.
	Event bool `json:"event,omitempty"`
	// Silent leaves out the records that the order would cause.
	Silent bool `json:"silent,omitempty"`
	// Order is what an undo takes back, and which suspension or hold a resume or release ends; "" for all that match.
	Order string `json:"order,omitempty"`
}

// NewCommand makes an order of one of the kinds above. ids are for matches with ByID.
func NewCommand(kind, author string, c Command, ids []message.ID) (Order, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return Order{}, fmt.Errorf("%s order: %w", kind, err)
	}
	o := Order{Kind: kind, Author: author, Payload: payload}
	for _, id := range ids {
		o.Data = append(o.Data, id[:]...)
	}
	return o, nil
}

// Command reads the payload of an order that acts on messages, and the ids that it names.
func (o *Order) Command() (Command, []message.ID, error) {
	var c Command
	if err := json.Unmarshal(o.Payload, &c); err != nil {
		return c, nil, fmt.Errorf("order %s: %w", o.ID, err)
	}
	ids := make([]message.ID, len(o.Data)/len(message.ID{}))
	for i := range ids {
		copy(ids[i][:], o.Data[i*len(ids[i]):])
	}
	return c, ids, nil
}

// Counts say what an order that acts on messages came to, or how far it is.
type Counts struct {
	Matched int `json:"matched"`        // messages that the match wanted, busy ones included
	Done    int `json:"done"`           // messages that were changed
	Busy    int `json:"busy,omitempty"` // messages that a delivery has in hand: dealt with if they come back
	// Sample are some of the messages that were changed, at most 10.
	Sample []message.ID `json:"sample,omitempty"`
	// Missing are ids of the order that no message in the spool has, at most 100 of them; Unknown is how many there are.
	Missing []message.ID `json:"missing,omitempty"`
	Unknown int          `json:"unknown,omitempty"`
	// Answer is what an order of kind ask came to.
	Answer json.RawMessage `json:"answer,omitempty"`
}

// commandKinds are the kinds of orders that act on messages.
func commandKinds() []string {
	return []string{
		OrderRequeue, OrderBounce, OrderSuspend, OrderResume, OrderRebind, OrderHold, OrderRelease, OrderPurge, OrderUndo,
	}
}

// IsCommand reports the kinds of orders that act on messages.
func IsCommand(kind string) bool { return slices.Contains(commandKinds(), kind) }
