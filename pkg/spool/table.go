package spool

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// entry is what memory keeps of a live message: 64 bytes without a pointer, so that a million of them cost the
// garbage collector nothing. Files are named by segment number, queues by their number in names.
type entry struct {
	id       message.ID
	created  int64  // nanoseconds since 1970
	due      int64  // nanoseconds since 1970, 0 is now
	seg      uint32 // of the accept record
	off      uint32
	size     uint32 // of the body
	upSeg    uint32 // of the latest update record; 0 when there is none
	upOff    uint32
	queue    uint32
	attempts uint16
	flags    uint8
	pending  uint8    // updates that are not written yet
	hint     uint8    // length of the accept record's envelope, see headHint
	mark     [3]uint8 // number in marks of the orders that the message obeys, 0 for none
}

const (
	flagIndexed uint8 = 1 << iota // the index has a row
	flagShared                    // the body stands with another record of the segment
	flagTaken                     // in somebody's hands
	flagHeld                      // OnHold, or Trashed and OnHold before
	flagTrashed                   // Trashed
	flagMoving                    // the record of a change that Apply makes is on its way to the disk
)

// hintUnit is the unit of entry.hint in bytes.
const hintUnit = 64

// headHint says how long a head of n bytes is at most, in hintUnits; 255 for all that are longer than it can say. It
// saves the reader of a record a second read.
func headHint(n uint32) uint8 { return uint8(min((n+hintUnit-1)/hintUnit, 255)) }

// head is the length of the accept record's envelope, or a little more, or less than it when the hint is 255.
func (e *entry) head() uint32 { return uint32(e.hint) * hintUnit }

// weight is about how many bytes of its segment the message needs.
func (e *entry) weight() int64 {
	w := segment.FrameSize + int64(e.head())
	if e.flags&flagShared == 0 {
		w += int64(e.size)
	}
	return w
}

// state is where the message stands.
func (e *entry) state() State {
	switch {
	case e.flags&flagTrashed != 0:
		return Trashed
	case e.flags&flagHeld != 0:
		return OnHold
	case e.flags&flagTaken != 0:
		return Taken
	}
	return Scheduled
}

func (e *entry) markNumber() uint32 {
	return uint32(e.mark[0]) | uint32(e.mark[1])<<8 | uint32(e.mark[2])<<16
}

func (e *entry) setMark(n uint32) { e.mark = [3]uint8{uint8(n), uint8(n >> 8), uint8(n >> 16)} }

const (
	shards    = 64
	chunkSize = 128 // entries
)

// A slot is the number of an entry, plus one, and above it 8 bits of the hash of its id, so that nearly all slots that
// are not the one looked for are passed without a look at their entry. 64 shards have numbers for a billion messages.
const (
	tagShift = 24
	slotMask = 1<<tagShift - 1
)

func tag(h uint64) uint32 { return uint32(h>>40) << tagShift }

// table finds entries by id: dense chunks of entries, and in front of them an open-addressed array of their numbers.
type table struct {
	shard [shards]tableShard
}

type tableShard struct {
	sync.Mutex
	slots  []uint32 // 0 is empty
	count  int
	chunks []*[chunkSize]entry
	used   uint32   // entries handed out from chunks
	free   []uint32 // numbers of entries given back
	_      [40]byte // keeps neighbours off one cache line
}

func hash(id message.ID) uint64 {
	h := binary.LittleEndian.Uint64(id[:8])*0x9e3779b97f4a7c15 ^ binary.LittleEndian.Uint64(id[8:])
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

// lock returns the shard of id, locked, and the hash to use with it.
func (t *table) lock(id message.ID) (*tableShard, uint64) {
	h := hash(id)
	s := &t.shard[h%shards]
	s.Lock()
	return s, h / shards
}

func (s *tableShard) at(n uint32) *entry { return &s.chunks[n/chunkSize][n%chunkSize] }

// get returns the entry of id, nil if there is none. It may be used until the shard is unlocked.
func (s *tableShard) get(id message.ID, h uint64) *entry {
	if s.count == 0 {
		return nil
	}
	mask, tag := uint64(len(s.slots)-1), tag(h)
	for i := h & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if v := s.slots[i]; v&^slotMask == tag {
			if e := s.at(v&slotMask - 1); e.id == id {
				return e
			}
		}
	}
	return nil
}

// put adds e, whose id must not be there.
func (s *tableShard) put(e entry, h uint64) {
	if (s.count+1)*4 > len(s.slots)*3 {
		s.grow(max(16, len(s.slots)*2))
	}
	n := s.take()
	*s.at(n) = e
	s.place(n, h)
	s.count++
}

func (s *tableShard) take() uint32 {
	if k := len(s.free); k > 0 {
		n := s.free[k-1]
		s.free = s.free[:k-1]
		return n
	}
	if int(s.used) == len(s.chunks)*chunkSize {
		s.chunks = append(s.chunks, new([chunkSize]entry))
	}
	s.used++
	return s.used - 1
}

func (s *tableShard) place(n uint32, h uint64) {
	mask := uint64(len(s.slots) - 1)
	i := h & mask
	for s.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = (n + 1) | tag(h)
}

func (s *tableShard) grow(size int) {
	old := s.slots
	s.slots = make([]uint32, size)
	for _, v := range old {
		if n := v & slotMask; n != 0 {
			s.place(n-1, hash(s.at(n-1).id)/shards)
		}
	}
}

// remove takes the entry of id out and returns it.
func (s *tableShard) remove(id message.ID, h uint64) (entry, bool) {
	if s.count == 0 {
		return entry{}, false
	}
	mask, tag := uint64(len(s.slots)-1), tag(h)
	i := h & mask
	for ; ; i = (i + 1) & mask {
		v := s.slots[i]
		if v == 0 {
			return entry{}, false
		}
		if v&^slotMask == tag && s.at(v&slotMask-1).id == id {
			break
		}
	}
	n := s.slots[i]&slotMask - 1
	e := *s.at(n)
	*s.at(n) = entry{}
	s.count--
	s.close(i, mask)
	s.give(n)
	return e, true
}

// close fills the gap at i by moving back those that follow it and are not in their own place.
func (s *tableShard) close(i, mask uint64) {
	for j := (i + 1) & mask; s.slots[j] != 0; j = (j + 1) & mask {
		home := hash(s.at(s.slots[j]&slotMask-1).id) / shards & mask
		if (j-home)&mask >= (j-i)&mask {
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = 0
}

// give makes n available again; an empty shard gives all its memory back.
func (s *tableShard) give(n uint32) {
	if s.count > 0 || len(s.chunks) <= 1 {
		s.free = append(s.free, n)
		return
	}
	s.slots, s.chunks, s.free, s.used = nil, nil, nil, 0
}

// each calls f for every entry of the table. f sees copies and runs without a lock; entries that come or go
// meanwhile may or may not be seen.
func (t *table) each(f func(entry) bool) { t.share(0, 1, f) }

// share is each for a part of the shards.
func (t *table) share(part, parts int, f func(entry) bool) {
	var page []entry
	for i := part; i < shards; i += parts {
		s := &t.shard[i]
		for n := 0; ; n++ {
			s.Lock()
			if n >= len(s.chunks) {
				s.Unlock()
				break
			}
			page = append(page[:0], s.chunks[n][:]...)
			s.Unlock()
			for _, e := range page {
				if !e.id.IsZero() && !f(e) {
					return
				}
			}
		}
	}
}

// in lists the messages whose accept records stand in segment seg, in their sequence there.
func (t *table) in(seg uint32) []message.ID {
	type found struct {
		off uint32
		id  message.ID
	}
	var all []found
	t.each(func(e entry) bool {
		if e.seg == seg {
			all = append(all, found{e.off, e.id})
		}
		return true
	})
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.off, b.off) })
	ids := make([]message.ID, len(all))
	for i := range all {
		ids[i] = all[i].id
	}
	return ids
}

func (t *table) len() int {
	n := 0
	for i := range t.shard {
		t.shard[i].Lock()
		n += t.shard[i].count
		t.shard[i].Unlock()
	}
	return n
}

// names numbers queue names, so that entries need no strings. Names are never forgotten: there are as many as
// there were queues since the start.
type names struct {
	mu     sync.RWMutex
	number map[string]uint32
	name   []string
}

func (n *names) intern(s string) uint32 {
	n.mu.RLock()
	k, ok := n.number[s]
	n.mu.RUnlock()
	if ok {
		return k
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if k, ok := n.number[s]; ok {
		return k
	}
	if n.number == nil {
		n.number = make(map[string]uint32)
	}
	k = uint32(len(n.name))
	n.name = append(n.name, s)
	n.number[s] = k
	return k
}

func (n *names) get(k uint32) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.name[k]
}

// internBytes is intern without a string for names that are known.
func (n *names) internBytes(b []byte) uint32 {
	n.mu.RLock()
	k, ok := n.number[string(b)]
	n.mu.RUnlock()
	if ok {
		return k
	}
	return n.intern(string(b))
}
