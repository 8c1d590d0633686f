package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kumo/pkg/message"
)

// Config is what a Journal is made of.
type Config struct {
	Files  []FileOptions    // one logger each; none: records go nowhere
	NodeID string           // nodeid of every record, from NodeID
	Filter Filter           // asked by loggers with a filter_event; nil: they write everything
	Now    func() time.Time // names and ages of segments; nil means time.Now
	Log    *slog.Logger     // diagnostics; nil means none
}

// Filter decides what loggers with a filter_event write.
type Filter interface {
	// Wants fires event with m: false says that the logger does not write the record. After an error it does.
	Wants(event string, m *message.Message) (bool, error)
}

// Journal takes records and has them written by its loggers. Safe for concurrent use.
type Journal struct {
	nodeID  string
	now     func() time.Time
	loggers []*logger
	scratch sync.Pool
	left    time.Time
	stop    chan struct{}
	once    sync.Once
}

// Open makes the directories, checks that they can be written to, and finishes segments that an earlier process left
// open. No segment is made before there is a record for it.
func Open(cfg Config) (*Journal, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	j := &Journal{nodeID: cfg.NodeID, now: cfg.Now, stop: make(chan struct{})}
	j.scratch.New = func() any { return new([]byte) }
	for _, o := range cfg.Files {
		l, err := newLogger(o, cfg)
		if err != nil {
			return nil, fmt.Errorf("open log %s: %w", o.LogDir, err)
		}
		for _, s := range l.streams {
			if err := j.prepare(s, cfg.Log); err != nil {
				return nil, fmt.Errorf("open log %s: %w", s.dir, err)
			}
		}
		l.checkSpace()
		j.loggers = append(j.loggers, l)
	}
	return j, nil
}

// prepare makes the directory of a stream and proves that files can be made in it.
func (j *Journal) prepare(s *stream, log *slog.Logger) error {
	dir, err := filepath.Abs(s.dir) // the daemon may change its working directory later
	if err != nil {
		return err
	}
	s.dir = dir
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	_ = probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return err
	}
	left := func(at time.Time) {
		if j.left.IsZero() || at.Before(j.left) {
			j.left = at
		}
	}
	finishOld(dir, s.suffix, left, func(err error) { log.Warn("an earlier log segment", "error", err) })
	return nil
}

// Left is when a process that did not come to an orderly end last wrote to one of the logs, as Open has found it; zero
// when there was none. What it recorded after that, and at a power cut a second before, may not be there.
func (j *Journal) Left() time.Time { return j.left }

// Record takes r for every logger that wants its type. It copies what it needs and returns at once, unless
// back_pressure records wait for the disk: then it waits with them, because a fact about mail that was accepted must
// not be lost. Healthy turns mail away long before that.
func (j *Journal) Record(r *Record) {
	if len(j.loggers) == 0 {
		return
	}
	if r.Time.IsZero() {
		stamped := *r
		stamped.Time = j.now()
		r = &stamped
	}
	buf := j.scratch.Get().(*[]byte)
	line := (*buf)[:0]
	for _, l := range j.loggers {
		d := &l.dests[typeIndex(r.Type)]
		if d.stream == nil || l.filter != nil && !l.wants(r) {
			continue
		}
		if len(line) == 0 {
			line = appendRecord(line, r, j.nodeID)
		}
		head := len(line)
		line = appendTail(line, r, l.meta, l.headers)
		if d.template == nil {
			l.add(d.stream, line)
		} else if text := l.render(d.template, line); len(text) > 0 {
			l.add(d.stream, text)
		}
		line = line[:head]
	}
	if cap(line) <= 2*maxString {
		*buf = line[:0]
		j.scratch.Put(buf)
	}
}

// Run writes until ctx ends, then writes what is left, finishes the segments and returns. What could not be written
// in the end is the error.
func (j *Journal) Run(ctx context.Context) error {
	errs := make([]error, len(j.loggers))
	var wg sync.WaitGroup
	for i, l := range j.loggers {
		wg.Go(func() { errs[i] = l.run(ctx, j.stop) })
	}
	if len(j.loggers) == 0 {
		select {
		case <-ctx.Done():
		case <-j.stop:
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Flush writes everything that was recorded before the call into the files.
func (j *Journal) Flush() error {
	var errs error
	for _, l := range j.loggers {
		errs = errors.Join(errs, l.write(1))
	}
	return errs
}

// Sync writes everything that was recorded before the call, and returns when it is on stable storage.
func (j *Journal) Sync() error {
	errs := j.Flush()
	for _, l := range j.loggers {
		errs = errors.Join(errs, l.sync())
	}
	return errs
}

// Close writes what is left, finishes the segments and ends Run. It can be used without Run: a verb that records a
// few facts needs no writer beside it. Records that come after it go nowhere.
func (j *Journal) Close() error {
	var errs error
	j.once.Do(func() { close(j.stop) })
	for _, l := range j.loggers {
		errs = errors.Join(errs, l.finish())
	}
	return errs
}

// Healthy is nil while mail may be accepted. Otherwise the error says which log has no room (ErrDiskFull) or cannot
// be written. It is cheap enough to be asked for every message.
func (j *Journal) Healthy() error {
	for _, l := range j.loggers {
		if err := l.healthy(); err != nil {
			return err
		}
	}
	return nil
}
