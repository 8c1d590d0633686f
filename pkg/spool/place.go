package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

func (s *Spool) unlock() {
	for _, l := range s.locks {
		_ = l.Close()
	}
	s.locks = nil
}

// prepare makes the directories and refuses places that a spool must not be in.
func prepare(fsys FS, dir string, log *slog.Logger) error {
	if err := mkdirs(fsys, dir); err != nil {
		return explain(err, dir)
	}
	sp, err := fsys.Space(dir)
	if err != nil {
		return err
	}
	switch sp.Type {
	case "nfs", "smb":
		return fmt.Errorf("file system is %s: locks and syncs cannot be relied on there: use a local disk", sp.Type)
	case "tmpfs", "ramfs":
		log.Warn("spool: file system is "+sp.Type+": mail is lost when the machine stops", "dir", dir)
	}
	if err := mkdirs(fsys, filepath.Join(dir, logName)); err != nil {
		return explain(err, dir)
	}
	return syncDirs(fsys, dir)
}

// syncDirs makes the entries of dir and of all directories above it durable: an earlier start may have made them
// and died, or failed, before it could.
func syncDirs(fsys FS, dir string) error {
	for ; ; dir = filepath.Dir(dir) {
		err := fsys.SyncDir(dir)
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("sync directory %s: %w", dir, err)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// mkdirs makes dir and its parents.
func mkdirs(fsys FS, dir string) error {
	st, err := fsys.Stat(dir)
	if err == nil {
		if !st.Mode.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		return nil
	}
	if !isMissing(err) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := mkdirs(fsys, parent); err != nil {
			return err
		}
	}
	return fsys.Mkdir(dir)
}

// explain adds who we are to a refusal of the system.
func explain(err error, dir string) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %s must belong to uid %d, which this process runs as", err, dir, os.Getuid())
	}
	return err
}

// lock takes the lock file and the directory: a lock file that somebody deletes does not let a second owner in.
func (s *Spool) lock() error {
	dir, fsys := s.cfg.Dir, s.cfg.FS
	path := filepath.Join(dir, lockName)
	if f, err := fsys.Create(path); err == nil {
		_ = f.Close()
	} else if !errors.Is(err, fs.ErrExist) {
		return explain(err, dir)
	}
	for _, name := range []string{dir, path} {
		l, err := fsys.Lock(name)
		if errors.Is(err, ErrLocked) {
			pid, _ := lockOwner(fsys, path)
			return &HeldError{Dir: dir, PID: pid}
		}
		if err != nil {
			return explain(err, dir)
		}
		s.locks = append(s.locks, l)
	}
	f, err := fsys.Open(path, true)
	if err != nil {
		return explain(err, dir)
	}
	defer f.Close()
	s.run = newOrderID()
	// The pid is for people, the run for readers; a full disk must not keep the owner from starting.
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt(0, fmt.Appendf(nil, "%d %s\n", os.Getpid(), s.run))
		if err != nil {
			s.log.Warn("spool: cannot write pid", "path", path, "error", err)
		}
	}
	return nil
}

// lockOwner reads pid and run of the owner from a lock file; 0 and "" if they are not there.
func lockOwner(fsys FS, path string) (pid int, run string) {
	b, err := readSmall(fsys, path)
	if err != nil {
		return 0, ""
	}
	text, run, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	pid, _ = strconv.Atoi(text)
	return pid, run
}
