package spool

import (
	"context"
	"time"

	"kumo/pkg/message"
)

// Ending says why a message leaves the spool.
type Ending uint8

const (
	EndDelivered Ending = iota + 1
	EndBounced
	EndExpired
	EndAdminBounced
	EndDiscarded
)

// Entry is a live message as the spool's table knows it, without its envelope and body.
type Entry struct {
	ID       message.ID
	Queue    string
	Created  time.Time
	Due      time.Time
	Attempts int
	Size     int
}

// Spool is the open spool of the one process that owns it.
type Spool struct{}

// Accept makes messages durable: it returns when all of them, or with an error none of them, are on stable
// storage. Concurrent calls share a sync (group commit). After success it calls SetLoader(s) on each.
// A non-empty order makes it idempotent: see AcceptOrder semantics in DESIGN.md.
func (s *Spool) Accept(ctx context.Context, order string, ms ...*message.Message) error {
	panic("skeleton")
}

// Update records what changed about m since it was accepted: recipients, queue, metadata, due, attempts.
// It is written soon but not waited for.
func (s *Spool) Update(m *message.Message) error { panic("skeleton") }

// Reschedule records a new due time and attempt count of a message that is not in memory. Written soon, not waited for.
func (s *Spool) Reschedule(id message.ID, due time.Time, attempts int) error { panic("skeleton") }

// End records that id has ended. Written soon, not waited for: a crash before it is on disk can repeat the last
// delivery and nothing else.
func (s *Spool) End(id message.ID, why Ending) error { panic("skeleton") }

// Load brings a live message back, envelope and metadata at once, its body when asked for.
func (s *Spool) Load(id message.ID) (*message.Message, error) { panic("skeleton") }

// Body implements message.Body.
func (s *Spool) Body(id message.ID) ([]byte, error) { panic("skeleton") }

// Live calls f for every live message, in no order.
func (s *Spool) Live(f func(Entry) bool) { panic("skeleton") }
