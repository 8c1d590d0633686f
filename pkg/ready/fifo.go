package ready

import "kumo/pkg/message"

// item is a message that waits to be sent.
type item struct {
	m     *message.Message
	since int64 // when it was offered, in nanoseconds since Queues.base
	told  int64 // up to when m.Spent tells of its wait here; 0: nothing yet
}

// fifo is a ring of items. It grows as needed; the line bounds it.
type fifo struct {
	ring []item // its length is a power of two
	head int
	n    int
}

const smallRing = 16

func (f *fifo) push(it item) {
	f.grow()
	f.ring[(f.head+f.n)&(len(f.ring)-1)] = it
	f.n++
}

// unpop puts an item back to where pop took it from.
func (f *fifo) unpop(it item) {
	f.grow()
	f.head = (f.head - 1) & (len(f.ring) - 1)
	f.ring[f.head] = it
	f.n++
}

// pop takes the first item. There must be one.
func (f *fifo) pop() item {
	it := f.ring[f.head]
	f.ring[f.head] = item{}
	f.head = (f.head + 1) & (len(f.ring) - 1)
	f.n--
	if f.n == 0 && len(f.ring) > 64*smallRing {
		f.ring, f.head = nil, 0
	}
	return it
}

// popLast takes the last item. There must be one.
func (f *fifo) popLast() item {
	f.n--
	at := (f.head + f.n) & (len(f.ring) - 1)
	it := f.ring[at]
	f.ring[at] = item{}
	return it
}

// first is the item that pop would take.
func (f *fifo) first() item { return f.ring[f.head] }

// all takes everything.
func (f *fifo) all() []item {
	out := make([]item, 0, f.n)
	for f.n > 0 {
		out = append(out, f.pop())
	}
	return out
}

func (f *fifo) grow() {
	if f.n < len(f.ring) {
		return
	}
	ring := make([]item, max(2*len(f.ring), smallRing))
	for i := range f.n {
		ring[i] = f.ring[(f.head+i)&(len(f.ring)-1)]
	}
	f.ring, f.head = ring, 0
}
