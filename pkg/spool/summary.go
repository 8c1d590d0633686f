package spool

import (
	"cmp"
	"slices"
)

// addQueue counts n messages into the sum of queue name.
func addQueue(sums map[string]*QueueRow, name string, n int, size, created, due int64) {
	q := sums[name]
	if q == nil {
		sums[name] = &QueueRow{Queue: name, Messages: n, Bytes: size, Oldest: fromNanos(created), NextDue: fromNanos(due)}
		return
	}
	q.Messages += n
	q.Bytes += size
	if created < nanos(q.Oldest) {
		q.Oldest = fromNanos(created)
	}
	if due < nanos(q.NextDue) {
		q.NextDue = fromNanos(due)
	}
}

func sortQueues(sums map[string]*QueueRow) []QueueRow {
	out := make([]QueueRow, 0, len(sums))
	for _, q := range sums {
		out = append(out, *q)
	}
	slices.SortFunc(out, func(a, b QueueRow) int { return cmp.Compare(a.Queue, b.Queue) })
	return out
}
