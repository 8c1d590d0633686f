package spool

// trashed and onHold report the states that the index tells apart.
func (e *entry) trashed() bool { return false }
func (e *entry) onHold() bool  { return false }

// entry is e for others.
func (s *Spool) entry(e *entry) Entry {
	return Entry{
		ID: e.id, Queue: s.names.get(e.queue), Created: fromNanos(e.created), Due: fromNanos(e.due),
		Attempts: int(e.attempts), Size: int(e.size),
	}
}
