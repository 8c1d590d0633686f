package queue

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"kumo/pkg/message"
)

// maxClaims bounds how many messages orders wait for that deliveries have in hand.
const maxClaims = 100_000

// claims are the orders that wait for messages which somebody has in hand: if they come back, they obey. It costs
// nothing while there are none.
type claims struct {
	n  atomic.Int64 // messages
	mu sync.Mutex
	of map[message.ID][]*Order
}

// add claims messages.
func (c *claims) add(order *Order, ids []message.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[message.ID][]*Order)
	}
	for _, id := range ids {
		if len(c.of) < maxClaims || c.of[id] != nil {
			c.of[id] = append(c.of[id], order)
		}
	}
	c.n.Store(int64(len(c.of)))
}

// keep gives up the order's claims on those of ids that are not busy.
func (c *claims) keep(order string, ids, busy []message.ID) {
	still := make(map[message.ID]struct{}, len(busy))
	for _, id := range busy {
		still[id] = struct{}{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if _, ok := still[id]; !ok {
			c.drop(id, order)
		}
	}
	c.n.Store(int64(len(c.of)))
}

// drop gives up one claim. Called with mu held.
func (c *claims) drop(id message.ID, order string) {
	left := slices.DeleteFunc(c.of[id], func(o *Order) bool { return o.ID == order })
	if len(left) == 0 {
		delete(c.of, id)
	} else {
		c.of[id] = left
	}
}

// cancel gives up all claims of an order.
func (c *claims) cancel(order string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.of {
		c.drop(id, order)
	}
	c.n.Store(int64(len(c.of)))
}

// waits reports whether the order waits for messages.
func (c *claims) waits(order string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, all := range c.of {
		if slices.ContainsFunc(all, func(o *Order) bool { return o.ID == order }) {
			return true
		}
	}
	return false
}

// take ends the claims on a message and returns the orders, the earliest first.
func (c *claims) take(id message.ID) []*Order {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.of[id]
	delete(c.of, id)
	c.n.Store(int64(len(c.of)))
	return all
}

// claimed has a message that has come back, and that has no entry yet, obey the orders that waited for it.
func (o *Orders) claimed(id message.ID) {
	if o.claims.n.Load() == 0 {
		return
	}
	orders := o.claims.take(id)
	if len(orders) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, order := range orders {
		if _, _, err := o.locked(context.Background(), order, o.now(), []message.ID{id}); err != nil {
			o.log.Error("a message that came back does not obey an order", "id", id.String(), "order", order.ID, "error", err)
		}
	}
}
