package spool

// turn is a mutex for those who wait for the disk while they hold it. Waiting for it is waiting for a channel, which
// a bubble of testing/synctest can see: under a mutex, a slow disk would make it hang.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// Lock and Unlock are those of a mutex.
func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }
