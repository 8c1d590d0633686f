package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"kumo/pkg/spool/internal/segment"
)

// Names below the spool's directory.
const (
	lockName    = "lock"
	formatName  = "FORMAT"
	logName     = "log"
	reserveName = "reserve"
	ordersName  = "orders.db"
	indexName   = "index.db"
	damagedName = "damaged" // segments with damage, kept when they would be deleted
)

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("spool has no directory")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, err
	}
	c.Dir = dir
	if c.FS == nil {
		c.FS = OS{}
	}
	if c.SegmentSize == 0 {
		c.SegmentSize = 64 << 20
	}
	c.SegmentSize = min(c.SegmentSize, 1<<30)
	if c.Reserve == 0 {
		c.Reserve = 1 << 20
	}
	if c.TrashKeep == 0 {
		c.TrashKeep = trashKeep
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

// Open takes the spool in cfg.Dir for this process and recovers what is in it; a directory that is empty or not
// there becomes a new spool. Errors: *HeldError, a newer format, a place that mail must not be kept in, and those
// of the disk. A cancelled ctx ends recovery at once; nothing was changed then.
func Open(ctx context.Context, cfg Config) (*Spool, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Spool{cfg: cfg, log: cfg.Log, done: make(map[string]*doneOrder), standing: make(map[string]*standing), closed: make(chan struct{}), compacting: newTurn(), applying: newTurn(), beginning: newTurn()}
	if err := s.open(ctx); err != nil {
		if s.orders != nil {
			_ = s.orders.Close()
		}
		s.unlock()
		return nil, fmt.Errorf("open spool %s: %w", cfg.Dir, err)
	}
	return s, nil
}

func (s *Spool) open(ctx context.Context) error {
	dir, fsys := s.cfg.Dir, s.cfg.FS
	if err := prepare(fsys, dir, s.log); err != nil {
		return err
	}
	if err := s.lock(); err != nil {
		return err
	}
	if s.cfg.Owned != nil {
		if err := s.cfg.Owned(); err != nil {
			return err
		}
	}
	key, err := openFormat(fsys, dir, s.log)
	if err != nil {
		return err
	}
	s.marks.grain = int64(min(trashGrain, max(s.cfg.TrashKeep/16, time.Nanosecond)))
	logDir := filepath.Join(dir, logName)
	s.segs = newSegments(fsys, logDir, key)
	st, err := fsys.Stat(logDir)
	if err != nil {
		return err
	}
	s.inode = st.Inode
	if !s.cfg.NoIndex {
		if err := s.openOrders(ctx); err != nil {
			return err
		}
	}
	return s.recover(ctx, key)
}

// openOrders opens orders.db. One that cannot be read is set aside: its orders are lost, the mail is not.
func (s *Spool) openOrders(ctx context.Context) error {
	var err error
	path := filepath.Join(s.cfg.Dir, ordersName)
	if s.orders, err = OpenOrders(ctx, s.cfg.Dir); err == nil || !isCorrupt(err) {
		return err
	}
	s.log.Error("spool: orders cannot be read and are set aside: those that were waiting are not carried out",
		"path", path+".damaged", "error", err)
	if err := setAside(path); err != nil {
		return err
	}
	s.orders, err = OpenOrders(ctx, s.cfg.Dir)
	return err
}

// recover reads the log and starts what writes it.
func (s *Spool) recover(ctx context.Context, key segment.Key) error {
	began := time.Now()
	files, strays, err := listLog(s.cfg.FS, s.segs.dir)
	if err != nil {
		return err
	}
	if err := readHeaders(s.cfg.FS, s.segs, files); err != nil {
		return err
	}
	s.found.Strays = strays
	r := &replayer{
		fsys: s.cfg.FS, dir: s.segs.dir, key: key, log: s.log, progress: s.cfg.Progress,
		table: &s.table, names: &s.names, marks: &s.marks, segs: s.segs, found: &s.found, done: s.done, standing: s.standing,
	}
	if s.orders != nil {
		r.isDone = s.orders.isDone
	}
	if err := r.run(ctx, files); err != nil {
		return err
	}
	drop := r.settle()
	s.notes = r.notes
	s.sortNotes()
	prev, prevEnd, err := s.secureTail(files)
	if err != nil {
		return err
	}
	if !s.cfg.NoIndex {
		s.index = &index{s: s, path: indexPath(s.cfg.Dir), log: s.log, found: prev, seg: prev, end: prevEnd}
	}
	s.startCommitter(key, prev, prevEnd, files)
	for _, id := range drop {
		if err := s.tombstone(id, EndUndone); err != nil {
			return err
		}
	}
	s.found.Live, s.found.Took = s.table.len(), time.Since(began)
	if err := s.rememberLogs(); err != nil {
		s.log.Warn("spool: cannot remember where the logs are: verbs have to be told", "error", err)
	}
	s.tellRecovery()
	_, s.compactor.start = s.segs.count()
	s.keeper.Add(1)
	go s.keep()
	s.keeper.Go(s.compactInBackground)
	if s.index != nil {
		s.keeper.Go(s.index.run)
	}
	return nil
}

// secureTail syncs the last segment: after a crash of the process alone, what recovery has read of it may stand in
// the page cache only, and others will now rely on it.
func (s *Spool) secureTail(files []logFile) (prev uint32, end int64, err error) {
	for i := len(files) - 1; i >= 0; i-- {
		if !files[i].ok && files[i].size <= segment.HeaderSize {
			continue
		}
		num := files[i].num
		f, err := s.cfg.FS.Open(s.segs.path(num), true)
		if err != nil {
			return 0, 0, fmt.Errorf("open segment %d: %w", num, err)
		}
		defer f.Close()
		if err := f.Sync(); err != nil {
			return 0, 0, fmt.Errorf("sync segment %d: %w", num, err)
		}
		return num, s.segs.byNum[num].end, s.cfg.FS.SyncDir(s.segs.dir)
	}
	return 0, 0, nil
}

func (s *Spool) startCommitter(key segment.Key, prev uint32, prevEnd int64, files []logFile) {
	next := uint32(1)
	if n := len(files); n > 0 {
		next = files[n-1].num + 1
	}
	s.health = &health{
		fsys: s.cfg.FS, path: filepath.Join(s.cfg.Dir, reserveName), size: s.cfg.Reserve, log: s.log,
	}
	if err := s.health.restore(); err != nil {
		s.log.Warn("spool: starts without its reserve", "error", err)
	}
	c := &committer{
		segs: s.segs, key: key, size: s.cfg.SegmentSize, now: s.cfg.Now, log: s.log, state: s.health,
		placed: s.placed, moved: s.moved, cur: newBatch(), kick: make(chan struct{}, 1), ended: make(chan struct{}),
		next: next, prev: prev, prevEnd: prevEnd, stats: &s.stats, activeNo: s.active.Store,
	}
	c.room = sync.NewCond(&c.mu)
	s.commit = c
	go c.run()
}

func (s *Spool) tellRecovery() {
	f := &s.found
	for _, d := range f.Damaged {
		s.segs.mu.Lock()
		if g := s.segs.byNum[d.Segment]; g != nil && !d.Ended {
			g.hurt = true
		}
		s.segs.mu.Unlock()
		s.log.Error("spool: damaged record is set aside", "segment", d.Segment, "offset", d.Offset, "bytes", d.Length,
			"id", d.ID, "record", d.Kind, "why", d.Why, "ended", d.Ended)
	}
	for _, name := range f.Strays {
		s.log.Warn("spool: stray file is ignored", "path", filepath.Join(s.segs.dir, name))
	}
	s.log.Info("spool: recovered", "messages", f.Live, "segments", f.Segments, "bytes", f.Bytes, "torn_bytes", f.Torn,
		"undone", f.Undone, "took", f.Took.Round(time.Millisecond))
}

// Close writes what is waiting, syncs, and gives the spool back. Calls that come later fail with ErrClosed.
func (s *Spool) Close() error {
	s.commit.close()
	close(s.closed)
	s.keeper.Wait()
	var err error
	if s.orders != nil {
		err = s.orders.Close()
	}
	s.segs.close(s.log)
	s.unlock()
	return err
}
