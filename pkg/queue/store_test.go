package queue

import (
	"context"
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
	Broken  bool // changes fail
	NoTrash bool // what is bounced ends at once

	mu       sync.Mutex
	rows     map[message.ID]*FakeRow
	ended    map[message.ID]int
	faults   []string
	standing []*Order
	notes    [][]byte
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

// Left is how many messages have not ended; TimesEnded how often a message did.
func (f *FakeStore) Left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.rows)
}

func (f *FakeStore) TimesEnded(id message.ID) int {
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

// What orders want of a store: FakeStore is a Ledger, too.

func (f *FakeStore) Begin(_ context.Context, o *Order) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.ContainsFunc(f.standing, func(s *Order) bool { return s.ID == o.ID }) {
		f.standing = append(f.standing, o)
	}
	return nil
}

func (f *FakeStore) Over(order string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.standing = slices.DeleteFunc(f.standing, func(s *Order) bool { return s.ID == order })
}

func (f *FakeStore) Standing() []*Order {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.standing)
}

func (f *FakeStore) Change(ctx context.Context, order string, c Change, due time.Time, ids []message.ID) (done, taken []message.ID, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Broken {
		return nil, nil, errors.New("the disk is broken")
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if c == ChangeTrash && f.NoTrash {
		c = ChangeEnd
	}
	for _, id := range ids {
		r := f.rows[id]
		switch {
		case r == nil:
		case f.apply(r, order, c, due):
			done = append(done, id)
		case r.Place == Taken:
			taken = append(taken, id)
		}
	}
	return done, taken, nil
}

func (f *FakeStore) apply(r *FakeRow, order string, c Change, due time.Time) bool {
	from := map[Change][]Place{
		ChangeDue: {Waiting}, ChangeHold: {Waiting}, ChangeRelease: {Held}, ChangeTrash: {Waiting, Held},
		ChangeRestore: {Trashed}, ChangeEnd: {Waiting, Held, Trashed},
	}
	if !slices.Contains(from[c], r.Place) {
		return false
	}
	switch c {
	case ChangeDue:
		r.Msg.Due = due
	case ChangeHold:
		r.Place, r.Order = Held, order
	case ChangeRelease:
		r.Place, r.Order = Waiting, ""
	case ChangeTrash:
		r.Before, r.Held = r.Place, r.Order
		r.Place, r.Order = Trashed, order
	case ChangeRestore:
		r.Place, r.Order = r.Before, r.Held
	case ChangeEnd:
		f.ended[r.Msg.ID]++
		delete(f.rows, r.Msg.ID)
	}
	return true
}

func (f *FakeStore) OfOrder(_ context.Context, order string, page func([]message.ID) error) error {
	f.mu.Lock()
	var ids []message.ID
	for id, r := range f.rows {
		if r.Order == order {
			ids = append(ids, id)
		}
	}
	f.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	return page(sorted(ids))
}

func sorted(ids []message.ID) []message.ID {
	slices.SortFunc(ids, func(a, b message.ID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

func (f *FakeStore) Load(id message.ID) (*message.Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rows[id]
	if r == nil {
		return nil, fs.ErrNotExist
	}
	m := stored(&r.Msg)
	return &m, nil
}

func (f *FakeStore) Flush() error { return nil }

func (f *FakeStore) AddNotes(_ context.Context, notes ...[]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes = append(f.notes, notes...)
	return nil
}

func (f *FakeStore) Notes() ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.notes), nil
}

func (f *FakeStore) DropNotes() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes = nil
}

func (f *FakeStore) Ends() bool { return f.NoTrash }

// Match is the match of an order: the messages that fits picks, but for those in the trash.
func (f *FakeStore) Match(fits func(*FakeRow) bool) func(context.Context, func([]message.ID) error) error {
	return func(_ context.Context, page func([]message.ID) error) error {
		f.mu.Lock()
		var ids []message.ID
		for id, r := range f.rows {
			if r.Place != Trashed && fits(r) {
				ids = append(ids, id)
			}
		}
		f.mu.Unlock()
		for part := range slices.Chunk(sorted(ids), 10_000) {
			if err := page(part); err != nil {
				return err
			}
		}
		return nil
	}
}

// release is what a restart makes of messages that were in somebody's hands.
func (f *FakeStore) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rows {
		if r.Place == Taken {
			r.Place = Waiting
		}
	}
}
