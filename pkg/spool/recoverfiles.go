package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"kumo/pkg/spool/internal/segment"
)

// logFile is a segment before it is read.
type logFile struct {
	num    uint32
	size   int64
	header segment.Header
	ok     bool // the header could be read
}

// listLog finds the segments of a log, in order, and everything that is none.
func listLog(fsys FS, dir string) (files []logFile, strays []string, err error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		num, ok := segNumber(e.Name)
		if !ok || !e.Mode.IsRegular() {
			strays = append(strays, e.Name)
			continue
		}
		files = append(files, logFile{num: num})
	}
	slices.SortFunc(files, func(a, b logFile) int { return cmp.Compare(a.num, b.num) })
	slices.Sort(strays)
	return files, strays, nil
}

// readHeaders reads the size and header of each segment.
func readHeaders(fsys FS, segs *segments, files []logFile) error {
	for i := range files {
		l := &files[i]
		f, err := fsys.Open(segs.path(l.num), false)
		if err != nil {
			return fmt.Errorf("open segment %d: %w", l.num, err)
		}
		err = l.readHeader(f)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("segment %s: %w", segs.path(l.num), err)
		}
	}
	return nil
}

func (l *logFile) readHeader(f File) error {
	var err error
	if l.size, err = f.Size(); err != nil {
		return err
	}
	b := make([]byte, segment.HeaderSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h, err := segment.ParseHeader(b[:n])
	if v := (*segment.VersionError)(nil); errors.As(err, &v) {
		return fmt.Errorf("%w: use the version of kumo that wrote it, or a later one", err)
	}
	l.header, l.ok = h, err == nil && h.Number == uint64(l.num)
	return nil
}

// ends says how much of segment i counts: what its successor says, or for the last one its size.
func ends(files []logFile, i int) (limit int64, known bool) {
	for _, next := range files[i+1:] {
		if next.ok {
			if next.header.Prev == uint64(files[i].num) {
				return next.header.PrevEnd, true
			}
			break
		}
	}
	return files[i].size, false
}
