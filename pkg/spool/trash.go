package spool

// noTrash reports that a bounce is to end its messages at once.
func (s *Spool) noTrash() bool { return false }
