package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrDiskFull is in the chain of what Healthy returns when a log volume is below min_free_space or min_free_inodes.
var ErrDiskFull = errors.New("the log volume has too little room")

// checkSpace compares the volumes of the streams with the floors.
func (l *logger) checkSpace() {
	var found error
	seen := map[string]bool{}
	for _, s := range l.streams {
		if seen[s.dir] {
			continue
		}
		seen[s.dir] = true
		if err := l.checkDir(s.dir); err != nil {
			found = fmt.Errorf("log directory %s: %w", s.dir, err)
			break
		}
	}
	was := l.noSpace.Load()
	switch {
	case found != nil && was == nil:
		l.log.Error("mail is refused until there is room for the log", "error", found)
	case found == nil && was != nil:
		l.log.Info("there is room for the log again", "log_dir", l.o.LogDir)
	}
	if found == nil {
		l.noSpace.Store(nil)
		return
	}
	l.noSpace.Store(&found)
}

// checkDir looks at the volume of dir, or of the nearest parent that exists. A volume that cannot be looked at is the
// writer's trouble, not a lack of room.
func (l *logger) checkDir(dir string) error {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(dir, &st)
		if err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if !errors.Is(err, os.ErrNotExist) || parent == dir {
			return nil
		}
		dir = parent
	}
	size := uint64(st.Bsize)
	if err := l.o.MinFreeSpace.check("bytes", st.Bavail*size, st.Blocks*size); err != nil {
		return err
	}
	return l.o.MinFreeInodes.check("inodes", st.Ffree, st.Files)
}
