package spool

import (
	"slices"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// openOrder is an order of which messages but not yet the completion were read.
type openOrder struct {
	count  uint32
	seg    uint32
	ids    []message.ID // of accept records
	listed []message.ID // by an order-done record, nil when there was none
}

// member notes a message of an order. An order whose messages are all there is complete even without its
// order-done record: that one is damaged then.
func (r *replayer) member(order string, id message.ID, count uint32) {
	o := r.open[order]
	if o == nil {
		o = &openOrder{}
		r.open[order] = o
	}
	o.count, o.seg = count, r.cur
	o.ids = append(o.ids, id)
}

// orderDone completes an order if all of its messages are there. They need not be: of a batch that was never
// synced a disk can keep the end and lose the begin. Messages of an earlier try that was cut short are not part of it.
func (r *replayer) orderDone(rec segment.Record) error {
	order, ids, result, err := segment.DecodeOrderDone(rec.Data)
	if err != nil {
		return err
	}
	if result == keptOrder {
		r.complete(order, ids, r.cur)
		return nil
	}
	o := r.open[order]
	if o == nil {
		o = &openOrder{}
		r.open[order] = o
	}
	o.count, o.listed = uint32(len(ids)), ids
	for _, id := range o.listed {
		if !slices.Contains(o.ids, id) {
			return nil // settle decides
		}
	}
	for _, id := range o.ids {
		if !slices.Contains(o.listed, id) {
			r.end(id)
			r.found.Undone++
		}
	}
	r.complete(order, o.listed, r.cur)
	return nil
}

// complete notes that order is done, which is known from segment seg.
func (r *replayer) complete(order string, ids []message.ID, seg uint32) {
	delete(r.open, order)
	if old := r.done[order]; old != nil {
		r.segs.hold(old.seg, -1)
	}
	r.done[order] = &doneOrder{ids: ids, seg: seg}
	r.segs.hold(seg, 1)
}

// undo takes a message that was dropped by an earlier recovery out of its order.
func (r *replayer) undo(id message.ID) {
	for _, o := range r.open {
		if i := slices.Index(o.ids, id); i >= 0 {
			o.ids = slices.Delete(o.ids, i, i+1)
			return
		}
	}
}

// settle decides about the orders that were not completed: one whose messages are all there is done, its
// order-done record is damaged; one that was finished according to orders.db keeps what is there; all others are
// dropped, to be carried out again. It returns the messages to be dropped.
func (r *replayer) settle() []message.ID {
	var drop []message.ID
	for order, o := range r.open {
		switch {
		case o.listed == nil && len(o.ids) >= int(o.count):
			r.complete(order, o.ids, o.seg)
		case r.isDone != nil && r.isDone(order):
		default:
			drop = append(drop, o.ids...)
		}
	}
	for _, id := range drop {
		r.end(id)
	}
	r.found.Undone += len(drop)
	return drop
}
