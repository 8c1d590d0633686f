package queue

import (
	"context"
	"errors"
	"time"

	"kumo/pkg/message"
)

const (
	orderTick  = time.Second // how often expiries are looked at
	orderCheck = time.Minute // how often it is looked whether anything lasts of an order
)

// Start takes up what earlier processes have left: the records that they have caused and not written, and what
// stands of their orders. It must return before any message is restored or inserted.
func (o *Orders) Start(ctx context.Context) error {
	if o.recorder != nil {
		if err := o.settleNotes(ctx); err != nil {
			return err
		}
	}
	o.mu.Lock()
	for _, s := range o.ledger.Standing() {
		o.standing[s.ID] = s
	}
	o.mu.Unlock()
	o.setRules()
	if o.recorder == nil {
		return nil
	}
	return o.each(func(s *Order) bool { return s.Kind == Purge }, func(s *Order) error { return o.finishPurge(ctx, s) })
}

// finishPurge ends what a process without a recorder has purged, now that it is logged.
func (o *Orders) finishPurge(ctx context.Context, s *Order) error {
	of := s.ID
	if s.Of != "" {
		of = s.Of
	}
	err := o.ledger.OfOrder(ctx, of, func(ids []message.ID) error {
		_, _, err := o.ledger.Change(ctx, s.ID, ChangeEnd, time.Time{}, ids)
		return err
	})
	if err != nil {
		return err
	}
	if s.Of != "" {
		o.over(s.Of)
	}
	o.over(s.ID)
	return nil
}

// Run ends what expires, until ctx ends.
func (o *Orders) Run(ctx context.Context) error {
	var checked int64
	for {
		c, stop := o.clock.NewTimer(orderTick)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-c:
		}
		now := o.mono(o.clock.Now())
		err := o.expire(ctx, now)
		if err == nil && now-checked >= int64(orderCheck) {
			checked = now
			err = o.clear(ctx)
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			o.log.Error("cannot end an order that has expired; it is tried again", "error", err)
		}
	}
}

// expire ends the suspensions, holds and standing bounces whose time has come.
func (o *Orders) expire(ctx context.Context, now int64) error {
	return o.each(func(s *Order) bool {
		return !s.Expires.IsZero() && o.mono(s.Expires) <= now && (s.Kind == Suspend || s.Kind == Hold)
	}, func(s *Order) error { return o.endExpired(ctx, s) })
}

func (o *Orders) endExpired(ctx context.Context, s *Order) error {
	o.one.Lock()
	defer o.one.Unlock()
	if o.find(s.ID) == nil {
		return nil // an operator was faster
	}
	r := &run{
		Orders: o, order: &Order{ID: s.ID, Kind: Release, Reason: "expired"},
		touched: map[string]struct{}{}, few: map[message.ID]struct{}{},
	}
	o.log.Info("an order has expired", "order", s.ID, "kind", string(s.Kind), "reason", s.Reason)
	return r.end(ctx, s)
}

// clear forgets orders of which nothing lasts any more: their trash was emptied, their messages were released.
func (o *Orders) clear(ctx context.Context) error {
	now := o.mono(o.clock.Now())
	o.one.Lock()
	defer o.one.Unlock()
	return o.each(func(s *Order) bool {
		return (s.Kind == Bounce || s.Kind == Hold || s.Kind == Suspend && !s.QueuesOnly) &&
			(!s.stands() || o.mono(s.Expires) <= now)
	}, func(s *Order) error {
		lasts, err := o.lasts(ctx, s.ID)
		if err == nil && !lasts {
			o.over(s.ID)
		}
		return err
	})
}
