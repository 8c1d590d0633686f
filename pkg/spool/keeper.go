package spool

import (
	"context"
	"fmt"
	"time"
)

// keep runs what must happen once in a while until the spool is closed.
func (s *Spool) keep() {
	defer s.keeper.Done()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-s.closed:
			return
		case <-tick.C:
			s.housekeep()
		}
	}
}

// housekeep deletes dead segments, heals, and looks after the directory.
func (s *Spool) housekeep() {
	s.measure()
	for _, num := range s.segs.dead(s.active.Load()) {
		if err := s.segs.drop(num); err != nil {
			s.log.Warn("spool: " + err.Error())
			break
		}
	}
	if err := s.sameDir(); err != nil {
		s.health.fall(err)
	} else if s.health.due() && s.commit.probe() == nil {
		s.health.heal()
	}
	s.makeRoom()
	if s.health.full.Load() {
		_ = s.health.restore()
	}
	if !s.health.sick.Load() {
		s.emptyTrash(context.Background())
	}
}

// measure notes whether room is shorter than min_free_space wants: then the trash is emptied and the log is compacted
// sooner.
func (s *Spool) measure() {
	sp, err := s.cfg.FS.Space(s.cfg.Dir)
	if err == nil {
		s.short.Store(sp.FreeBytes < int64(s.cfg.MinFreeSpace.Of(uint64(sp.TotalBytes))))
	}
}

// makeRoom gives the active segment up when room is short and nothing in it is needed: on a small disk it can be all
// that fills it, and while mail is refused nothing else would ever end it.
func (s *Spool) makeRoom() {
	if !s.segs.allDead() {
		return
	}
	room, err := s.Space()
	if err != nil || room.ReadOnly || room.OK && !s.health.tight.Load() {
		return
	}
	if s.commit.leaveActive(leaveDead) == nil {
		s.health.tight.Store(false)
	}
}

// sameDir notices that the spool's directory was replaced while it is in use.
func (s *Spool) sameDir() error {
	st, err := s.cfg.FS.Stat(s.segs.dir)
	if err != nil {
		return fmt.Errorf("spool directory is gone: %w", err)
	}
	if st.Inode != s.inode {
		return fmt.Errorf("spool directory %s was replaced while in use: stop, and put the old one back", s.segs.dir)
	}
	return nil
}
