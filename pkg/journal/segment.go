package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// nameLayout is the start of a segment's name: the moment of its first record, UTC. The fraction always has nine
// digits, so that names sort by time.
const nameLayout = "20060102-150405.000000000"

const (
	segmentMode  = 0o644
	finishedMode = 0o444 // KumoMTA's mark of a finished segment
	dirMode      = 0o755
)

// errGone says that the file is no longer the one that we write to: deleted, renamed, replaced or truncated.
var errGone = errors.New("the segment was deleted, moved or changed by somebody else")

// segment is one open file. It is locked (flock) while it is open, so that another process that starts on the same
// directory can tell it from one that a crash left behind. Until its first frame is in it, it has a hidden name: an
// empty file is nothing that zstdcat reads.
type segment struct {
	f      *os.File
	path   string
	dir    string
	suffix string
	hidden bool
	info   os.FileInfo
	start  time.Time
	raw    int64 // bytes before compression
	size   int64 // bytes in the file: always whole frames
	dirty  bool  // written since the last sync
}

// hiddenMark is the end of a hidden name; it begins with a dot.
const hiddenMark = ".new"

// openSegment makes a new file, still hidden, whose name will say t or a nanosecond soon after it.
func openSegment(dir, suffix string, t time.Time) (*segment, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, err
	}
	for range 1000 {
		path := filepath.Join(dir, "."+t.UTC().Format(nameLayout)+suffix+hiddenMark)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, segmentMode)
		if errors.Is(err, os.ErrExist) {
			t = t.Add(time.Nanosecond)
			continue
		}
		if err != nil {
			return nil, err
		}
		// A file system without locks costs only the distinction that the lock makes.
		_ = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		info, err := f.Stat()
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		return &segment{f: f, path: path, dir: dir, suffix: suffix, hidden: true, info: info, start: t}, nil
	}
	return nil, errTaken(dir, t)
}

func errTaken(dir string, t time.Time) error {
	return fmt.Errorf("create a segment in %s: every name near %s is taken", dir, t.UTC().Format(nameLayout))
}

// publish gives a segment that holds its first frame its name: its start, or the first nanosecond after it that is
// not taken.
func (s *segment) publish() error {
	for range 1000 {
		path := filepath.Join(s.dir, s.start.UTC().Format(nameLayout)+s.suffix)
		err := renameNew(s.path, path)
		if errors.Is(err, os.ErrExist) {
			s.start = s.start.Add(time.Nanosecond)
			continue
		}
		if err != nil {
			return err
		}
		s.path, s.hidden = path, false
		return syncDir(s.dir)
	}
	return errTaken(s.dir, s.start)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// renameNew renames a file to a name that nobody has.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if _, err := os.Lstat(to); err == nil { // a file system that cannot do both at once
		return os.ErrExist
	}
	return os.Rename(from, to)
}

// append writes one frame, whole or not at all as far as the disk lets us. errGone means that nobody will find the
// frame in this segment.
func (s *segment) append(frame []byte, raw int) error {
	if !s.intact() {
		return errGone
	}
	n, err := s.f.Write(frame)
	if err != nil {
		if n > 0 && s.f.Truncate(s.size) != nil {
			return errGone // half a frame stays: go on in a new segment
		}
		return err
	}
	s.size += int64(n)
	s.raw += int64(raw)
	s.dirty = true
	if s.hidden {
		if err := s.publish(); err != nil {
			return errors.Join(err, s.undo(raw))
		}
	}
	if info, err := os.Lstat(s.path); err != nil || !os.SameFile(info, s.info) {
		return errGone
	}
	return nil
}

// undo takes the first frame back, so that it can be written again.
func (s *segment) undo(raw int) error {
	if err := s.f.Truncate(0); err != nil {
		return err
	}
	s.size, s.raw = 0, s.raw-int64(raw)
	return nil
}

// intact reports whether the path still names our file and the file is as we left it.
func (s *segment) intact() bool {
	info, err := os.Lstat(s.path)
	return err == nil && os.SameFile(info, s.info) && info.Size() == s.size
}

func (s *segment) sync() error {
	if !s.dirty {
		return nil
	}
	s.dirty = false
	return s.f.Sync()
}

// finish syncs the file, marks it read-only and closes it. A file without a record is removed.
func (s *segment) finish() error {
	if s.size == 0 {
		_ = os.Remove(s.path)
		return s.f.Close()
	}
	var err error
	if s.hidden {
		err = s.publish()
	}
	return errors.Join(err, s.sync(), s.f.Chmod(finishedMode), s.f.Close())
}
