package torture

import (
	"fmt"
	"slices"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// standing is where a message stands, as far as the disk is concerned.
type standing struct {
	gone     bool // not accepted, or ended
	due      int64
	attempts int
	env      int // which of the letter's envelopes
	last     string
	state    spool.State // Scheduled, OnHold or Trashed
	order    string      // that holds or trashed it
	held     string      // the order that held it before it was trashed
	since    int64       // when it was trashed, nanoseconds since 1970
}

// change is a record that may or may not have reached the disk.
type change struct {
	make func(standing) standing
	// The spool refused it, but its disk could not even disown it: it may be there after a crash, and nowhere else.
	doubt bool
}

// letter is one message of the model.
type letter struct {
	id      message.ID
	body    []byte
	created time.Time
	envs    []envelope
	group   int   // of letters that were accepted together, and can share a body
	steps   []int // of orders, that changed it
	taken   bool  // in the hands of the driver
	overdue int64 // when it was trashed, if its time in the trash was over since
	broken  bool  // its bytes were damaged: it can be ended and nothing else

	now     standing // as the running spool has it
	sure    standing // as the disk has it for certain
	pending []change // what may have reached the disk since
	ever    []change // all that was, for disks that lose what they had
	story   []string // what happened to it, for people
}

// envelope is what an update replaces.
type envelope struct {
	sender     string
	recipients []string
	queue      string
	meta       map[string]any
	history    []message.Try
}

// model is what the driver knows of everything that it gave to the spool.
type model struct {
	letters map[message.ID]*letter
	ids     []message.ID // in the order of their coming
	orders  map[string]*group
	names   []string // of orders, in the order of their coming
	groups  int
	steps   int
	rules   map[string]*rule // orders that were begun
	notes   notes
	refused map[message.ID]bool // Accept failed although the disk was on: they must never be there
}

// group is an order that brings messages in.
type group struct {
	told  bool // Accept answered, or said that it was done before
	maybe bool // Accept failed and the power was off
	gone  bool // the log was told to forget it
	left  bool // it waits in orders.db for whoever carries it out, who makes the log forget it
	ids   []message.ID
}

// rule is an order that was begun and may last.
type rule struct {
	order  spool.Order
	sure   bool // BeginOrder answered
	maybe  bool // it failed, and can be there all the same
	over   bool // EndOrder was called
	buried bool // and that is certain
}

// notes are bytes kept for the next daemon.
type notes struct {
	count   int
	sure    []string // kept for certain, in their order
	some    []string // AddNotes failed: they may be there
	dropped []string // dropped, but not for certain
}

func newModel() *model {
	return &model{
		letters: make(map[message.ID]*letter), orders: make(map[string]*group), rules: make(map[string]*rule),
		refused: make(map[message.ID]bool),
	}
}

func (m *model) add(l *letter) {
	m.letters[l.id] = l
	m.ids = append(m.ids, l.id)
}

// each calls f for the letters in the order of their coming.
func (m *model) each(f func(*letter)) {
	for _, id := range m.ids {
		f(m.letters[id])
	}
}

// pick lists the letters that want wants.
func (m *model) pick(want func(*letter) bool) []*letter {
	var out []*letter
	m.each(func(l *letter) {
		if want(l) {
			out = append(out, l)
		}
	})
	return out
}

// do changes a letter by a record that is not certain yet.
func (l *letter) do(what string, make func(standing) standing) {
	l.now = make(l.now)
	l.pending = append(l.pending, change{make: make})
	l.tell(what)
}

// maybe notes a change that failed, and that a crash can bring about all the same.
func (l *letter) maybe(what string, make func(standing) standing, doubt bool) {
	l.pending = append(l.pending, change{make: make, doubt: doubt})
	l.tell(what + " (failed)")
}

// tell adds to the story of a letter.
func (l *letter) tell(what string) {
	l.story = append(l.story, fmt.Sprintf("%s %s", time.Now().UTC().Format("15:04:05.000"), what))
}

// certain notes that everything handed over so far is on the disk. disowned says that the spool has written since to a
// segment behind everything that it refused: none of that can come back any more.
func (m *model) certain(disowned bool) {
	m.each(func(l *letter) { l.settle(disowned) })
	for _, r := range m.rules {
		r.buried = r.buried || r.over
	}
	m.notes.dropped = nil
}

func (l *letter) settle(disowned bool) {
	var left []change
	for _, c := range l.pending {
		switch {
		case !c.doubt:
			l.sure = c.make(l.sure)
			l.ever = append(l.ever, c)
			l.tell("certain")
		case !disowned:
			left = append(left, c)
		}
	}
	l.pending = left
}

// allowed are the states that a disk may have a letter in: any part of what is pending may have reached it.
func (l *letter) allowed() []standing { return fold(l.sure, l.pending) }

// former are the states that a disk may have a letter in that has lost any part of what it had.
func (l *letter) former() []standing {
	return fold(standing{gone: true}, append(l.ever[:len(l.ever):len(l.ever)], l.pending...))
}

// fold is what comes of any part of the changes, in their order; what comes of all of them is last.
func fold(from standing, changes []change) []standing {
	out := []standing{from}
	for _, c := range changes {
		for _, s := range slices.Clone(out) {
			next := c.make(s)
			if i := slices.Index(out, next); i >= 0 {
				out = slices.Delete(out, i, i+1)
			}
			out = append(out, next)
		}
	}
	return out
}

// adopt takes what was found on the disk for certain.
func (l *letter) adopt(s standing) {
	l.ever = append(l.ever, l.pending...)
	l.now, l.sure, l.pending, l.taken = s, s, nil, false
	l.tell("found " + s.String())
}

func (s standing) String() string {
	if s.gone {
		return "gone"
	}
	out := fmt.Sprintf("%s, due %d, %d attempts, envelope %d", stateName(s.state), s.due, s.attempts, s.env)
	if s.order != "" {
		out += ", order " + s.order
	}
	if s.last != "" {
		out += fmt.Sprintf(", last response %.20q", s.last)
	}
	return out
}

func stateName(s spool.State) string {
	switch s {
	case spool.Scheduled:
		return "scheduled"
	case spool.Taken:
		return "taken"
	case spool.OnHold:
		return "on hold"
	case spool.Trashed:
		return "in the trash"
	}
	return fmt.Sprintf("state %d", s)
}
