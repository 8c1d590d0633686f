package node

import (
	"context"
	"errors"
	"io/fs"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
	"kumo/pkg/spool"
)

// store is the spool as intake and queue see it: with their words for endings, and with answers for peers.
type store struct{ *spool.Spool }

// Accept turns the spool's refusals into answers: all of them temporary, for the fault is ours.
func (s store) Accept(ctx context.Context, order string, ms ...*message.Message) error {
	err := s.Spool.Accept(ctx, order, ms...)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, spool.ErrFull):
		return &smtp.Error{Reply: smtp.NewReply(452, "4.3.1", "insufficient system storage, try again later"), Detail: err.Error(), Cause: err}
	case errors.Is(err, spool.ErrOrderDone):
		return err
	}
	return &smtp.Error{Reply: smtp.NewReply(451, "4.3.0", "message could not be stored, try again later"), Detail: err.Error(), Cause: err}
}

// End maps the kind of the last record to the spool's ending.
func (s store) End(id message.ID, why journal.Type) error {
	ending := spool.EndBounced
	switch why {
	case journal.Delivery:
		ending = spool.EndDelivered
	case journal.Expiration:
		ending = spool.EndExpired
	}
	return s.Spool.End(id, ending)
}

// Load says fs.ErrNotExist for a message that has ended.
func (s store) Load(id message.ID) (*message.Message, error) {
	m, err := s.Spool.Load(id)
	if errors.Is(err, spool.ErrGone) {
		return nil, fs.ErrNotExist
	}
	return m, err
}
