package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Order is what rows are sorted by.
type Order string

// The orders. Each begins with what an operator wants to see first.
const (
	ByDepth Order = "depth" // most messages first; most tries first among messages
	ByAge   Order = "age"   // oldest first
	ByNext  Order = "next"  // next try soonest first
	ByName  Order = "name"  // by the alphabet
)

// Orders are all of them, in the order in which a key goes through them.
func Orders() []Order { return []Order{ByDepth, ByAge, ByNext, ByName} }

// ParseOrder reads the name of an order.
func ParseOrder(s string) (Order, error) {
	if o := Order(s); slices.Contains(Orders(), o) {
		return o, nil
	}
	return "", fmt.Errorf("order %q: want depth, age, next or name", s)
}

func (o Order) following() Order {
	all := Orders()
	return all[(slices.Index(all, o)+1)%len(all)]
}

// Arrange keeps the queues whose name has the filter in it, whatever its case, and sorts them.
func Arrange(queues []Queue, by Order, reverse bool, filter string) []Queue {
	out := make([]Queue, 0, len(queues))
	for _, q := range queues {
		if has(q.Name, filter) {
			out = append(out, q)
		}
	}
	arrange(out, reverse, func(a, b Queue) int { return cmp.Compare(a.Name, b.Name) }, func(a, b Queue) int {
		switch by {
		case ByDepth:
			return cmp.Compare(b.Messages, a.Messages)
		case ByAge:
			return compareTimes(a.Oldest, b.Oldest)
		case ByNext:
			return compareTimes(a.NextDue, b.NextDue)
		}
		return 0
	})
	return out
}

// arrangeMessages does the same with messages; the filter looks at ids, recipients and answers.
func arrangeMessages(all []Message, by Order, reverse bool, filter string) []Message {
	out := make([]Message, 0, len(all))
	for _, m := range all {
		if has(m.ID, filter) || has(m.Last, filter) || slices.ContainsFunc(m.Recipients, func(r string) bool { return has(r, filter) }) {
			out = append(out, m)
		}
	}
	arrange(out, reverse, func(a, b Message) int { return cmp.Compare(a.ID, b.ID) }, func(a, b Message) int {
		switch by {
		case ByDepth:
			return cmp.Compare(b.Attempts, a.Attempts)
		case ByAge:
			return compareTimes(a.Created, b.Created)
		case ByNext:
			return compareTimes(a.Due, b.Due)
		}
		return slices.Compare(a.Recipients, b.Recipients)
	})
	return out
}

// arrange sorts by order, and by name where that says nothing.
func arrange[T any](rows []T, reverse bool, name, order func(a, b T) int) {
	slices.SortFunc(rows, func(a, b T) int {
		c := order(a, b)
		if c == 0 {
			c = name(a, b)
		}
		if reverse {
			return -c
		}
		return c
	})
}

func compareTimes(a, b time.Time) int { return a.Compare(b) }

func has(s, filter string) bool {
	return filter == "" || strings.Contains(strings.ToLower(s), strings.ToLower(filter))
}
