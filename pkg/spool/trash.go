package spool

import (
	"context"
	"errors"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// trashKeep is how long a bounce can be undone when nothing else is said.
const trashKeep = time.Hour

// TrashStays is the Config.TrashKeep of those who own a spool for a moment only and do not know what its policy wants:
// they leave it to the next daemon to empty the trash for its age.
const TrashStays = 100 * 365 * 24 * time.Hour

// earlyTrash is how long room has to become free after one order's trash was emptied for want of it, before the next
// order's is: segments are deleted two seconds after nothing in them is needed.
const earlyTrash = 5 * time.Second

// noTrash reports that a bounce is to end its messages at once.
func (s *Spool) noTrash() bool {
	return s.cfg.TrashKeep < 0 || s.short.Load() || s.health.full.Load()
}

// NoTrash reports that a ChangeTrash would end its messages at once: room is short, or the spool has no trash.
func (s *Spool) NoTrash() bool { return s.noTrash() }

// emptyTrash ends what was bounced so long ago that it cannot be undone any more, and where room is short, what the
// oldest order bounced.
func (s *Spool) emptyTrash(ctx context.Context) {
	if s.noted() {
		return // the records of what is in the trash are yet to be written, and they are about messages that are there
	}
	now := s.cfg.Now()
	last := now.Add(-s.cfg.TrashKeep).UnixNano()
	s.emptyMarks(ctx, s.marks.which(func(is segment.Standing) bool {
		// A time further in the future than a bounce is kept comes from a clock that was set back since; it must not keep
		// its mail for ever. One that is nearer may do so: a clock that is corrected by seconds takes no undo away.
		return is.Trash != "" && (is.TrashedAt+s.marks.grain <= last || is.TrashedAt > now.Add(s.cfg.TrashKeep).UnixNano())
	}))
	if (s.short.Load() || s.health.full.Load()) && time.Since(s.emptied) >= earlyTrash {
		if order := s.marks.oldestTrash(); order != "" {
			s.emptied = time.Now()
			n := s.emptyMarks(ctx, s.marks.which(func(is segment.Standing) bool { return is.Trash == order }))
			s.log.Warn("spool: room is short: the trash of an order was emptied early", "order", order, "messages", n)
		}
	}
	s.endBounces(now)
}

// emptyMarks ends the trashed messages that have one of the marks.
func (s *Spool) emptyMarks(ctx context.Context, of map[uint32]bool) (n int) {
	if len(of) == 0 {
		return 0
	}
	fits := func(e *entry) bool { return e.state() == Trashed && of[e.markNumber()] }
	err := s.pages(ctx, fits, func(ids []message.ID) error {
		a, err := s.apply(ctx, step{order: trashOrder, change: ChangeEnd, ids: ids, fits: fits})
		n += len(a.Done)
		return err
	})
	if err != nil && !errors.Is(err, ErrClosed) && ctx.Err() == nil {
		s.log.Warn("spool: the trash cannot be emptied", "error", err)
	}
	return n
}

// trashOrder names the end of trashed mail in applied records, which is no order of anybody.
const trashOrder = "trash"

// endBounces ends the bounces of which nothing is left: their trash is empty, and they take no more mail.
func (s *Spool) endBounces(now time.Time) {
	for _, o := range s.Standing() {
		if o.Kind != OrderBounce || now.Sub(o.Created) < s.cfg.TrashKeep {
			continue
		}
		c, _, err := o.Command()
		if err == nil && !c.Expires.IsZero() && now.Before(c.Expires) {
			continue
		}
		left := s.marks.which(func(is segment.Standing) bool { return is.Trash == o.ID })
		if len(left) == 0 {
			s.EndOrder(o.ID)
		}
	}
}

// oldestTrash is the order that bounced the message that is in the trash for longest, "" if it is empty.
func (m *marks) oldestTrash() string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var oldest segment.Standing
	for i := range m.slots {
		is := m.slots[i].is
		if is.Trash != "" && (oldest.Trash == "" || is.TrashedAt < oldest.TrashedAt) {
			oldest = is
		}
	}
	return oldest.Trash
}
