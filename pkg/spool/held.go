package spool

import "path/filepath"

// Held reports whether some process owns the spool in dir at this moment. Open is the only sure way to find out who
// will own it next.
func Held(dir string) bool {
	held, err := OS{}.Locked(filepath.Join(dir, lockName))
	return err == nil && held
}
