package spool

import (
	"context"
	"errors"
	"fmt"

	"kumo/pkg/message"
)

// matchPage is how many ids Match gives at a time: as many as Apply takes.
const matchPage = 10_000

// Match calls page with the ids of the messages that the match wants at the moment of the call, at most 10,000 at a
// time, in no order: those of every State but Trashed, whether the index has them yet or not. ids are for ByID.
// An error of page ends it and is returned; errors of a Where clause are *WhereError.
func (s *Spool) Match(ctx context.Context, m Match, ids []message.ID, page func([]message.ID) error) error {
	if m.IsZero() {
		return nil
	}
	x := newMatcher(m, ids, s.cfg.Now())
	out := &idPages{ctx: ctx, page: page}
	var err error
	if x.deep {
		err = s.matchDeep(ctx, x, out)
	} else {
		err = s.matchTable(x, out.add)
	}
	if err != nil {
		return err
	}
	return out.flush()
}

// idPages gathers ids to pages.
type idPages struct {
	ctx  context.Context
	page func([]message.ID) error
	held []message.ID
}

func (p *idPages) add(e Entry) error {
	if p.held == nil {
		p.held = make([]message.ID, 0, matchPage)
	}
	if p.held = append(p.held, e.ID); len(p.held) < matchPage {
		return nil
	}
	return p.flush()
}

func (p *idPages) flush() error {
	if len(p.held) == 0 {
		return nil
	}
	if err := p.ctx.Err(); err != nil {
		return err
	}
	ids := p.held
	p.held = nil
	return p.page(ids)
}

// matchTable finds what the table can tell by itself.
func (s *Spool) matchTable(x *matcher, pass func(Entry) error) error {
	if x.ids != nil {
		for id := range x.ids {
			e, ok := s.known(id)
			if !ok || e.State == Trashed || !x.queue(e.Queue) || x.before != 0 && nanos(e.Created) > x.before {
				continue
			}
			if err := pass(e); err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	s.table.each(func(in entry) bool {
		if e := s.entry(&in); e.State != Trashed && x.entry(in.id, e.Queue, in.created) {
			err = pass(e)
		}
		return err == nil
	})
	return err
}

// matchDeep finds what needs SQL: rows of the index that are up to date answer for their messages, and everything else
// is looked at in memory. An index that cannot be used answers for none.
func (s *Spool) matchDeep(ctx context.Context, x *matcher, out *idPages) error {
	p, err := openPages(ctx)
	if err != nil {
		return fmt.Errorf("match messages: %w", err)
	}
	defer p.close()
	if x.m.Where != "" {
		if err := p.check(ctx, x.m.Where); err != nil {
			return err
		}
	}
	doubt := func(message.ID) bool { return true }
	if x.ids == nil || len(x.ids) > matchPage {
		var found [][]message.ID
		if found, doubt, err = s.index.ask(ctx, x); err != nil {
			return err
		}
		for _, ids := range found {
			if err := s.confirm(x, ids, doubt, out.add); err != nil {
				return err
			}
		}
	}
	sift := &sieve{x: x, pages: p, load: s.loadEntry, pass: out.add}
	err = s.matchTable(x, func(e Entry) error {
		if !doubt(e.ID) {
			return nil
		}
		return sift.add(ctx, e)
	})
	if err != nil {
		return err
	}
	return sift.flush(ctx)
}

// confirm passes those of the ids that the index found which it may answer for.
func (s *Spool) confirm(x *matcher, ids []message.ID, doubt func(message.ID) bool, pass func(Entry) error) error {
	for _, id := range ids {
		e, ok := s.known(id)
		if !ok || e.State == Trashed || doubt(id) {
			continue
		}
		if _, named := x.ids[id]; x.ids != nil && !named {
			continue
		}
		if err := pass(e); err != nil {
			return err
		}
	}
	return nil
}

// known is what the table has of a message.
func (s *Spool) known(id message.ID) (Entry, bool) {
	shard, h := s.table.lock(id)
	p := shard.get(id, h)
	if p == nil {
		shard.Unlock()
		return Entry{}, false
	}
	in := *p
	shard.Unlock()
	return s.entry(&in), true
}

// loadEntry reads the envelope of a message, and its entry as it is by then.
func (s *Spool) loadEntry(e *Entry) (*message.Message, error) {
	in, err := s.find(e.ID)
	if err != nil {
		return nil, err
	}
	*e = s.entry(&in)
	m, err := s.segs.envelope(e.ID, in.place())
	if err != nil && isMissing(err) {
		err = errors.Join(ErrDamaged, err)
	}
	return m, err
}
