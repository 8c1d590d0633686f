package listener

import (
	"math/bits"
	"sync"
)

// bufferPool keeps buffers of powers of two for messages on their way in. The least size is the option
// data_buffer_size, rounded up.
type bufferPool struct {
	least   int
	memory  Memory // nil: no bound
	classes [31]sync.Pool
}

func newBufferPool(least int64) *bufferPool {
	return &bufferPool{least: 1 << bits.Len64(uint64(min(max(least, 2*smallBuffer), 1<<24)-1))}
}

// get is a buffer of at least n bytes; its content is arbitrary. It is nil when there is no memory for it.
func (p *bufferPool) get(n int) []byte {
	class := bits.Len(uint(max(n, p.least) - 1))
	if p.memory != nil && !p.memory.Take(1<<class) {
		return nil
	}
	if class < len(p.classes) {
		if b, ok := p.classes[class].Get().(*[]byte); ok {
			return *b
		}
	}
	return make([]byte, 1<<class)
}

func (p *bufferPool) put(b []byte) {
	if p.memory != nil {
		p.memory.Give(len(b))
	}
	if class := bits.Len(uint(len(b) - 1)); class < len(p.classes) {
		p.classes[class].Put(&b)
	}
}
