package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxTorn is the longest end of a segment that is taken for a torn frame. Segments of KumoMTA are one frame from
// start to end; one of those that was cut off must keep what it has.
const maxTorn = 8 << 20

// finishOld finishes what an earlier process left open in dir: a frame that a crash cut off is dropped, and the
// segment becomes read-only; one that never got its first frame is removed. Segments that another process has locked
// are left alone. left is told when each of those that nobody has locked was last written to.
func finishOld(dir, suffix string, left func(time.Time), warn func(error)) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // not made yet
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		hidden := isHidden(e.Name(), suffix)
		if s, ok := segmentSuffix(e.Name()); !hidden && (!ok || s != suffix) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		switch {
		case err != nil:
		case hidden:
			if removeHidden(path) {
				left(info.ModTime())
			}
		case info.Mode()&0o222 != 0:
			free, err := finishOne(path)
			if free {
				left(info.ModTime())
			}
			if err != nil {
				warn(fmt.Errorf("finish segment %s: %w", path, err))
			}
		}
	}
}

// isHidden tells the name of a segment without a frame.
func isHidden(name, suffix string) bool {
	name, dot := strings.CutPrefix(name, ".")
	name, mark := strings.CutSuffix(name, hiddenMark)
	s, ok := segmentSuffix(name)
	return dot && mark && ok && s == suffix
}

// removeHidden removes what a crash left between the making of a segment and its first frame.
func removeHidden(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && os.Remove(path) == nil
}

// finishOne finishes a segment that nobody has locked.
func finishOne(path string) (free bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false, nil
	}
	return true, finishFile(f)
}

func finishFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end, err := lastFrameEnd(f, info.Size())
	if torn := info.Size() - end; err == nil && end > 0 && torn > 0 && torn <= maxTorn {
		if err := f.Truncate(end); err != nil {
			return err
		}
		err = fmt.Errorf("dropped %d bytes of a frame that a crash cut off", torn)
		_ = f.Chmod(finishedMode)
		return err
	}
	if err != nil {
		return err
	}
	return f.Chmod(finishedMode)
}

// lastFrameEnd is the offset after the last whole frame.
func lastFrameEnd(f *os.File, size int64) (int64, error) {
	var off int64
	for off < size {
		end, whole, err := frameEnd(f, off, size)
		if err != nil {
			return off, err
		}
		if !whole {
			break
		}
		off = end
	}
	return off, nil
}

// segmentSuffix takes a segment's name apart: `YYYYMMDD-HHMMSS`, an optional fraction, and the suffix.
func segmentSuffix(name string) (string, bool) {
	const stem = len("20060102-150405")
	if len(name) < stem || name[8] != '-' {
		return "", false
	}
	for i := range stem {
		if i != 8 && (name[i] < '0' || name[i] > '9') {
			return "", false
		}
	}
	rest := name[stem:]
	if len(rest) > 1 && rest[0] == '.' && isDigit(rest[1]) {
		i := 1
		for i < len(rest) && isDigit(rest[i]) {
			i++
		}
		rest = rest[i:]
	}
	return rest, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
