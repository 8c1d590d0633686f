package spool

import "context"

// ErrChanging is what CopyAll says of a segment whose mail does not keep still.
var ErrChanging = errChanging

// CopyAll copies all mail once, without waiting for what is deleted then.
func (s *Spool) CopyAll() error {
	s.compacting.Lock()
	defer s.compacting.Unlock()
	if err := s.commit.leaveActive(leaveAlways); err != nil {
		return err
	}
	list, _ := s.segs.before(s.active.Load())
	for _, g := range list {
		if err := s.copySegment(context.Background(), g.num); err != nil {
			return err
		}
	}
	return nil
}
