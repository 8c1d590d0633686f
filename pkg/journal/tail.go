package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"time"
)

// Start says where a Tail begins.
type Start uint8

// The places to begin at.
const (
	FromOldest Start = iota // the oldest segment there is
	FromNewest              // the newest segment, from its start
	FromEnd                 // what is recorded from now on
)

// TailOptions say what to read.
type TailOptions struct {
	Dir    string            // directory of the segments, whatever their suffix
	From   Start             // where to begin
	Follow bool              // wait for more, until the context ends
	Poll   time.Duration     // how often to look for more; 0 means 250 ms
	Match  func(*Entry) bool // which records are wanted; nil means all
	Warn   func(error)       // hears of damage that is passed over; nil means nobody does
}

// Tail reads the records of a log directory in the order of its segments. An open segment is read as far as it is
// written in whole frames. Damage (a torn frame, a line that is no record) is told to Warn and passed over. The
// sequence ends after the last record, or with Follow when ctx ends, which is not an error; an error ends it, too.
func Tail(ctx context.Context, o TailOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		t := &tailer{o: o, places: map[string]*place{}}
		if t.o.Poll <= 0 {
			t.o.Poll = 250 * time.Millisecond
		}
		if t.o.Warn == nil {
			t.o.Warn = func(error) {}
		}
		defer t.close()
		if err := t.begin(); err != nil {
			yield(Entry{}, err)
			return
		}
		t.follow(ctx, yield)
	}
}

// place is how far one segment has been read.
type place struct {
	offset  int64
	done    bool
	foreign bool // it has lines that are no records: templates, or damage
}

type tailer struct {
	o      TailOptions
	places map[string]*place
	frames frameReader
}

func (t *tailer) close() { t.frames.close() }

// begin marks what is not wanted as read.
func (t *tailer) begin() error {
	names, err := t.list()
	if err != nil || t.o.From == FromOldest {
		return err
	}
	for i, name := range names {
		if t.o.From == FromNewest && i == len(names)-1 {
			break
		}
		p := t.place(name)
		if err := t.skip(name, p); err != nil {
			t.o.Warn(err)
		}
	}
	return nil
}

func (t *tailer) place(name string) *place {
	p := t.places[name]
	if p == nil {
		p = &place{}
		t.places[name] = p
	}
	return p
}

// list names the segments in order.
func (t *tailer) list() ([]string, error) {
	entries, err := os.ReadDir(t.o.Dir)
	if err != nil {
		return nil, fmt.Errorf("read log directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, ok := segmentSuffix(e.Name()); ok && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func (t *tailer) follow(ctx context.Context, yield func(Entry, error) bool) {
	tick := time.NewTicker(t.o.Poll)
	defer tick.Stop()
	for {
		names, err := t.list()
		if err != nil {
			yield(Entry{}, err)
			return
		}
		for _, name := range names {
			p := t.place(name)
			if p.done {
				continue
			}
			if !t.read(ctx, name, p, yield) {
				return
			}
		}
		if !t.o.Follow {
			return
		}
		t.forget(names)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// forget drops the places of segments that are gone.
func (t *tailer) forget(names []string) {
	for name := range t.places {
		if _, ok := slices.BinarySearch(names, name); !ok {
			delete(t.places, name)
		}
	}
}

// read yields what is new in one segment; false ends the sequence.
func (t *tailer) read(ctx context.Context, name string, p *place, yield func(Entry, error) bool) bool {
	f, finished, size, err := t.open(name)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			t.o.Warn(fmt.Errorf("segment %s: %w", name, err))
			p.done = true
		}
		return true
	}
	defer f.Close()
	if size < p.offset {
		t.o.Warn(fmt.Errorf("segment %s was cut from %d to %d bytes: it is read again", name, p.offset, size))
		p.offset = 0
	}
	for p.offset < size {
		end, whole, err := frameEnd(f, p.offset, size)
		if err != nil {
			t.o.Warn(fmt.Errorf("segment %s: %w", name, err))
			p.done = true
			return true
		}
		if !whole {
			break
		}
		start := p.offset
		p.offset = end
		if !t.readFrame(ctx, f, p, name, start, end, yield) {
			return false
		}
	}
	if finished {
		if p.offset < size {
			t.o.Warn(fmt.Errorf("segment %s: its last %d bytes are no whole frame", name, size-p.offset))
		}
		p.done = true
	}
	return true
}

// open gives the size after finished was looked at, so that a finished segment is read to its end.
func (t *tailer) open(name string) (f *os.File, finished bool, size int64, err error) {
	f, err = os.Open(t.o.Dir + string(os.PathSeparator) + name)
	if err != nil {
		return nil, false, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, false, 0, err
	}
	return f, info.Mode()&0o222 == 0, info.Size(), nil
}

func (t *tailer) readFrame(ctx context.Context, f *os.File, p *place, name string, start, end int64,
	yield func(Entry, error) bool,
) bool {
	for line, err := range t.frames.lines(f, start, end) {
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			t.o.Warn(fmt.Errorf("segment %s at offset %d: %w", name, start, err))
			return true
		}
		e, err := parseEntry(line)
		if err != nil {
			if !p.foreign { // a segment of a template has no other lines
				t.o.Warn(fmt.Errorf("segment %s at offset %d: not a record, passed over with all others in it: %w", name, start, err))
			}
			p.foreign = true
			continue
		}
		if t.o.Match != nil && !t.o.Match(&e) {
			continue
		}
		if !yield(e, nil) {
			return false
		}
	}
	return true
}

// skip moves to the end of what is written.
func (t *tailer) skip(name string, p *place) error {
	f, finished, size, err := t.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if finished {
		p.done = true
		return nil
	}
	p.offset, err = lastFrameEnd(f, size)
	return err
}
