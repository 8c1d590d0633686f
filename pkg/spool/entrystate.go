package spool

// trashed and onHold report the states that the index tells apart.
func (e *entry) trashed() bool { return false }
func (e *entry) onHold() bool  { return false }
