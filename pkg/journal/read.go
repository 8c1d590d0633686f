package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kumo/pkg/message"
)

const (
	// disorder is how far records of one segment may stand from the order of their times, and how much later than its
	// first record a segment may be named.
	disorder = 10 * time.Second
	// maxCursors bounds the segments that are read at the same time, each with a few hundred kilobytes.
	maxCursors = 64
	// seekFrom is the size of a segment that is worth a search for the place to begin at.
	seekFrom = 4 << 20
)

// ReadOptions say what Read and Scan read. What is empty does not restrict.
type ReadOptions struct {
	Dirs     []string // directories of segments, whatever their suffix; one that does not exist holds none
	IDs      []message.ID
	Types    []Type
	Since    time.Time // the first moment that is wanted
	Until    time.Time // the first that is not wanted any more
	Warn     func(error)
	Progress func(done, total int64) // bytes of segments, as they are on disk
}

// Read gives the records of log directories in the order of their times, those of segments that are still being
// written included, as far as they are in the files when their segment is opened. The order is exact for records
// less than ten seconds out of place, which those of one daemon are. Damage and lines that are no records are passed
// over and told to Warn. Memory is bounded: each open segment takes some hundred kilobytes, and at most 64 are open.
// An error ends the sequence; the end of ctx is one.
func Read(ctx context.Context, o ReadOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		err := Scan(ctx, o, func(l *Line) error {
			e, err := l.Entry()
			if err != nil {
				o.warn(fmt.Errorf("a record of %s: %w", l.Time.UTC().Format(time.RFC3339), err))
				return nil
			}
			if !yield(e, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(Entry{}, err)
		}
	}
}

var errStop = errors.New("enough")

func (o *ReadOptions) warn(err error) {
	if o.Warn != nil {
		o.Warn(err)
	}
}

// Scan is Read for those who look at millions of records: f gets each line with its first fields. An error of f ends
// it and is returned.
func Scan(ctx context.Context, o ReadOptions, f func(*Line) error) error {
	s := &scan{o: o, filter: newFilter(&o), f: f}
	if err := s.list(); err != nil {
		return err
	}
	defer s.close()
	return s.run(ctx)
}

// filter is ReadOptions as a test of one record.
type filter struct {
	ids          map[string]bool // quoted, as they stand in records
	types        map[string]bool
	since, until time.Time
}

func newFilter(o *ReadOptions) *filter {
	f := &filter{since: o.Since, until: o.Until}
	if o.IDs != nil {
		f.ids = make(map[string]bool, len(o.IDs))
		for _, id := range o.IDs {
			f.ids[`"`+id.String()+`"`] = true
		}
	}
	if o.Types != nil {
		f.types = make(map[string]bool, len(o.Types))
		for _, t := range o.Types {
			f.types[`"`+string(t)+`"`] = true
		}
	}
	return f
}

func (f *filter) wants(h *head) bool {
	return (f.ids == nil || f.ids[string(h.id)]) && (f.types == nil || f.types[string(h.typ)])
}

func (f *filter) within(t time.Time) bool {
	return (f.since.IsZero() || !t.Before(f.since)) && (f.until.IsZero() || t.Before(f.until))
}

// over reports that a segment which has come to t has nothing more to give.
func (f *filter) over(t time.Time) bool { return !f.until.IsZero() && t.After(f.until.Add(disorder)) }

// source is a segment that waits to be read.
type source struct {
	path  string
	start time.Time // from its name
	size  int64
}

type scan struct {
	o      ReadOptions
	filter *filter
	f      func(*Line) error

	wait  []source  // in the order of their starts
	open  []*cursor // a heap: the record that comes first on top
	total int64
	done  int64
}

// list finds the segments that can hold what is wanted.
func (s *scan) list() error {
	seen := map[string]bool{}
	for _, dir := range s.o.Dirs {
		if dir = filepath.Clean(dir); seen[dir] {
			continue
		}
		seen[dir] = true
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read log directory: %w", err)
		}
		for _, e := range entries {
			s.consider(dir, e)
		}
	}
	slices.SortStableFunc(s.wait, func(a, b source) int {
		return cmp.Or(a.start.Compare(b.start), strings.Compare(a.path, b.path))
	})
	return nil
}

func (s *scan) consider(dir string, e fs.DirEntry) {
	start, ok := segmentStart(e.Name())
	if !ok || !e.Type().IsRegular() {
		return
	}
	info, err := e.Info()
	if err != nil || info.Size() == 0 {
		return
	}
	if !s.filter.since.IsZero() && info.ModTime().Before(s.filter.since.Add(-time.Second)) {
		return // nothing was added since
	}
	s.wait = append(s.wait, source{filepath.Join(dir, e.Name()), start, info.Size()})
	s.total += info.Size()
}

// segmentStart is the moment that a segment's name says.
func segmentStart(name string) (time.Time, bool) {
	suffix, ok := segmentSuffix(name)
	if !ok {
		return time.Time{}, false
	}
	stem := name[:len(name)-len(suffix)]
	t, err := time.Parse("20060102-150405", stem) // takes a fraction, too
	return t, err == nil
}

func (s *scan) run(ctx context.Context) error {
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		s.refill()
		if len(s.open) == 0 {
			return nil
		}
		c := s.open[0]
		if err := s.f(&c.line); err != nil {
			return err
		}
		before := c.off
		if c.advance(s.filter) {
			s.down(0)
		} else {
			s.drop()
		}
		s.count(c.off - before)
	}
}

func (s *scan) count(n int64) {
	if s.o.Progress != nil && n > 0 {
		s.done += n
		s.o.Progress(min(s.done, s.total), s.total)
	}
}

// refill opens the segments that may hold the record that comes next.
func (s *scan) refill() {
	for len(s.wait) > 0 && len(s.open) < maxCursors {
		next := s.wait[0]
		if len(s.open) > 0 && next.start.After(s.open[0].line.Time.Add(disorder)) {
			return
		}
		s.wait = s.wait[1:]
		s.begin(next)
	}
}

func (s *scan) begin(next source) {
	c, err := openCursor(next.path, s.o.warn)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) { // it was removed meanwhile
			s.o.warn(fmt.Errorf("segment %s: %w", next.path, err))
		}
		s.count(next.size)
		return
	}
	if since := s.filter.since; !since.IsZero() && c.size > seekFrom && next.start.Before(since) {
		c.seek(since.Add(-disorder))
	}
	if until := s.filter.until; !until.IsZero() && next.start.After(until) {
		if first, ok := c.firstTime(0); ok && first.After(until.Add(disorder)) {
			c.close()
			s.count(next.size)
			return
		}
	}
	if !c.advance(s.filter) {
		c.close()
		s.count(next.size)
		return
	}
	s.count(c.off)
	s.open = append(s.open, c)
	s.up(len(s.open) - 1)
}

// drop takes the cursor on top away.
func (s *scan) drop() {
	s.open[0].close()
	last := len(s.open) - 1
	s.open[0] = s.open[last]
	s.open = s.open[:last]
	s.down(0)
}

func (s *scan) close() {
	for _, c := range s.open {
		c.close()
	}
}

func (s *scan) less(i, j int) bool { return s.open[i].line.Time.Before(s.open[j].line.Time) }

func (s *scan) up(i int) {
	for i > 0 && s.less(i, (i-1)/2) {
		s.open[i], s.open[(i-1)/2] = s.open[(i-1)/2], s.open[i]
		i = (i - 1) / 2
	}
}

func (s *scan) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(s.open) {
			return
		}
		if child+1 < len(s.open) && s.less(child+1, child) {
			child++
		}
		if !s.less(child, i) {
			return
		}
		s.open[i], s.open[child] = s.open[child], s.open[i]
		i = child
	}
}
