package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/message"
)

// FakeStore is a store in memory that knows where its messages are, as the spool does, and notes what must not happen.
type FakeStore struct {
	mu     sync.Mutex
	rows   map[message.ID]*FakeRow
	ended  map[message.ID]int
	faults []string
}

// FakeRow is a message of a FakeStore.
type FakeRow struct {
	Msg    message.Message
	Place  Place
	Order  string
	Before Place  // what it was before it was trashed
	Held   string // by which order
}

func NewFakeStore() *FakeStore {
	return &FakeStore{rows: map[message.ID]*FakeRow{}, ended: map[message.ID]int{}}
}

// fault notes what must not happen. Called with mu held.
func (f *FakeStore) fault(format string, args ...any) {
	if len(f.faults) < 10 {
		f.faults = append(f.faults, fmt.Sprintf(format, args...))
	}
}

// Faults are what went wrong.
func (f *FakeStore) Faults() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.faults)
}

// Put stores a message that is in the caller's hands, as Accept does.
func (f *FakeStore) Put(m *message.Message, p Place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows[m.ID] = &FakeRow{Msg: stored(m), Place: p}
}

func stored(m *message.Message) message.Message {
	c := *m
	c.Created, c.Due = c.Created.Round(0), c.Due.Round(0)
	c.Recipients = slices.Clone(c.Recipients)
	c.Meta = c.Meta.Clone()
	return c
}

// Row is a message that has not ended; nil for one that has.
func (f *FakeStore) Row(id message.ID) *FakeRow {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.rows[id]; r != nil {
		c := *r
		return &c
	}
	return nil
}

// Left is how many messages have not ended; Ends how often each did.
func (f *FakeStore) Left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.rows)
}

func (f *FakeStore) Ends(id message.ID) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended[id]
}

// Ended is how many messages ended, and how many of them more than once.
func (f *FakeStore) Ended() (ended, twice int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.ended {
		if n > 1 {
			twice++
		}
	}
	return len(f.ended), twice
}

// Forget removes a message that somebody else has ended.
func (f *FakeStore) Forget(id message.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.rows, id)
}

// taken is a message that must be in the caller's hands. Called with mu held.
func (f *FakeStore) taken(id message.ID, doing string) (*FakeRow, error) {
	r := f.rows[id]
	if r == nil {
		f.fault("%s of %s, which has ended", doing, id)
		return nil, errors.New("not stored")
	}
	if r.Place != Taken {
		f.fault("%s of %s, which is not taken but %d", doing, id, r.Place)
	}
	return r, nil
}

func (f *FakeStore) Update(m *message.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, err := f.taken(m.ID, "update")
	if err == nil {
		r.Msg, r.Place = stored(m), Waiting
	}
	return err
}

func (f *FakeStore) Reschedule(id message.ID, due time.Time, attempts int, response string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, err := f.taken(id, "reschedule")
	if err == nil {
		r.Msg.Due, r.Msg.Attempts, r.Msg.LastResponse, r.Place = due.Round(0), attempts, response, Waiting
	}
	return err
}

func (f *FakeStore) End(id message.ID, _ journal.Type) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.taken(id, "end")
	f.ended[id]++
	delete(f.rows, id)
	return err
}

func (f *FakeStore) Take(id message.ID, stamp Stamp) (*message.Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rows[id]
	if r == nil || r.Place != Waiting || StampOf(r.Msg.Due) != stamp {
		return nil, fs.ErrNotExist
	}
	r.Place = Taken
	m := stored(&r.Msg)
	return &m, nil
}

func (f *FakeStore) Give(id message.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.rows[id]; r != nil && r.Place == Taken {
		r.Place = Waiting
	}
}

func (f *FakeStore) Lookup(id message.ID) (Entry, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rows[id]
	if r == nil {
		return Entry{}, false
	}
	m := &r.Msg
	return Entry{ID: id, Queue: m.Queue, Created: m.Created, Due: m.Due, Attempts: m.Attempts, Place: r.Place, Order: r.Order}, true
}

func (f *FakeStore) Shelve(id message.ID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.rows[id]; r != nil && r.Place == Waiting {
		r.Place, r.Order = Held, "damaged"
	}
	return nil
}
