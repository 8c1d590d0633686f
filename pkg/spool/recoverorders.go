package spool

import (
	"encoding/json"
	"slices"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// applyOrder replays the records of orders that act on messages.
func (r *replayer) applyOrder(rec segment.Record) error {
	switch rec.Kind {
	case segment.Order:
		return r.order(rec)
	case segment.OrderOver:
		return r.orderOver(rec)
	case segment.Applied:
		return r.applied(rec)
	case segment.Note:
		r.dropNote(rec.ID) // a copy of it stands earlier
		r.notes = append(r.notes, note{id: rec.ID, seg: r.cur, off: rec.Off, head: rec.Head})
		r.segs.hold(r.cur, 1)
	case segment.NotesDone:
		ids, err := segment.DecodeNotesDone(rec.Data)
		for _, id := range ids {
			r.dropNote(id)
		}
		return err
	}
	return nil
}

func (r *replayer) dropNote(id message.ID) {
	if i := slices.IndexFunc(r.notes, func(n note) bool { return n.id == id }); i >= 0 {
		r.segs.hold(r.notes[i].seg, -1)
		r.notes = slices.Delete(r.notes, i, i+1)
	}
}

func (r *replayer) order(rec segment.Record) error {
	var h segment.OrderHead
	if err := h.Decode(rec.Data); err != nil {
		return err
	}
	if old := r.standing[h.ID]; old != nil {
		r.segs.hold(old.seg, -1)
	}
	r.standing[h.ID] = &standing{seg: r.cur, order: Order{
		ID: h.ID, Kind: h.Kind, Created: fromNanos(h.Created), Author: h.Author, Payload: json.RawMessage(h.Payload),
		State: OrderWaiting,
	}}
	r.segs.hold(r.cur, 1)
	return nil
}

func (r *replayer) orderOver(rec segment.Record) error {
	id, err := segment.DecodeOrderOver(rec.Data)
	if err != nil {
		return err
	}
	if old := r.standing[id]; old != nil {
		r.segs.hold(old.seg, -1)
		delete(r.standing, id)
	} else if r.over != nil {
		r.over(id)
	}
	return nil
}

// applied replays a change. Those that it names were in a state that allowed it.
func (r *replayer) applied(rec segment.Record) error {
	var a segment.AppliedHead
	if err := a.Decode(rec.Data); err != nil {
		return err
	}
	for _, id := range a.IDs {
		if err := r.appliedTo(id, &a); err != nil {
			return err
		}
	}
	return nil
}

func (r *replayer) appliedTo(id message.ID, a *segment.AppliedHead) error {
	if Change(a.Change) == ChangeEnd {
		r.end(id)
		return nil
	}
	shard, h := r.table.lock(id)
	defer shard.Unlock()
	e := shard.get(id, h)
	if e == nil {
		if r.orphanApplied != nil {
			r.orphanApplied(id, a)
		}
		return nil
	}
	return r.marks.apply(e, a)
}
