package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// healTime is how long a disk must have been without an error before it is trusted again.
const healTime = 3 * time.Second

// health is what the spool knows about its disk. sick and full are read for every Accept.
type health struct {
	sick atomic.Bool
	full atomic.Bool
	// Something did not fit; what is dead should be deleted.
	tight atomic.Bool

	fsys FS
	path string // of the reserve file
	size int64  // of the reserve file
	log  *slog.Logger

	giving sync.Mutex // held while the reserve is given away or made again

	mu   sync.Mutex
	err  error // why sick
	last time.Time
}

// refuse is the error of an Accept that need not be tried.
func (h *health) refuse() error {
	if h.sick.Load() {
		h.mu.Lock()
		defer h.mu.Unlock()
		return fmt.Errorf("%w: %w", ErrUnhealthy, h.err)
	}
	if h.full.Load() {
		return ErrFull
	}
	return nil
}

// failed notes a failed write.
func (h *health) failed(err error) {
	if !isFull(err) {
		h.fall(err)
		return
	}
	h.tight.Store(true)
}

// giveReserve gives the reserve away to records that empty a full disk. From then on new mail is refused, until
// the reserve is back. It returns true if that made room.
func (h *health) giveReserve(err error) bool {
	h.giving.Lock()
	defer h.giving.Unlock()
	if h.full.Swap(true) {
		return false
	}
	h.log.Warn("spool: disk is full: new mail is refused, queued mail goes on", "error", err)
	if rerr := h.fsys.Remove(h.path); rerr != nil {
		h.log.Error("spool: cannot release the reserve", "path", h.path, "error", rerr)
		return false
	}
	return true
}

// fall makes the spool unhealthy.
func (h *health) fall(err error) {
	h.mu.Lock()
	h.err, h.last = err, time.Now()
	h.mu.Unlock()
	if !h.sick.Swap(true) {
		h.log.Error("spool: disk failed: mail is refused until it works again", "error", err)
	}
}

// due reports whether a sick disk may be probed.
func (h *health) due() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sick.Load() && time.Since(h.last) >= healTime
}

func (h *health) heal() {
	if h.sick.Swap(false) {
		h.log.Warn("spool: disk works again")
	}
}

// restore makes the reserve file again if it is missing; with it in place a full spool takes mail again.
func (h *health) restore() error {
	h.giving.Lock()
	defer h.giving.Unlock()
	if h.size <= 0 {
		h.full.Store(false)
		return nil
	}
	if st, err := h.fsys.Stat(h.path); err == nil && st.Mode.IsRegular() && st.Size >= h.size {
		h.full.Store(false)
		return nil
	} else if err == nil {
		if err := h.fsys.Remove(h.path); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := h.fill(); err != nil {
		_ = h.fsys.Remove(h.path)
		if isFull(err) {
			h.full.Store(true)
		} else {
			h.fall(err)
		}
		return fmt.Errorf("make reserve %s of %d bytes: %w", h.path, h.size, err)
	}
	if h.full.Swap(false) {
		h.log.Warn("spool: disk has room again")
	}
	return nil
}

// fill writes the reserve: bytes, not a hole, so that the room is really taken.
func (h *health) fill() error {
	f, err := h.fsys.Create(h.path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, min(h.size, 64<<10))
	for i := range block {
		block[i] = byte(i * 7)
	}
	for off := int64(0); off < h.size; off += int64(len(block)) {
		want := min(int64(len(block)), h.size-off)
		n, err := f.WriteAt(off, block[:want])
		if err == nil {
			err = shortWrite(n, want)
		}
		if err != nil {
			return err
		}
	}
	return f.Sync()
}

// hangTime is how long a write may take before the disk is said to hang.
const hangTime = 10 * time.Second

// Healthy is nil while the disk works, and says why not otherwise: it failed, or has not answered for 10 s. A full
// disk is Space's business.
func (s *Spool) Healthy() error {
	if s.health.sick.Load() {
		return s.health.refuse()
	}
	if d := s.commit.busy(); d > hangTime {
		return fmt.Errorf("%w: the disk has not answered for %s", ErrUnhealthy, d.Round(time.Second))
	}
	return nil
}

// busy is how long the write that goes on now has taken; 0 when there is none.
func (c *committer) busy() time.Duration {
	began := c.began.Load()
	if began == 0 {
		return 0
	}
	return time.Since(time.Unix(0, began))
}

// Room is what Space found.
type Room struct {
	Space
	OK  bool
	Why string // "" when OK; else for people: what is short, have and need
}

// Space measures the free bytes and inodes of the spool's file system against min_free_space and
// min_free_inodes. It costs one system call.
func (s *Spool) Space() (Room, error) {
	sp, err := s.cfg.FS.Space(s.cfg.Dir)
	if err != nil {
		return Room{}, fmt.Errorf("measure space of %s: %w", s.cfg.Dir, err)
	}
	r := Room{Space: sp}
	bytes := int64(s.cfg.MinFreeSpace.Of(uint64(sp.TotalBytes)))
	inodes := int64(s.cfg.MinFreeInodes.Of(uint64(sp.TotalInodes)))
	switch {
	case sp.ReadOnly:
		r.Why = fmt.Sprintf("file system of %s is read-only", s.cfg.Dir)
	case s.health.full.Load():
		r.Why = fmt.Sprintf("file system of %s is full", s.cfg.Dir)
	case sp.FreeBytes < bytes:
		r.Why = fmt.Sprintf("%s has %d bytes free, min_free_space (%s) wants %d", s.cfg.Dir, sp.FreeBytes, s.cfg.MinFreeSpace, bytes)
	case sp.TotalInodes > 0 && sp.FreeInodes < inodes:
		r.Why = fmt.Sprintf("%s has %d inodes free, min_free_inodes (%s) wants %d", s.cfg.Dir, sp.FreeInodes, s.cfg.MinFreeInodes, inodes)
	default:
		r.OK = true
	}
	return r, nil
}
