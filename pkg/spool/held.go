package spool

import "path/filepath"

// Held reports whether some process owns the spool in dir at this moment. Open is the only sure way to find out who
// will own it next.
func Held(dir string) bool {
	held, err := OS{}.Locked(filepath.Join(dir, lockName))
	return err == nil && held
}

// Owner says whose the spool in dir is: the pid of the process that owns it now, 0 when none does, and the run of the
// one that owned it last, which changes with each of them.
func Owner(dir string) (pid int, run string) {
	pid, run = lockOwner(OS{}, filepath.Join(dir, lockName))
	if !Held(dir) {
		pid = 0
	}
	return pid, run
}
