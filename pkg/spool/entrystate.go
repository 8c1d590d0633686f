package spool

// trashed and onHold report the states that the index tells apart.
func (e *entry) trashed() bool { return e.state() == Trashed }
func (e *entry) onHold() bool  { return e.state() == OnHold }
