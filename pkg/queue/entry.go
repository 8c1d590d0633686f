package queue

import "kumo/pkg/message"

// entry is one scheduled message: all that the room keeps of it while it waits. It holds no pointers, so that a
// million of them are one block of memory that the garbage collector does not look into.
type entry struct {
	id       message.ID
	due      int64 // next try, in nanoseconds since Queues.base (monotonic)
	created  int64 // reception, on the same scale; negative for what was received before this process started
	attempts int32
	stamp    Stamp // of the due time that the store has
}

// entryHeap is a binary heap of entries with the earliest due first.
type entryHeap []entry

func (h *entryHeap) push(e entry) {
	*h = append(*h, e)
	s := *h
	i := len(s) - 1
	for i > 0 {
		p := (i - 1) / 2
		if s[p].due <= e.due {
			break
		}
		s[i] = s[p]
		i = p
	}
	s[i] = e
}

// pop takes the entry with the earliest due. The heap must not be empty.
func (h *entryHeap) pop() entry {
	s := *h
	top := s[0]
	last := len(s) - 1
	e := s[last]
	*h = s[:last]
	if last > 0 {
		(*h).down(0, e)
	}
	h.shrink()
	return top
}

// down puts e where it belongs in the subtree of i, whose root is free.
func (h entryHeap) down(i int, e entry) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1].due < h[c].due {
			c++
		}
		if e.due <= h[c].due {
			break
		}
		h[i] = h[c]
		i = c
	}
	h[i] = e
}

// init makes a heap of entries in any order.
func (h entryHeap) init() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i, h[i])
	}
}

// shrink gives memory back when a queue that was long has drained.
func (h *entryHeap) shrink() {
	if c := cap(*h); c >= 1024 && len(*h) <= c/4 {
		*h = append(make(entryHeap, 0, c/2), *h...)
	}
}
