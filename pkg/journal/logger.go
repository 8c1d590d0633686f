package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"kumo/pkg/journal/internal/jinja"
)

const (
	// flushEvery bounds how far the files are behind.
	flushEvery = 500 * time.Millisecond
	// syncEvery bounds what a power cut can take from the files.
	syncEvery = time.Second
	// spaceEvery is how often the free space is looked at.
	spaceEvery = 5 * time.Second
	// drainPatience is how long the end waits for a disk that does not take the last records.
	drainPatience = 5 * time.Second
	// maxSpare is the largest buffer that is kept for the next records.
	maxSpare = 4 << 20
	// bytesPerRecord times back_pressure bounds the memory of records that wait.
	bytesPerRecord = 2 << 10
)

// logger is one kumo.configure_local_logs. Those who record append under mu; the writer takes what is pending and
// compresses and writes it under wmu.
type logger struct {
	o       FileOptions
	meta    names
	headers names
	dests   [maxTypes]dest // by typeIndex
	streams []*stream
	filter  Filter // nil when there is no filter_event
	now     func() time.Time
	log     *slog.Logger

	mu      sync.Mutex
	room    sync.Cond
	records int // that wait, taken or not
	bytes   int
	closed  bool
	wake    chan struct{}
	end     sync.Once
	endErr  error

	wmu       sync.Mutex
	enc       *zstd.Encoder
	nextSync  time.Time
	nextSpace time.Time

	backlog atomic.Int64          // records
	weight  atomic.Int64          // their bytes
	broken  atomic.Pointer[error] // why the last write failed; nil when it did not
	noSpace atomic.Pointer[error]
	said    atomic.Pointer[string] // the last trouble with a template or a filter
}

// dest is where the records of one type go; no stream: nowhere.
type dest struct {
	stream   *stream
	template *jinja.Template // nil: as JSON
}

func newLogger(o FileOptions, cfg Config) (*logger, error) {
	o.setDefaults()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(pieceSize), zstd.WithEncoderLevel(levelOf(o.CompressionLevel)))
	if err != nil {
		return nil, err
	}
	l := &logger{
		o: o, meta: parseNames(o.Meta), headers: parseNames(o.Headers),
		now: cfg.Now, log: cfg.Log, wake: make(chan struct{}, 1), enc: enc,
	}
	if o.FilterEvent != "" {
		l.filter = cfg.Filter
	}
	l.room.L = &l.mu
	for i, t := range Types() {
		if err := l.addType(t, &l.dests[i]); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func levelOf(level int) zstd.EncoderLevel {
	if level == 0 {
		return zstd.SpeedDefault
	}
	return zstd.EncoderLevelFromZstd(level)
}

// setDefaults gives options that were not decoded by package option their defaults.
func (o *FileOptions) setDefaults() {
	if o.MaxFileSize <= 0 {
		o.MaxFileSize = 1_000_000_000
	}
	if o.BackPressure <= 0 {
		o.BackPressure = 128_000
	}
}

// addType finds or makes the stream that records of type t go to; none if they are not wanted.
func (l *logger) addType(t Type, d *dest) error {
	p, ok := l.o.PerRecord[string(t)]
	if !ok {
		p, ok = l.o.PerRecord[AnyType]
	}
	if ok && !p.Enable {
		return nil
	}
	if p.Template != "" {
		var err error
		if d.template, err = compile(p.Template); err != nil {
			return fmt.Errorf("per_record.%s.template: %w", t, err)
		}
	}
	dir := l.o.LogDir
	if p.LogDir != "" {
		dir = p.LogDir
	}
	for _, s := range l.streams {
		if s.dir == dir && s.suffix == p.Suffix {
			d.stream = s
			break
		}
	}
	if d.stream == nil {
		d.stream = &stream{dir: dir, suffix: p.Suffix}
		l.streams = append(l.streams, d.stream)
	}
	if len(d.stream.header) == 0 && p.SegmentHeader != "" {
		d.stream.header = endLine([]byte(p.SegmentHeader))
	}
	return nil
}

// add takes one line. It waits while as many records wait as back_pressure allows.
func (l *logger) add(s *stream, line []byte) {
	l.mu.Lock()
	for !l.closed && (l.records >= l.o.BackPressure || l.bytes >= l.o.BackPressure*bytesPerRecord) {
		l.room.Wait()
	}
	if l.closed {
		l.mu.Unlock()
		l.log.Error("a record came after the end of the log", "log_dir", l.o.LogDir, "record", string(line))
		return
	}
	s.pending = append(s.pending, line...)
	l.records++
	l.bytes += len(line)
	l.count()
	full := len(s.pending) >= pieceSize && len(s.pending)-len(line) < pieceSize
	l.mu.Unlock()
	if full {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// run writes until ctx ends or stop is closed; then it finishes.
func (l *logger) run(ctx context.Context, stop <-chan struct{}) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.finish()
		case <-stop:
			return l.finish()
		case <-l.wake:
			_ = l.write(pieceSize)
		case <-tick.C:
			_ = l.write(1)
			l.upkeep()
		}
	}
}

// write takes and writes the streams that have at least so many bytes. It goes on with the other streams when one
// cannot be written.
func (l *logger) write(least int) error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	var errs error
	for _, s := range l.streams {
		errs = errors.Join(errs, l.writeStream(s, least))
	}
	l.report(errs)
	return errs
}

func (l *logger) writeStream(s *stream, least int) error {
	for {
		if err := s.writeTodo(l.enc, &l.o, l.now(), l.done); err != nil {
			return err
		}
		l.mu.Lock()
		if len(s.pending) < least {
			l.mu.Unlock()
			return nil
		}
		if cap(s.spare) > maxSpare {
			s.spare = nil // a backlog has gone: so may its memory
		}
		s.pending, s.spare = s.spare[:0], s.pending
		l.mu.Unlock()
		s.todo = s.spare
	}
}

// done gives the room of written records back.
func (l *logger) done(lines, size int) {
	l.mu.Lock()
	l.records -= lines
	l.bytes -= size
	l.count()
	l.mu.Unlock()
	l.room.Broadcast()
}

// count tells healthy how much waits. The caller holds mu.
func (l *logger) count() {
	l.backlog.Store(int64(l.records))
	l.weight.Store(int64(l.bytes))
}

// report says once that writing fails, and once that it works again.
func (l *logger) report(err error) {
	was := l.broken.Load()
	switch {
	case err == nil && was != nil:
		l.broken.Store(nil)
		l.log.Info("the log can be written again", "log_dir", l.o.LogDir)
	case err != nil:
		l.broken.Store(&err)
		if was == nil || (*was).Error() != err.Error() {
			l.log.Error("the log cannot be written; records are kept in memory", "log_dir", l.o.LogDir, "error", err)
		}
	}
}

// upkeep does what time asks for: ends old segments, syncs, looks at the free space.
func (l *logger) upkeep() {
	now := l.now()
	l.wmu.Lock()
	defer l.wmu.Unlock()
	var errs error
	for _, s := range l.streams {
		errs = errors.Join(errs, s.age(&l.o, now))
		if s.seg != nil && !now.Before(l.nextSync) {
			errs = errors.Join(errs, s.syncSegment())
		}
	}
	if !now.Before(l.nextSync) || l.nextSync.Sub(now) > syncEvery {
		l.nextSync = now.Add(syncEvery)
	}
	if errs != nil {
		l.report(errs)
	}
	if !now.Before(l.nextSpace) || l.nextSpace.Sub(now) > spaceEvery {
		l.nextSpace = now.Add(spaceEvery)
		l.checkSpace()
	}
}

// sync makes durable what was written.
func (l *logger) sync() error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	var errs error
	for _, s := range l.streams {
		if s.seg != nil {
			errs = errors.Join(errs, s.syncSegment())
		}
	}
	return errs
}

// finish writes what is left, for a while even against a failing disk, and finishes the segments. Records that come
// later go nowhere. Whoever calls it second waits for the first and gets the same answer.
func (l *logger) finish() error {
	l.end.Do(func() {
		err := l.drain()
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.room.Broadcast()
		if err == nil {
			err = l.write(1) // what came in between
		}
		if err != nil {
			err = fmt.Errorf("%d records of %s are lost: %w", l.backlog.Load(), l.o.LogDir, err)
		}
		l.wmu.Lock()
		defer l.wmu.Unlock()
		for _, s := range l.streams {
			err = errors.Join(err, s.finish())
		}
		l.endErr = err
	})
	return l.endErr
}

func (l *logger) drain() error {
	deadline := time.NewTimer(drainPatience)
	defer deadline.Stop()
	for {
		err := l.write(1)
		if err == nil {
			return nil
		}
		again := time.NewTimer(100 * time.Millisecond)
		select {
		case <-deadline.C:
			again.Stop()
			return err
		case <-again.C:
		}
	}
}

// healthy is nil while there is room for the facts about mail that is still to be accepted: half of the buffer is
// kept for the mail that is already here.
func (l *logger) healthy() error {
	if err := l.noSpace.Load(); err != nil {
		return *err
	}
	records, bytes, limit := l.backlog.Load(), l.weight.Load(), int64(l.o.BackPressure)
	if 2*records < limit && 2*bytes < limit*bytesPerRecord {
		return nil
	}
	err := fmt.Errorf("log %s: %d records wait for the disk, %d bytes", l.o.LogDir, records, bytes)
	if why := l.broken.Load(); why != nil {
		err = fmt.Errorf("%w: %w", err, *why)
	}
	return err
}
